"""Makes a table a managed one, and an ordinary one again; lists those of a shard.

`manage` takes four steps, each of which it looks at before it does it, so that it may be run again after a crash at
any point, and on a table that is managed already:

1. the history table; 2. the row in `_txguard.managed`; 3. the column `_txg_ts`; 4. the triggers.

The row stands before the column: a table that has the column without the row is somebody else's. It stands before
the triggers, too: whoever looks for the history of a transaction finds every table that can have some. A history
that is left over from an earlier table of the same name (no row, or no column) is thrown away. Rows that are there
already get writer 0, before all time. `unmanage` takes the steps back in the opposite order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from txguard.engine.describe import describe
from txguard.engine.install import DATABASE
from txguard.engine.managed_table import (
    NEXT,
    OPERATION,
    WRITER,
    Category,
    Flavour,
    ManagedColumn,
    ManagedTable,
    history_name,
)
from txguard.engine.retention import forget_retention_statement
from txguard.engine.shard import Connection, Value
from txguard.engine.sqltext import qualified, quote, quoted_list, text
from txguard.engine.triggers import TRIGGER_SQL_MODE, trigger_bodies, trigger_statements
from txguard.errors import NotManageable

__all__ = [
    "Category",
    "ManagedColumn",
    "ManagedTable",
    "describe",
    "forget_statements",
    "history_name",
    "list_managed",
    "manage",
    "unmanage",
]

_MANAGED: Final = f"`{DATABASE}`.`managed`"


@dataclass(frozen=True, slots=True)
class _Present:
    """What of a managed table is there already, and on what server."""

    flavour: Flavour
    definition: str | None
    """What the row in `_txguard.managed` says; None: there is no row."""
    column: bool
    history: bool
    triggers: dict[str, tuple[str, str]]
    """By name: time and event, body."""

    @property
    def row(self) -> bool:
        return self.definition is not None


async def manage(
    connection: Connection, schema: str, name: str, timeout_s: float | None = None
) -> ManagedTable:
    """Version this table from now on. Idempotent. Raises NotManageable, and leaves the table as it was.

    Nobody may write the table meanwhile except in the knowledge that it is not versioned yet.
    """
    table = await describe(connection, schema, name, timeout_s)
    await _require_row_format(connection, timeout_s)
    present = await _look(connection, table, timeout_s)
    _refuse_strangers(table, present)
    _refuse_altered(table, present)
    if present.history and not (present.row and present.column):
        await connection.run([f"DROP TABLE IF EXISTS {table.history}"], timeout_s)
    await connection.run([create_history_statement(table), _record_statement(table)], timeout_s)
    if not present.column:
        await connection.run([add_column_statement(table)], timeout_s)
    await _put_triggers(connection, table, present, timeout_s)
    return table


async def unmanage(connection: Connection, schema: str, name: str, timeout_s: float | None = None) -> None:
    """Make it an ordinary table again: its rows stay, their versions go. Idempotent, also for a table that is gone."""
    table = ManagedTable(schema, name, (), (), (), history_name(schema, name))
    present = await _look(connection, table, timeout_s)
    await connection.run([_drop_trigger(table, trigger) for trigger in _own(table, present)], timeout_s)
    if present.row and present.column:
        await connection.run([f"ALTER TABLE {table.source} DROP COLUMN {quote(WRITER)}"], timeout_s)
    await connection.run(forget_statements(schema, name), timeout_s)


def forget_statements(schema: str, name: str) -> list[str]:
    """Drop the history of a table that is gone (DROP TABLE takes column and triggers along)."""
    history = qualified(DATABASE, history_name(schema, name))
    return [
        f"DROP TABLE IF EXISTS {history}",
        forget_retention_statement(schema, name),
        f"DELETE FROM {_MANAGED} WHERE table_schema = {text(schema)} AND table_name = {text(name)}",
    ]


async def list_managed(connection: Connection, timeout_s: float | None = None) -> list[ManagedTable]:
    """Every table of this shard that has a history, in the order of their names."""
    query = f"SELECT table_schema, table_name, history_name, definition FROM {_MANAGED} ORDER BY 1, 2"
    [answer] = await connection.run([query], timeout_s)
    return [ManagedTable.from_json(*map(_string, row)) for row in answer.rows]


def create_history_statement(table: ManagedTable) -> str:
    """The old rows' columns as plain values: no defaults, no AUTO_INCREMENT, nothing generated, all nullable."""
    columns = [
        f"{quote(column.name)} {column.type_text} {'NOT NULL' if column.name in table.primary_key else 'NULL'}"
        for column in table.columns
    ]
    return f"""CREATE TABLE IF NOT EXISTS {table.history} (
  {NEXT} BIGINT UNSIGNED NOT NULL,
  {WRITER} BIGINT UNSIGNED NOT NULL,
  {OPERATION} CHAR(1) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  {", ".join(columns)},
  PRIMARY KEY ({NEXT}, {quoted_list(table.primary_key)})
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"""


def add_column_statement(table: ManagedTable) -> str:
    return (
        f"ALTER TABLE {table.source} ADD COLUMN {quote(WRITER)} BIGINT UNSIGNED NOT NULL DEFAULT 0 INVISIBLE"
    )


