"""What a shard does not know to be decided, as SQL: its lock records, and the cross-shard records above its mark.

Source: docs/protocol.md, "The decided mark".
"""

from __future__ import annotations

from typing import Final

from tso.types import LOGICAL_BITS, ShardName

_ABOVE: Final = (
    "FROM _txguard.decided d JOIN _txguard.txn t ON t.commit_ts > d.up_to "
    "WHERE d.id = 1 AND t.state = 'C' AND t.participants IS NOT NULL"
)

ANY_ABOVE: Final = f"SELECT 1 {_ABOVE} LIMIT 1"
"""A row where the mark has something left to pass."""

UNDECIDED: Final = (
    "SELECT l.start_ts AS start_ts, l.commit_ts AS commit_ts, l.participants AS participants, "
    "TIMESTAMPDIFF(MICROSECOND, l.created_at, NOW(6)) AS age_us FROM _txguard.txn_lock l UNION ALL "
    "SELECT t.start_ts, t.commit_ts, t.participants, CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED) "
    f"- CAST((t.commit_ts >> {LOGICAL_BITS}) * 1000 AS SIGNED) {_ABOVE} "
    "AND NOT EXISTS (SELECT 1 FROM _txguard.txn_lock l WHERE l.start_ts = t.start_ts) "
    # Decided by hand: a participant that is gone for good must not have it outstanding again.
    "AND NOT EXISTS (SELECT 1 FROM _txguard.verdict v WHERE v.start_ts = t.start_ts AND v.done = 1)"
)
"""start_ts, commit_ts, participants (names with commas between), age in microseconds (by the clocks, so roughly)."""

IS_UNDECIDED: Final = (
    "(l.start_ts IS NOT NULL OR t.participants IS NOT NULL "
    "AND t.commit_ts > (SELECT d.up_to FROM _txguard.decided d WHERE d.id = 1))"
)
"""Of a record `t` with its lock record `l` beside it (LEFT JOIN)."""


def parse_participants(value: object) -> tuple[ShardName, ...]:
    text = value.decode() if isinstance(value, bytes) else str(value)
    return tuple(ShardName(name) for name in text.split(","))
