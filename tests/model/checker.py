"""Whether a history is one that strict snapshot isolation allows, by `commit_ts`; raises Violation."""

from __future__ import annotations

import collections
from collections.abc import Sequence

from tests.model.parts import (
    KEYS,
    AutocommitRead,
    Oracle,
    Place,
    Record,
    Shard,
    State,
    Transaction,
    Violation,
)


def check(
    transactions: Sequence[Transaction],
    reads: Sequence[AutocommitRead],
    shards: Sequence[Shard],
    oracle: Oracle,
) -> None:
    """The history against strict snapshot isolation, by `commit_ts`, and the final state against the history."""
    committed = sorted(
        (
            t
            for t in transactions
            if t.commit_ts is not None and oracle.decided[t.start_ts] is Record.COMMITTED
        ),
        key=lambda t: t.commit_ts or 0,
    )
    versions: dict[Place, list[tuple[int, int]]] = collections.defaultdict(list)
    for t in committed:
        for place, value in t.writes.items():
            versions[place].append((t.commit_ts or 0, value))
    acknowledged = [t for t in committed if t.state is State.ACKNOWLEDGED]
    _check_final_state(shards, versions)
    for t in transactions:
        if t.read_ts is not None:
            _check_snapshot(t, versions, acknowledged, visible=t in committed or t.state is State.READ_ONLY)
        if t in committed:
            _check_first_committer_wins(t, versions)
    for read in reads:
        _check_autocommit_read(read, versions, acknowledged)


def _value_at(versions: dict[Place, list[tuple[int, int]]], place: Place, ts: float) -> int:
    return next((value for commit_ts, value in reversed(versions[place]) if commit_ts <= ts), 0)


def _check_final_state(shards: Sequence[Shard], versions: dict[Place, list[tuple[int, int]]]) -> None:
    for at, shard in enumerate(shards):
        if shard.row_locks:
            raise Violation("a row lock was left behind")
        for key in range(KEYS):
            if shard.rows[key].value != _value_at(versions, (at, key), float("inf")):
                raise Violation("the final state is not that of the committed transactions")


def _check_snapshot(
    t: Transaction,
    versions: dict[Place, list[tuple[int, int]]],
    acknowledged: list[Transaction],
    *,
    visible: bool,
) -> None:
    assert t.read_ts is not None
    if visible and any(value != _value_at(versions, place, t.read_ts) for place, value in t.reads):
        raise Violation("a read is not that of its snapshot")
    for other in acknowledged:
        if (other.ended or 0) < t.began and (other.commit_ts or 0) >= t.read_ts:
            raise Violation("a snapshot misses what was acknowledged before it")


def _check_first_committer_wins(t: Transaction, versions: dict[Place, list[tuple[int, int]]]) -> None:
    if t.read_ts is None or t.commit_ts is None:
        return
    for place in t.writes:
        if any(t.read_ts < commit_ts < t.commit_ts for commit_ts, _ in versions[place]):
            raise Violation("a lost update")


def _check_autocommit_read(
    read: AutocommitRead, versions: dict[Place, list[tuple[int, int]]], acknowledged: list[Transaction]
) -> None:
    seen = next((commit_ts for commit_ts, value in versions[read.place] if value == read.value), 0)
    if read.value and not seen:
        raise Violation("a dirty read")
    for other in acknowledged:
        if (other.ended or 0) < read.began and read.place in other.writes and (other.commit_ts or 0) > seen:
            raise Violation("a stale read")
