"""[R7] How far a shard was cleaned: two rows of `txn` in state M, whose `commit_ts` is the mark.

The rule: what lies at or behind a mark was decided, carried out and, perhaps, forgotten on this shard. So no tombstone
is placed there, and no snapshot from before it is read: whoever finds no record there has been away for longer than the
retention, and must not take that for a roll-back. A mark rises in the local transaction that cleans, before its
deletes, and never falls. Source: docs/protocol.md, "Cleaning".
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from tso.types import Orphan, Timestamp
from txguard.engine.install import ANY_MARK, SINGLE_SHARD_MARK

MARKS: Final = frozenset({ANY_MARK, SINGLE_SHARD_MARK})


def raise_mark(mark: int, up_to: Timestamp) -> str:
    """`mark`: ANY_MARK for all records, SINGLE_SHARD_MARK for those of transactions that wrote one shard."""
    return (
        f"INSERT INTO _txguard.txn (start_ts, commit_ts, state) VALUES ({mark}, {up_to}, 'M') "
        f"ON DUPLICATE KEY UPDATE commit_ts = GREATEST(commit_ts, {up_to})"
    )


def place_tombstone(transaction: Orphan) -> str:
    """A tombstone where no record is, nor can have been. The mark is read under a lock, so it is the latest."""
    marks = str(ANY_MARK) if len(transaction.participants) > 1 else f"{ANY_MARK}, {SINGLE_SHARD_MARK}"
    return (
        "INSERT IGNORE INTO _txguard.txn (start_ts, commit_ts, state, participants) "
        f"SELECT {transaction.start_ts}, {transaction.commit_ts}, 'R', '{','.join(transaction.participants)}' "
        f"FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM _txguard.txn WHERE start_ts IN ({marks}) "
        f"AND commit_ts >= {transaction.commit_ts} LOCK IN SHARE MODE)"
    )


def is_too_old(writers: Collection[int]) -> bool:
    """Whether a snapshot's X ([R3], asked for with the rows in state M) shows that its versions may be gone."""
    return not MARKS.isdisjoint(writers)
