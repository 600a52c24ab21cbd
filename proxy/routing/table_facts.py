"""What a shard's information_schema says of tables.

Owns: `TableFacts`, the truth about a table as the server understood its definition, and `read_facts`, which
reads it. TxGuard's own column is left out. Types of names and keys only; what may be done with a table is
decided in `proxy.ddl`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.routing.control import integer, optional_string, string, text_list
from proxy.routing.tables import Column
from proxy.sql.operands import quote_string
from txguard.engine.shard import Connection, Rows, Value
from txguard.engine.sqltext import text

WRITER_COLUMN: Final = "_txg_ts"
"""The hidden column of a managed table (docs/protocol.md)."""

TableId = tuple[str, str]
"""(schema, name)"""

_NUMERIC: Final = frozenset({
    "tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "bit", "year",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """`columns` in order; `prefixed` are those of which only the first characters are unique.

    `functional`: a part of the key is an expression, so its columns are not all known.
    """

    name: str
    columns: tuple[str, ...]
    prefixed: frozenset[str]
    functional: bool


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns of this table that reference those of `parent`, position by position."""

    name: str
    columns: tuple[str, ...]
    parent: TableId
    parent_columns: tuple[str, ...]
    on_update: str
    on_delete: str


@dataclass(frozen=True, slots=True)
class TableFacts:
    schema: str
    name: str
    engine: str
    comment: str
    columns: tuple[Column, ...]
    invisible: tuple[str, ...]
    """Columns of the client's own that are invisible."""
    primary_key: UniqueKey | None
    unique_keys: tuple[UniqueKey, ...]
    """Without the primary key."""
    foreign_keys: tuple[ForeignKey, ...]

    def column(self, name: str) -> Column | None:
        folded = name.lower()
        return next((column for column in self.columns if column.name.lower() == folded), None)

    @property
    def auto_increment(self) -> Column | None:
        return next((column for column in self.columns if column.auto_increment), None)


async def read_facts(
    connection: Connection, tables: Iterable[TableId], timeout_s: float | None
) -> dict[TableId, TableFacts]:
    """The facts of those of `tables` that exist there."""
    wanted = set(tables)
    if not wanted:
        return {}
    answers = await connection.run(_queries(wanted), timeout_s)
    listed, columns, statistics, references, rules = (_by_table(answer, wanted) for answer in answers)
    return {
        table: _facts(table, rows[0], columns[table], statistics[table], references[table], rules[table])
        for table, rows in listed.items()
    }


def _queries(tables: set[TableId]) -> list[str]:
    """Each takes in every table of the set, perhaps more: `_by_table` drops those."""
    where = f"{{schema}} IN ({text_list(sorted({schema for schema, _ in tables}))})"
    if len(tables) == 1:
        [(_, name)] = tables
        where += f" AND TABLE_NAME = {text(name)}"
    own, constraint = where.format(schema="TABLE_SCHEMA"), where.format(schema="CONSTRAINT_SCHEMA")
    return [query.format(own=own, constraint=constraint) for query in _QUERIES]


_QUERIES: Final = (
    "SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE, TABLE_COMMENT FROM information_schema.TABLES "
    "WHERE {own} AND TABLE_TYPE = 'BASE TABLE'",
    "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, COLLATION_NAME, "
    "COLUMN_DEFAULT, EXTRA, VERSION() LIKE '%MariaDB%' FROM information_schema.COLUMNS "
    "WHERE {own} ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION",
    "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS "
    "WHERE {own} AND NON_UNIQUE = 0 ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX",
    "SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, "
    "REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE "
    "WHERE {own} AND REFERENCED_TABLE_NAME IS NOT NULL "
    "ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION",
    "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, UPDATE_RULE, DELETE_RULE "
    "FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE {constraint}",
)


def _by_table(answer: Rows, wanted: set[TableId]) -> defaultdict[TableId, list[Sequence[Value]]]:
    """The rows of each wanted table, without the two columns that name it."""
    tables: defaultdict[TableId, list[Sequence[Value]]] = defaultdict(list)
    for schema, name, *rest in answer.rows:
        table = (string(schema), string(name))
        if table in wanted:
            tables[table].append(rest)
    return tables


def _facts(
    table: TableId,
    listed: Sequence[Value],
    columns: list[Sequence[Value]],
    statistics: list[Sequence[Value]],
    references: list[Sequence[Value]],
    rules: list[Sequence[Value]],
) -> TableFacts:
    engine, comment = listed
    keys = _unique_keys(statistics)
    own = [row for row in columns if string(row[0]) != WRITER_COLUMN]
    return TableFacts(
        schema=table[0],
        name=table[1],
        engine=optional_string(engine) or "",
        comment=optional_string(comment) or "",
        columns=tuple(_column(row) for row in own),
        invisible=tuple(string(row[0]) for row in own if "INVISIBLE" in string(row[6]).upper()),
        primary_key=next((key for key in keys if key.name == "PRIMARY"), None),
        unique_keys=tuple(key for key in keys if key.name != "PRIMARY"),
        foreign_keys=_foreign_keys(references, rules),
    )


def _column(row: Sequence[Value]) -> Column:
    name, data_type, column_type, nullable, collation, default, extra, mariadb = row
    type_name = string(data_type).lower()
    extras = string(extra).upper()
    return Column(
        name=string(name),
        type_name=type_name,
        column_type=string(column_type),
        unsigned="unsigned" in string(column_type).lower(),
        nullable=string(nullable) == "YES",
        collation=optional_string(collation),
        default=_default(
            optional_string(default), type_name, "DEFAULT_GENERATED" in extras, bool(integer(mariadb))
        ),
        generated="VIRTUAL GENERATED" in extras or "STORED GENERATED" in extras,
        auto_increment="AUTO_INCREMENT" in extras,
        on_update_clock="ON UPDATE" in extras,
    )


def _default(default: str | None, type_name: str, expression: bool, mariadb: bool) -> str | None:
    """The default as SQL text. MariaDB gives it so; MySQL gives a constant's value without its quotes."""
    if default is None or (mariadb and default.upper() == "NULL"):
        return None
    if mariadb or expression or type_name in _NUMERIC:
        return default
    return quote_string(default)


def _unique_keys(statistics: list[Sequence[Value]]) -> list[UniqueKey]:
    parts: defaultdict[str, list[tuple[str | None, bool]]] = defaultdict(list)
    for index, column, sub_part in statistics:
        parts[string(index)].append((optional_string(column), sub_part is not None))
    return [
        UniqueKey(
            name=name,
            columns=tuple(column for column, _ in key if column is not None),
            prefixed=frozenset(column for column, prefixed in key if prefixed and column is not None),
            functional=any(column is None for column, _ in key),
        )
        for name, key in parts.items()
    ]


def _foreign_keys(references: list[Sequence[Value]], rules: list[Sequence[Value]]) -> tuple[ForeignKey, ...]:
    actions = {string(name): (string(on_update), string(on_delete)) for name, on_update, on_delete in rules}
    parts: defaultdict[str, list[tuple[str, TableId, str]]] = defaultdict(list)
    for name, column, schema, parent, parent_column in references:
        parts[string(name)].append((string(column), (string(schema), string(parent)), string(parent_column)))
    return tuple(
        ForeignKey(
            name=name,
            columns=tuple(column for column, _, _ in key),
            parent=key[0][1],
            parent_columns=tuple(column for _, _, column in key),
            on_update=actions[name][0],
            on_delete=actions[name][1],
        )
        for name, key in parts.items()
    )
