"""The catalog as it is stored: the tables in `_txguard`, the statements that read and write them, their rows.

Every shard holds a copy. The one that counts is the authority's (`proxy.routing.catalog_store`);
`catalog.version` tells whether a copy is up to date.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.routing.control import integer, optional_string, string
from proxy.routing.slots import SlotRange
from proxy.routing.table_facts import TableId
from proxy.routing.tables import TableKind
from tso.types import ShardName
from txguard.engine.install import DATABASE
from txguard.engine.shard import Connection, Value
from txguard.engine.sqltext import text

_OPTIONS: Final = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
_VERSION: Final = f"`{DATABASE}`.`catalog`"
_SLOT: Final = f"`{DATABASE}`.`catalog_slot`"
_TABLE: Final = f"`{DATABASE}`.`catalog_table`"

CREATE_STATEMENTS: Final = (
    f"""CREATE TABLE IF NOT EXISTS {_VERSION} (
  `id` TINYINT UNSIGNED NOT NULL,
  `version` BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (`id`)
) {_OPTIONS}""",
    f"""CREATE TABLE IF NOT EXISTS {_SLOT} (
  `first_slot` SMALLINT UNSIGNED NOT NULL,
  `last_slot` SMALLINT UNSIGNED NOT NULL,
  `shard` VARCHAR(64) NOT NULL,
  PRIMARY KEY (`first_slot`)
) {_OPTIONS}""",
    f"""CREATE TABLE IF NOT EXISTS {_TABLE} (
  `table_schema` VARCHAR(64) NOT NULL,
  `table_name` VARCHAR(64) NOT NULL,
  `kind` VARCHAR(16) NOT NULL,
  `shard_key` VARCHAR(64) NULL,
  `home` VARCHAR(64) NULL,
  `managed` TINYINT UNSIGNED NOT NULL,
  `created_ts` BIGINT UNSIGNED NOT NULL,
  `version` BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (`table_schema`, `table_name`)
) {_OPTIONS}""",
)

_READ: Final = (
    "START TRANSACTION WITH CONSISTENT SNAPSHOT",
    f"SELECT `version` FROM {_VERSION} WHERE `id` = 1",
    f"SELECT `first_slot`, `last_slot`, `shard` FROM {_SLOT}",
    "SELECT `table_schema`, `table_name`, `kind`, `shard_key`, `home`, `managed`, `created_ts`, `version` "
    f"FROM {_TABLE}",
    "COMMIT",
)


@dataclass(frozen=True, slots=True)
class TableRow:
    """One table's row. `version`: the catalog version that last changed the table, in whatever way."""

    schema: str
    name: str
    kind: TableKind
    shard_key: str | None
    home: ShardName | None
    managed: bool
    created_ts: int
    version: int

    @property
    def id(self) -> TableId:
        return self.schema, self.name

    def published(self, created_ts: int, version: int) -> TableRow:
        return dataclasses.replace(self, created_ts=created_ts, version=version)


@dataclass(frozen=True, slots=True)
class StoredCatalog:
    """One shard's copy. `version` 0: it has none yet."""

    version: int
    slots: tuple[SlotRange, ...]
    tables: tuple[TableRow, ...]


async def read_stored(connection: Connection, timeout_s: float | None) -> StoredCatalog:
    _, version, slots, tables, _ = await connection.run(_READ, timeout_s)
    return StoredCatalog(
        version=integer(version.rows[0][0]) if version.rows else 0,
        slots=tuple(_slot_range(row) for row in slots.rows),
        tables=tuple(_table_row(row) for row in tables.rows),
    )


async def read_version(connection: Connection, timeout_s: float | None) -> int:
    [answer] = await connection.run([_READ[1]], timeout_s)
    return integer(answer.rows[0][0]) if answer.rows else 0


WAIT_FOR_CHANGE: Final = f"SELECT `version` FROM {_VERSION} WHERE `id` = 1 FOR UPDATE"
"""Answers when no change is half-way in: one whose connection was lost has ended then, in either way."""


def _slot_range(row: Sequence[Value]) -> SlotRange:
    first, last, shard = row
    return SlotRange(integer(first), integer(last), ShardName(string(shard)))


def _table_row(row: Sequence[Value]) -> TableRow:
    schema, name, kind, shard_key, home, managed, created_ts, version = row
    home_name = optional_string(home)
    return TableRow(
        schema=string(schema),
        name=string(name),
        kind=TableKind(string(kind)),
        shard_key=optional_string(shard_key),
        home=None if home_name is None else ShardName(home_name),
        managed=bool(integer(managed)),
        created_ts=integer(created_ts),
        version=integer(version),
    )


def put_table(row: TableRow) -> str:
    """Insert or replace. The row's `version` is the number that the change will make."""
    values = [_optional(value) for value in (row.schema, row.name, row.kind.value, row.shard_key, row.home)]
    numbers = [str(number) for number in (int(row.managed), row.created_ts, row.version)]
    return f"REPLACE INTO {_TABLE} VALUES ({', '.join([*values, *numbers])})"


def delete_table(table: TableId) -> str:
    schema, name = table
    return f"DELETE FROM {_TABLE} WHERE `table_schema` = {text(schema)} AND `table_name` = {text(name)}"


async def apply_changes(
    connection: Connection, changes: Sequence[str], before: int, timeout_s: float | None
) -> bool:
    """Take a copy from version `before` to the next in one local transaction; False: it has another version.

    The connection is good for nothing else when this raises or answers False: the transaction may be open.
    """
    step = f"UPDATE {_VERSION} SET `version` = {before + 1} WHERE `id` = 1 AND `version` = {before}"
    _, stepped = await connection.run(["START TRANSACTION", step], timeout_s)
    if stepped.affected_rows != 1:
        return False
    await connection.run([*changes, "COMMIT"], timeout_s)
    return True


def rewrite_statements(stored: StoredCatalog) -> list[str]:
    """One local transaction that makes a copy the same as `stored`."""
    slots = ", ".join(f"({piece.first}, {piece.last}, {text(piece.shard)})" for piece in stored.slots)
    return [
        "START TRANSACTION",
        f"REPLACE INTO {_VERSION} VALUES (1, {stored.version})",
        f"DELETE FROM {_SLOT}",
        f"INSERT INTO {_SLOT} VALUES {slots}",
        f"DELETE FROM {_TABLE}",
        *(put_table(row) for row in stored.tables),
        "COMMIT",
    ]


def _optional(value: str | None) -> str:
    return "NULL" if value is None else text(value)
