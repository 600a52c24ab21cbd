"""[R1] after a statement under a snapshot: raise where it passed over, or locked, what the snapshot does not allow.

The queries stand in `conflicts.py`; here is when they are asked: nearly always nothing is too new, and one look at
the commit records says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from tso.types import Timestamp
from txguard.engine.conflicts import ConflictCheck, find_conflict, too_new_query
from txguard.engine.managed import list_managed
from txguard.engine.marks import is_too_old
from txguard.engine.shard import Connection
from txguard.errors import Conflict


async def raise_on_conflict(
    connection: Connection,
    checks: Sequence[ConflictCheck],
    *,
    read_ts: Timestamp,
    start_ts: Timestamp,
    locking_read: bool,
    timeout_s: float,
) -> None:
    """`connection` is a second one, outside any transaction. Raises Conflict."""
    too_new = await _too_new(connection, read_ts, start_ts, timeout_s)
    if not too_new:
        return
    tables = {(table.schema, table.name): table for table in await list_managed(connection, timeout_s)}
    failed = await find_conflict(
        connection, checks, tables, too_new, locking_read=locking_read, timeout_s=timeout_s
    )
    if failed is not None:
        raise Conflict(
            f"write conflict: rows of {failed.schema}.{failed.table} were changed after this transaction's snapshot; "
            "run the transaction again"
        )
    # Again, because what was asked for may have been cleaned meanwhile.
    await _too_new(connection, read_ts, start_ts, timeout_s)


async def _too_new(
    connection: Connection, read_ts: Timestamp, start_ts: Timestamp, timeout_s: float
) -> list[int]:
    [answer] = await connection.run([too_new_query(read_ts, start_ts)], timeout_s)
    writers = [int(row[0] or 0) for row in answer.rows]
    if is_too_old(writers):
        raise Conflict(
            "the transaction's snapshot is older than the versions that are kept; run the transaction again"
        )
    return writers
