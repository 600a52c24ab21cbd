"""Looks at a table in information_schema and says whether it can be managed, and if not, why.

Owns: the queries, and the rules of what is refused. A refusal is `NotManageable`, whose text names the obstacle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from txguard.engine.managed_table import WRITER, Category, ManagedColumn, ManagedTable, history_name
from txguard.engine.shard import Connection, Value
from txguard.engine.sqltext import text
from txguard.errors import NotManageable

_MAX_KEY_PARTS: Final = 15
"""InnoDB indexes have 16 columns at most, and the history's key begins with `_txg_next`."""

_ROW_ACTIONS: Final = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})
"""Foreign keys that write rows without firing their triggers."""


async def describe(
    connection: Connection, schema: str, name: str, timeout_s: float | None = None
) -> ManagedTable:
    """What a managed table of this name is, or would be. Raises NotManageable."""
    queries = _queries(schema, name)
    tables, columns, key, foreign_keys, constrained = (
        answer.rows for answer in await connection.run(queries, timeout_s)
    )
    if not tables:
        raise NotManageable(f"there is no table {schema}.{name} on this shard")
    schema, name, kind, engine = (_string(value) for value in tables[0])
    if kind != "BASE TABLE":
        raise NotManageable(f"{schema}.{name} cannot be managed: it is a {kind.lower()}")
    if engine.lower() != "innodb":
        raise NotManageable(f"{schema}.{name} cannot be managed: its engine is {engine}, not InnoDB")
    described = tuple(_column(row) for row in columns)
    generated = {column.name for column in described if column.generated}
    primary_key = _primary_key(f"{schema}.{name}", key, generated)
    _refuse_row_actions(f"{schema}.{name}", foreign_keys)
    kept = tuple(column for column in described if column.name != WRITER)
    refusing = {_string(column) for (column,) in constrained if column is not None}
    ordered = tuple(column.name for column in kept if column.name in refusing)
    return ManagedTable(schema, name, kept, primary_key, ordered, history_name(schema, name))


def _queries(schema: str, name: str) -> list[str]:
    """With lower_case_table_names = 0 the names are compared exactly, otherwise as the server keeps them."""
    fold = "IF(@@lower_case_table_names = 0, {0}, LOWER({0}))"

    def where(schema_column: str, name_column: str) -> str:
        return " AND ".join(
            f"{column} = {text(value)} AND "
            f"CONVERT({fold.format(column)} USING utf8mb4) COLLATE utf8mb4_bin = {fold.format(text(value))}"
            for column, value in ((schema_column, schema), (name_column, name))
        )

    own = where("TABLE_SCHEMA", "TABLE_NAME")
    return [
        f"SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE {own}",
        "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, COLLATION_NAME, GENERATION_EXPRESSION, EXTRA "
        f"FROM information_schema.COLUMNS WHERE {own} ORDER BY ORDINAL_POSITION",
        "SELECT COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS "
        f"WHERE {own} AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX",
        "SELECT CONSTRAINT_NAME, UPDATE_RULE, DELETE_RULE FROM information_schema.REFERENTIAL_CONSTRAINTS "
        f"WHERE {where('CONSTRAINT_SCHEMA', 'TABLE_NAME')} ORDER BY CONSTRAINT_NAME",
        f"SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE {own} AND NON_UNIQUE = 0 "
        f"UNION SELECT COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE {own} "
        "UNION SELECT REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE "
        f"WHERE {where('REFERENCED_TABLE_SCHEMA', 'REFERENCED_TABLE_NAME')}",
    ]


def _column(row: Sequence[Value]) -> ManagedColumn:
    name, data_type, column_type, collation, expression, extra = row
    flags = _string(extra or "").lower()
    return ManagedColumn(
        name=_string(name),
        column_type=_string(column_type),
        collation=None if collation is None else _string(collation),
        category=Category.of(_string(data_type).lower()),
        generated=bool(expression) or "stored generated" in flags or "virtual generated" in flags,
        auto_increment="auto_increment" in flags,
    )


def _primary_key(table: str, key: Sequence[Sequence[Value]], generated: set[str]) -> tuple[str, ...]:
    if not key:
        raise NotManageable(f"{table} cannot be managed: it has no primary key")
    for column, length in key:
        if length is not None:
            raise NotManageable(
                f"{table} cannot be managed: its primary key holds only a prefix of {_string(column)}"
            )
    names = tuple(_string(column) for column, _ in key)
    if len(names) > _MAX_KEY_PARTS:
        raise NotManageable(
            f"{table} cannot be managed: its primary key has more than {_MAX_KEY_PARTS} columns"
        )
    if computed := [name for name in names if name in generated]:
        raise NotManageable(
            f"{table} cannot be managed: {computed[0]} in its primary key is a generated column"
        )
    return names


def _refuse_row_actions(table: str, foreign_keys: Sequence[Sequence[Value]]) -> None:
    for constraint, *rules in foreign_keys:
        for event, rule in zip(("UPDATE", "DELETE"), map(_string, rules), strict=True):
            if rule.upper() in _ROW_ACTIONS:
                raise NotManageable(
                    f"{table} cannot be managed: foreign key {_string(constraint)} is ON {event} {rule}, "
                    "which changes rows without firing triggers"
                )


def _string(value: Value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
