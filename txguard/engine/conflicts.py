"""[R1] The conflicts that no trigger sees: what a statement passed over, and what a locking read met.

Under a snapshot, an UPDATE, DELETE or locking read looks at current rows. A row that met its WHERE in the snapshot,
but has been changed or removed by a writer too new for it so that it meets it no longer, is passed over in silence.
After the statement, on a second connection outside any transaction, the engine asks for such rows. It first asks
which writers are too new at all: usually none, and that is all. A mark among them [R7] tells that versions which the
snapshot sees may have been cleaned, so that nobody can say any more what was passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from txguard.engine.install import DATABASE
from txguard.engine.managed_table import NEXT, OPERATION, WRITER, ManagedTable, Operation
from txguard.engine.shard import Connection, ShardError
from txguard.engine.sqltext import numbers, quote


@dataclass(frozen=True, slots=True)
class ConflictCheck:
    """A managed table that a statement read to find its rows, and the WHERE that they meet.

    `where` is SQL text in which a column stands alone or behind the table's name (never the schema's), and which
    names no other table, session variable or function of the session. None: any row.
    """

    schema: str
    table: str
    where: str | None


def too_new_query(read_ts: int, start_ts: int) -> str:
    """The writers whose versions are too new for this snapshot, as of now; a mark, where some may have been cleaned."""
    return (
        f"SELECT start_ts FROM `{DATABASE}`.`txn` FORCE INDEX (commit_ts)"
        f" WHERE commit_ts > {read_ts} AND state <> 'R' AND start_ts <> {start_ts}"
    )


def passed_over_query(table: ManagedTable, where: str | None, too_new: Sequence[int]) -> str:
    """A row, if a version that the snapshot sees met the WHERE and has been replaced by a too-new writer."""
    writers = numbers(too_new)
    return (
        f"SELECT 1 FROM {table.history} AS {quote(table.name)} WHERE {NEXT} IN ({writers})"
        f" AND {OPERATION} <> '{Operation.INSERTED.value}' AND {WRITER} NOT IN ({writers}){_and(where)} LIMIT 1"
    )


def newer_rows_query(table: ManagedTable, where: str | None, too_new: Sequence[int]) -> str:
    """A row, if a current row that meets the WHERE is a too-new writer's. Found by history, not by a scan."""
    writers = numbers(too_new)
    keys = {name: f"_txg_k{position}" for position, name in enumerate(table.primary_key)}
    marked = ", ".join(f"{quote(name)} AS {key}" for name, key in keys.items())
    same = " AND ".join(f"{quote(table.name)}.{quote(name)} = _txg_h.{key}" for name, key in keys.items())
    return (
        f"SELECT 1 FROM (SELECT {marked} FROM {table.history} WHERE {NEXT} IN ({writers})) AS _txg_h"
        f" STRAIGHT_JOIN {table.source} AS {quote(table.name)} ON {same}"
        f" WHERE {quote(table.name)}.{WRITER} IN ({writers}){_and(where)} LIMIT 1"
    )


async def find_conflict(
    connection: Connection,
    checks: Sequence[ConflictCheck],
    tables: Mapping[tuple[str, str], ManagedTable],
    too_new: Sequence[int],
    *,
    locking_read: bool,
    timeout_s: float | None = None,
) -> ConflictCheck | None:
    """The first check that fails on this shard, or None. `connection` is not the transaction's own.

    `tables` by (schema, name); a table that is not among them is not managed and has no versions.
    """
    for check in checks:
        table = tables.get((check.schema, check.table))
        if table is not None and await _fails(
            connection, table, check.where, too_new, locking_read, timeout_s
        ):
            return check
    return None


async def _fails(
    connection: Connection,
    table: ManagedTable,
    where: str | None,
    too_new: Sequence[int],
    locking_read: bool,
    timeout_s: float | None,
) -> bool:
    queries = [passed_over_query(table, where, too_new)]
    if locking_read:
        queries.append(newer_rows_query(table, where, too_new))
    try:
        answers = await connection.run(queries, timeout_s)
    except ShardError:
        if where is None:
            raise
        # A WHERE that only makes sense in its statement: any row will do.
        return await _fails(connection, table, None, too_new, locking_read, timeout_s)
    return any(answer.rows for answer in answers)


def _and(where: str | None) -> str:
    """On a line of its own: a comment at its end must not swallow the rest."""
    return f" AND (\n{where}\n)" if where is not None else ""
