"""Whether a history is what the protocol promises; raises Violation.

Strict snapshot isolation by `commit_ts`, over rows that come and go and reads by WHERE: a transaction's snapshot
reads are the state at its `read_ts`. What was read under locks, which is every read of a SERIALIZABLE transaction, is
the state right before its `commit_ts`: so these are serial in the order of `commit_ts`, and that agrees with real time.
"""

from __future__ import annotations

import bisect
import collections
from collections.abc import Iterable, Sequence

from tests.model.rows import SHARDS, Place, Row
from tests.model.rules import Violation
from tests.model.shard import Shard
from tests.model.transactions import Read, State, Transaction

END = float("inf")


class History:
    """The committed versions of every row in the order of `commit_ts`."""

    def __init__(self, committed: Sequence[Transaction]) -> None:
        self.versions: dict[Place, list[tuple[float, Row | None]]] = {
            (at, key): [(0, Row(0, key, 0))] for at in range(SHARDS) for key in range(2)
        }
        for t in committed:
            for place, row in t.writes.items():
                self.versions.setdefault(place, [(0, None)]).append((t.commit_ts or 0, row))
        acknowledged = sorted(
            (t.ended, t.commit_ts or 0)
            for t in committed
            if t.state is State.ACKNOWLEDGED and t.ended is not None
        )
        self.acknowledged_at: dict[float, int] = {commit_ts: ended for ended, commit_ts in acknowledged}
        self._ended = [ended for ended, _ in acknowledged]
        self._latest = [0]
        for _, commit_ts in acknowledged:
            self._latest.append(max(self._latest[-1], commit_ts))

    def at(self, place: Place, ts: float, *, before: bool = False) -> Row | None:
        versions = self.versions.get(place, [(0, None)])
        found = versions[0][1]
        for commit_ts, row in versions:
            if commit_ts > ts or (before and commit_ts == ts):
                break
            found = row
        return found

    def is_state(self, read: Read, ts: float, *, before: bool = False) -> bool:
        """Whether `read` shows exactly what was there at (or right before) `ts`."""
        seen = dict(read.values)
        for place in self.versions:
            if place[0] != read.at or place[1] in read.own:
                continue
            row = self.at(place, ts, before=before)
            expected = row.value if row is not None and read.where.meets(place[1], row) else None
            if seen.pop(place[1], None) != expected:
                return False
        return not seen

    def acknowledged_before(self, step: int) -> int:
        """The highest `commit_ts` that a client had been told of."""
        return self._latest[bisect.bisect_left(self._ended, step)]


def check(transactions: Sequence[Transaction], reads: Iterable[Read], shards: Sequence[Shard]) -> None:
    committed = sorted((t for t in transactions if t.committed), key=lambda t: t.commit_ts or 0)
    history = History(committed)
    _check_final_state(shards, history)
    _check_unique_keys(committed)
    for t in transactions:
        _check_outcome(t)
        _check_reads(t, history)
    for t in committed:
        _check_writes(t, history)
    for read in reads:
        _check_statement(read, history)
        if read.where.key is None:
            _check_moment(read, history)


def _check_final_state(shards: Sequence[Shard], history: History) -> None:
    """I3, I8, I9."""
    for shard in shards:
        if shard.branches or any(shard.shared.values()) or shard.exclusive or shard.ranges:
            raise Violation("a row lock was left behind")
        if shard.undecided():
            raise Violation("a commit was left undecided")
        for place in history.versions:
            if place[0] == shard.number and shard.rows.get(place[1]) != history.at(place, END):
                raise Violation("the final state is not that of the committed transactions")
        if any((shard.number, key) not in history.versions for key in shard.rows):
            raise Violation("the final state is not that of the committed transactions")


def _check_unique_keys(committed: Sequence[Transaction]) -> None:
    """At every `commit_ts`, so in every snapshot."""
    holders = {(at, key): key for at in range(SHARDS) for key in range(2)}
    for t in committed:
        for place, row in t.writes.items():
            holders.pop(place, None)
            if row is not None:
                holders[place] = row.unique
        taken = collections.Counter((at, unique) for (at, _), unique in holders.items())
        if taken and max(taken.values()) > 1:
            raise Violation("a unique key is there twice in a snapshot")


def _check_outcome(t: Transaction) -> None:
    """I2, I3."""
    if t.participants and t.state is State.ACKNOWLEDGED and not t.committed:
        raise Violation("what was rolled back was acknowledged")
    if t.state is State.ROLLED_BACK and t.committed:
        raise Violation("a client was told of a roll-back that was a commit")


def _check_reads(t: Transaction, history: History) -> None:
    """I4, I5, I6. What a transaction that was rolled back has seen counts no less: its client has seen it."""
    if t.read_ts is not None and history.acknowledged_before(t.began) >= t.read_ts:
        raise Violation("a snapshot misses what was acknowledged before it")
    for read in t.snapshot_reads:
        assert t.read_ts is not None
        if not history.is_state(read, t.read_ts):
            raise Violation("a read is not that of its snapshot")
    if t.committed and t.commit_ts is not None:
        if history.acknowledged_before(t.began) >= t.commit_ts:
            raise Violation("a commit is older than what was acknowledged before it began")
        if not all(history.is_state(read, t.commit_ts, before=True) for read in t.locking_reads):
            raise Violation("what was read under locks has changed before commit_ts")
        for read in t.looks:
            _check_values(read, history)
    elif t.locked_at is not None and t.state is State.ACKNOWLEDGED:
        if not all(history.is_state(read, t.locked_at) for read in t.locking_reads):
            raise Violation("what was read under locks has changed before the end")
    else:
        for read in t.locking_reads:
            if read.shown:
                _check_values(read, history)
    for read in t.statement_reads:
        _check_statement(read, history)


def _check_statement(read: Read, history: History) -> None:
    """A statement outside a snapshot; one with a snapshot of its own."""
    if read.read_ts is None:
        _check_values(read, history)
        return
    if not history.is_state(read, read.read_ts):
        raise Violation("a statement's read is not that of its snapshot")
    if history.acknowledged_before(read.began) >= read.read_ts:
        raise Violation("a snapshot misses what was acknowledged before it")


def _check_values(read: Read, history: History) -> None:
    """Each row by itself: committed, and as new as what was acknowledged before."""
    for place, versions in history.versions.items():
        if place[0] != read.at or place[1] in read.own:
            continue
        value = read.values.get(place[1])
        shown = [
            row.value if row is not None and read.where.meets(place[1], row) else None for _, row in versions
        ]
        if value not in shown:
            raise Violation("a dirty read")
        last = len(shown) - 1 - shown[::-1].index(value)
        if any(history.acknowledged_at.get(ts, END) < read.began for ts, _ in versions[last + 1 :]):
            raise Violation("a stale read")
    if any((read.at, key) not in history.versions for key in read.values):
        raise Violation("a dirty read")


def _check_moment(read: Read, history: History) -> None:
    """Several rows are those of one moment, or two readers may see two commits in two orders: a long fork."""
    moments = {
        ts for place, versions in history.versions.items() if place[0] == read.at for ts, _ in versions
    }
    if not any(history.is_state(read, ts) for ts in moments):
        raise Violation("a read that fits no moment")


def _check_writes(t: Transaction, history: History) -> None:
    """I7; and what it wrote over was the last version."""
    assert t.commit_ts is not None
    for place, before in t.before.items():
        if history.at(place, t.commit_ts, before=True) != before:
            raise Violation("a write over what was not the last version")
        if t.read_ts is not None and history.at(place, t.read_ts) != before:
            raise Violation("a lost update")