def _record_statement(table: ManagedTable) -> str:
    values = ", ".join(map(text, (table.schema, table.name, table.history_name, table.to_json())))
    return f"REPLACE INTO {_MANAGED} (table_schema, table_name, history_name, definition) VALUES ({values})"


async def _look(connection: Connection, table: ManagedTable, timeout_s: float | None) -> _Present:
    own = f"TABLE_SCHEMA = {text(table.schema)} AND TABLE_NAME = {text(table.name)}"
    mine = f"TABLE_SCHEMA = '{DATABASE}' AND TABLE_NAME = '{table.history_name}'"
    queries = [
        "SELECT VERSION()",
        f"SELECT definition FROM {_MANAGED} WHERE {own}",
        f"SELECT 1 FROM information_schema.COLUMNS WHERE {own} AND COLUMN_NAME = '{WRITER}'",
        f"SELECT 1 FROM information_schema.TABLES WHERE {mine}",
        "SELECT TRIGGER_NAME, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT, EVENT_OBJECT_TABLE "
        f"FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = {text(table.schema)}",
    ]
    version, row, column, history, triggers = (
        answer.rows for answer in await connection.run(queries, timeout_s)
    )
    found = {
        _string(trigger): (f"{_string(when)} {_string(event)}", _string(body).rstrip("; "))
        for trigger, when, event, body, on in triggers
        if _string(on) == table.name
    }
    definition = _string(row[0][0]) if row else None
    return _Present(Flavour.of(_string(version[0][0])), definition, bool(column), bool(history), found)


def _own(table: ManagedTable, present: _Present) -> list[str]:
    """The triggers that are there and ours, of whatever version."""
    prefix = table.trigger_name("")
    return [trigger for trigger in present.triggers if trigger.startswith(prefix)]


def _refuse_strangers(table: ManagedTable, present: _Present) -> None:
    ours = set(_own(table, present))
    for trigger in present.triggers:
        if trigger not in ours:
            raise NotManageable(f"{table.schema}.{table.name} cannot be managed: it has a trigger, {trigger}")
    if present.column and not present.row:
        raise NotManageable(
            f"{table.schema}.{table.name} cannot be managed: it has a column {WRITER} that is not TxGuard's"
        )


def _refuse_altered(table: ManagedTable, present: _Present) -> None:
    """Its history has the columns of before: versions from then cannot be put back, nor new ones kept."""
    if present.definition is None or not (present.column and present.history):
        return
    known = ManagedTable.from_json(table.schema, table.name, table.history_name, present.definition)
    if (known.columns, known.primary_key) != (table.columns, table.primary_key):
        raise NotManageable(
            f"{table.schema}.{table.name} was altered after it became a managed table: unmanage it, then manage it"
        )


async def _require_row_format(connection: Connection, timeout_s: float | None) -> None:
    """Under a statement-based binary log every SELECT in a trigger takes locks, and sees past its snapshot."""
    query = "SHOW SESSION VARIABLES WHERE Variable_name IN ('log_bin', 'binlog_format')"
    [answer] = await connection.run([query], timeout_s)
    values = {_string(name): _string(value).upper() for name, value in answer.rows}
    if values.get("log_bin") == "ON" and values.get("binlog_format", "ROW") != "ROW":
        raise NotManageable(
            f"no table can be managed on this server: binlog_format is {values['binlog_format']}, "
            "and TxGuard needs ROW (SET GLOBAL binlog_format = ROW, and in the server's configuration file)"
        )


async def _put_triggers(
    connection: Connection, table: ManagedTable, present: _Present, timeout_s: float | None
) -> None:
    """Create what is missing. Outdated ones are replaced under a table lock: no write slips through in between."""
    wanted = trigger_bodies(table, present.flavour)
    statements = trigger_statements(table, present.flavour)
    outdated = [trigger for trigger, found in present.triggers.items() if wanted.get(trigger) != found]
    missing = [trigger for trigger in wanted if trigger not in present.triggers or trigger in outdated]
    if not outdated and not missing:
        return
    locked = [f"LOCK TABLES {table.source} WRITE"] if outdated else []
    create = [
        *locked,
        *(_drop_trigger(table, trigger) for trigger in outdated),
        *(statements[trigger] for trigger in missing),
        *(["UNLOCK TABLES"] if outdated else []),
    ]
    await _run_in_mode(connection, create, timeout_s)


async def _run_in_mode(connection: Connection, statements: Sequence[str], timeout_s: float | None) -> None:
    """A trigger keeps the sql_mode that it was created under."""
    mode = ["SET @txg_sql_mode = @@SESSION.sql_mode", f"SET SESSION sql_mode = '{TRIGGER_SQL_MODE}'"]
    try:
        await connection.run([*mode, *statements, "SET SESSION sql_mode = @txg_sql_mode"], timeout_s)
    except BaseException:
        connection.abort()  # its mode and its table lock are not known
        raise


def _drop_trigger(table: ManagedTable, trigger: str) -> str:
    return f"DROP TRIGGER IF EXISTS {qualified(table.schema, trigger)}"


def _string(value: Value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
