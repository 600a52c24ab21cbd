"""Takes back what a rolled-back transaction left on a shard, and cleans what no snapshot needs any more.

The undo of one shard is one local transaction: a crash before its COMMIT leaves everything, after it nothing. It
begins with the commit record, so that two resolvers at once run one after the other and the second finds nothing
left. Per table: delete the rows that the transaction wrote, put the replaced ones back, drop its history. All of a
table's rows go before any comes back, so that unique keys do not clash half-way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from txguard.engine.install import DATABASE
from txguard.engine.managed_table import NEXT, OPERATION, WRITER, ManagedTable, Operation
from txguard.engine.shard import Connection
from txguard.engine.sqltext import numbers, quote, quoted_list

_TXN: Final = f"`{DATABASE}`.`txn`"

SESSION_STATEMENTS: Final = (
    # Rows go back as they were: zero dates, an AUTO_INCREMENT of 0, moments that a time zone has twice.
    "SET @txg_saved_sql_mode = @@SESSION.sql_mode, @txg_saved_time_zone = @@SESSION.time_zone, "
    "@txg_saved_foreign_keys = @@SESSION.foreign_key_checks",
    "SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', SESSION time_zone = '+00:00', "
    "SESSION foreign_key_checks = 0, @txg_bypass = 1",
)
RESTORE_SESSION: Final = (
    "SET SESSION sql_mode = @txg_saved_sql_mode, SESSION time_zone = @txg_saved_time_zone, "
    "SESSION foreign_key_checks = @txg_saved_foreign_keys, @txg_bypass = NULL"
)

_TABLES_PER_QUERY: Final = 100


def undo_statements(tables: Sequence[ManagedTable], start_ts: int) -> list[str]:
    """The whole undo of one shard, from START TRANSACTION to COMMIT. `tables` are those with history of it.

    Idempotent. When a statement fails, drop the connection: its session variables are set, its transaction is open.
    """
    return [
        *SESSION_STATEMENTS,
        "START TRANSACTION",
        f"UPDATE {_TXN} SET state = 'R' WHERE start_ts = {start_ts}",
        *(statement for table in tables for statement in undo_table_statements(table, start_ts)),
        f"DELETE FROM `{DATABASE}`.`txn_lock` WHERE start_ts = {start_ts}",
        f"UPDATE `{DATABASE}`.`rollback_counter` SET n = n + 1 WHERE id = 1",
        "COMMIT",
        RESTORE_SESSION,
    ]


def undo_table_statements(table: ManagedTable, start_ts: int) -> list[str]:
    """One table's part, inside the undo's transaction and session."""
    # The target without an alias: MariaDB wants a default database for one that has an alias.
    same_key = " AND ".join(
        f"{table.source}.{quote(name)} = _txg_h.{quote(name)}" for name in table.primary_key
    )
    stored = quoted_list((*table.stored_names, WRITER))
    return [
        # By key, whatever the optimizer thinks of a small table: a scan would lock, and have killed, the uninvolved.
        f"DELETE {table.source} FROM {table.history} AS _txg_h "
        f"STRAIGHT_JOIN {table.source} FORCE INDEX (PRIMARY) ON {same_key} "
        f"WHERE _txg_h.{NEXT} = {start_ts} AND {table.source}.{WRITER} = {start_ts}",
        f"INSERT INTO {table.source} ({stored}) SELECT {stored} FROM {table.history} "
        f"WHERE {NEXT} = {start_ts} AND {OPERATION} <> '{Operation.INSERTED.value}'",
        f"DELETE FROM {table.history} WHERE {NEXT} = {start_ts}",
    ]


def written_tables_queries(tables: Sequence[ManagedTable], start_ts: int) -> list[str]:
    """Queries that between them give the positions (in `tables`) of those with history of the transaction."""
    probes = [
        f"SELECT {position} FROM DUAL WHERE EXISTS (SELECT 1 FROM {table.history} WHERE {NEXT} = {start_ts})"
        for position, table in enumerate(tables)
    ]
    return [
        " UNION ALL ".join(probes[first : first + _TABLES_PER_QUERY])
        for first in range(0, len(probes), _TABLES_PER_QUERY)
    ]


async def written_tables(
    connection: Connection, tables: Sequence[ManagedTable], start_ts: int, timeout_s: float | None = None
) -> list[ManagedTable]:
    """Those of `tables` in which the transaction has written a row."""
    answers = await connection.run(written_tables_queries(tables, start_ts), timeout_s)
    return [tables[int(row[0] or 0)] for answer in answers for row in answer.rows]


async def undo(
    connection: Connection, tables: Sequence[ManagedTable], start_ts: int, timeout_s: float | None = None
) -> None:
    """Take back the transaction on this shard. `tables` are all managed tables there, or a part that is enough."""
    written = await written_tables(connection, tables, start_ts, timeout_s)
    try:
        await connection.run(undo_statements(written, start_ts), timeout_s)
    except BaseException:
        connection.abort()
        raise


def clean_statements(tables: Sequence[ManagedTable], start_ts_list: Sequence[int]) -> list[str]:
    """Forget these transactions: what they replaced in `tables`, and their records."""
    writers = numbers(start_ts_list)
    return [
        *(f"DELETE FROM {table.history} WHERE {NEXT} IN ({writers})" for table in tables),
        f"DELETE FROM {_TXN} WHERE start_ts IN ({writers})",
    ]
