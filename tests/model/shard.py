"""A shard as InnoDB has it: rows, row and gap locks, commit records, and local transactions that end all at once.

Between two `yield`s of the model's processes a shard executes one local transaction's step atomically. What waits for
a lock asks again.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.model.rows import KEYS, Record, Row, View, Where
from tests.model.rules import Violation


class Answer(enum.Enum):
    DONE = "done"
    WAIT = "wait"
    NOTHING = "nothing"
    """No such row, or a duplicate."""


def unique_slot(value: int) -> int:
    return KEYS + value


@dataclass(slots=True, eq=False)
class Branch:
    """One transaction's local transaction on one shard."""

    at: int
    start_ts: int
    alive: bool = True
    """False once its connection was lost: killed, or the server restarted."""
    rows: dict[int, Row | None] = field(default_factory=dict)
    """What it wrote, not committed yet."""
    before: dict[int, Row | None] = field(default_factory=dict)
    replaced: set[int] = field(default_factory=set)
    """`@txg_deps`"""
    depends_on_all: bool = False
    holds_locks: bool = False
    """It has read under locks, or tried to write: more than a snapshot's view would be lost with it."""
    view: View | None = None
    too_new: frozenset[int] = frozenset()
    slots: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Shard:
    number: int
    rows: dict[int, Row] = field(default_factory=lambda: {key: Row(0, key, 0) for key in range(2)})
    history: dict[tuple[int, int], Row | None] = field(default_factory=dict)
    records: dict[int, tuple[Record, int]] = field(default_factory=dict)
    locks: dict[int, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    """txn_lock: start_ts -> (commit_ts, participants) of what was not decided when `decided` rose above it"""
    decided: int = 0
    """[D] Every cross-shard commit at or behind it that has no lock record here is decided and carried out."""
    participants: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Of the cross-shard commit records."""
    mark: int = 0
    """[R7] Records at or behind it may have been cleaned."""
    single_shard_mark: int = 0
    """The same for those of transactions that wrote one shard; it rises while another shard is away, too."""
    epochs: set[int] = field(default_factory=lambda: {0})
    """The views `commit_<epoch>`."""
    down: bool = False
    branches: list[Branch] = field(default_factory=list)
    exclusive: dict[int, Branch] = field(default_factory=dict)
    shared: dict[int, set[Branch]] = field(default_factory=dict)
    ranges: list[tuple[Branch, Where]] = field(default_factory=list)
    """Gap locks: nobody else may put a row there."""

    @property
    def cleaned_up_to(self) -> int:
        return max(self.mark, self.single_shard_mark)

    # Local transactions

    def open(self, start_ts: int) -> Branch:
        branch = Branch(self.number, start_ts)
        self.branches.append(branch)
        return branch

    def end(self, branch: Branch) -> None:
        """ROLLBACK, or KILL: nothing is left of it. Idempotent."""
        branch.alive = False
        if branch in self.branches:
            self.branches.remove(branch)
        self.unlock(branch)

    def unlock(self, branch: Branch) -> None:
        for slot in branch.slots:
            if self.exclusive.get(slot) is branch:
                del self.exclusive[slot]
            if branch in (sharers := self.shared.get(slot, set())):
                sharers.remove(branch)
        branch.slots.clear()
        if self.ranges:
            self.ranges = [(holder, where) for holder, where in self.ranges if holder is not branch]

    def restart(self) -> None:
        for branch in list(self.branches):
            self.end(branch)

    def view(self) -> View:
        return View(dict(self.rows), dict(self.history), dict(self.records))

    def current(self, branch: Branch) -> dict[int, Row]:
        """The latest rows, with the branch's own writes."""
        if not branch.rows:
            return self.rows
        merged: dict[int, Row | None] = {**self.rows, **branch.rows}
        return {key: row for key, row in merged.items() if row is not None}

    # Locks

    def lock(self, branch: Branch, slot: int, *, exclusive: bool) -> bool:
        """False: somebody is in the way."""
        holder = self.exclusive.get(slot)
        if holder is not None:
            return holder is branch
        sharers = self.shared.setdefault(slot, set())
        if exclusive:
            if sharers and sharers != {branch}:
                return False
            self.exclusive[slot] = branch
        else:
            sharers.add(branch)
        branch.slots.add(slot)
        return True

    def scan(self, branch: Branch, where: Where, *, exclusive: bool, gaps: bool) -> dict[int, Row] | None:
        """Lock what meets the WHERE, as next-key locks do where `gaps`. None: wait, and scan again."""
        if gaps and (branch, where) not in self.ranges:
            self.ranges.append((branch, where))
        for slot, holder in self.exclusive.items():
            if slot < KEYS and holder is not branch:
                images = (self.rows.get(slot), holder.rows.get(slot))
                if any(row is not None and where.meets(slot, row) for row in images):
                    return None
        found = {key: row for key, row in self.current(branch).items() if where.meets(key, row)}
        if all(self.lock(branch, key, exclusive=exclusive) for key in found):
            return found
        return None

    def put(self, branch: Branch, key: int, row: Row | None) -> Answer:
        """Write one row whose present version is the branch's to write: it holds the lock or takes it now."""
        old = self.current(branch).get(key)
        if not self.lock(branch, key, exclusive=True):
            return Answer.WAIT
        if row is not None:
            if any(holder is not branch and where.meets(key, row) for holder, where in self.ranges):
                return Answer.WAIT
            if old is None or old.unique != row.unique:
                if not self.lock(branch, unique_slot(row.unique), exclusive=True):
                    return Answer.WAIT
                if any(other.unique == row.unique for at, other in self.current(branch).items() if at != key):
                    return Answer.NOTHING
        freed = old is not None and (row is None or row.unique != old.unique)
        if freed and old is not None and not self.lock(branch, unique_slot(old.unique), exclusive=True):
            return Answer.WAIT
        branch.before.setdefault(key, old)
        branch.rows[key] = row
        return Answer.DONE

    # Commit and undo

    def prewrite(self, branch: Branch, commit_ts: int, participants: tuple[int, ...]) -> None:
        """One local transaction: data and record."""
        self.records[branch.start_ts] = (Record.COMMITTED, commit_ts)
        for key, row in branch.rows.items():
            self.history[branch.start_ts, key] = branch.before[key]
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row
        if len(participants) > 1:
            self.participants[branch.start_ts] = participants
        self.end(branch)

    def undecided(self) -> dict[int, tuple[int, tuple[int, ...]]]:
        """What is not known here to be decided: start_ts -> (commit_ts, participants)."""
        above = {
            start_ts: (commit_ts, self.participants[start_ts])
            for start_ts, (record, commit_ts) in self.records.items()
            if record is Record.COMMITTED and commit_ts > self.decided and start_ts in self.participants
        }
        return {**self.locks, **above}

    def raise_decided(self, up_to: int, locks: dict[int, tuple[int, tuple[int, ...]]]) -> None:
        """[D] One local transaction. `locks` are those of `up_to` and below that may still be undecided."""
        if up_to > self.decided:
            self.locks |= locks
            self.decided = up_to

    def blockers(self, start_ts: int) -> Iterator[Branch]:
        """Who holds what an undo of `start_ts` needs."""
        for key, old in [
            (key, old) for (successor, key), old in self.history.items() if successor == start_ts
        ]:
            slots = [key] if old is None else [key, unique_slot(old.unique)]
            for slot in slots:
                yield from ([self.exclusive[slot]] if slot in self.exclusive else [])
                yield from self.shared.get(slot, ())
            if old is not None:
                yield from (holder for holder, where in self.ranges if where.meets(key, old))

    def undo(self, start_ts: int) -> None:
        """One local transaction: the old rows come back and the record turns to R."""
        mine = {key: old for (successor, key), old in self.history.items() if successor == start_ts}
        for key in mine:
            if key in self.rows and self.rows[key].writer == start_ts:
                del self.rows[key]
        for key, old in mine.items():
            if old is not None:
                if key in self.rows or any(row.unique == old.unique for row in self.rows.values()):
                    raise Violation("an undo meets what was written since")
                self.rows[key] = old
            del self.history[start_ts, key]
        if start_ts in self.records:
            self.records[start_ts] = (Record.ROLLED_BACK, self.records[start_ts][1])
        self.locks.pop(start_ts, None)
