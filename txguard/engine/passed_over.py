"""[R1] after a statement under a snapshot: raise where it passed over, or locked, what the snapshot does not allow.

The queries stand in `conflicts.py`; here is when they are asked: nearly always nothing is too new, and one look at
the commit records says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from tso.types import Timestamp
from txguard.engine.conflicts import ConflictCheck, find_conflict, too_new_query
from txguard.engine.managed import list_managed
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
    [too_new] = await connection.run([too_new_query(read_ts, start_ts)], timeout_s)
    if not too_new.rows:
        return
    tables = {(table.schema, table.name): table for table in await list_managed(connection, timeout_s)}
    failed = await find_conflict(
        connection,
        checks,
        tables,
        read_ts=read_ts,
        start_ts=start_ts,
        locking_read=locking_read,
        timeout_s=timeout_s,
    )
    if failed is not None:
        raise Conflict(
            f"write conflict: rows of {failed.schema}.{failed.table} were changed after this transaction's snapshot; "
            "run the transaction again"
        )
