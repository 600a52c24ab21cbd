"""What information_schema says to clients: everything but TxGuard's own database, column and triggers.

Each reference to one of its tables becomes a derived table with the same columns and fewer rows. Tables that are not
listed here are of one server's inside and are refused.

Every shard has every table but the single ones, which their homes alone have. The first shard answers; what the
others know of single tables that live away from it is asked of them before, and stands in its question as rows.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.errors import NotSupported
from proxy.routing.tables import Table
from proxy.sql.operands import quote_name
from proxy.sql.template import AwayRows, Part
from tso.types import ShardName

_SCHEMA = "{0} <> '_txguard'"
_OWN_COLUMN = "COLUMN_NAME <> '_txg_ts'"

_FILTERS: dict[str, str] = {
    "SCHEMATA": _SCHEMA.format("SCHEMA_NAME"),
    "TABLES": _SCHEMA.format("TABLE_SCHEMA"),
    "COLUMNS": f"{_SCHEMA.format('TABLE_SCHEMA')} AND {_OWN_COLUMN}",
    "STATISTICS": f"{_SCHEMA.format('TABLE_SCHEMA')} AND {_OWN_COLUMN}",
    "KEY_COLUMN_USAGE": f"{_SCHEMA.format('TABLE_SCHEMA')} AND {_OWN_COLUMN}",
    "TABLE_CONSTRAINTS": _SCHEMA.format("TABLE_SCHEMA"),
    "CHECK_CONSTRAINTS": _SCHEMA.format("CONSTRAINT_SCHEMA"),
    "REFERENTIAL_CONSTRAINTS": _SCHEMA.format("CONSTRAINT_SCHEMA"),
    "TABLE_PRIVILEGES": "FALSE",
    "COLUMN_PRIVILEGES": "FALSE",
    "VIEWS": _SCHEMA.format("TABLE_SCHEMA"),
    "ROUTINES": _SCHEMA.format("ROUTINE_SCHEMA"),
    "PARAMETERS": _SCHEMA.format("SPECIFIC_SCHEMA"),
    "PARTITIONS": _SCHEMA.format("TABLE_SCHEMA"),
    "EVENTS": _SCHEMA.format("EVENT_SCHEMA"),
    "TRIGGERS": f"{_SCHEMA.format('TRIGGER_SCHEMA')} AND TRIGGER_NAME NOT LIKE '\\_txg%'",
    "CHARACTER_SETS": "TRUE",
    "COLLATIONS": "TRUE",
    "COLLATION_CHARACTER_SET_APPLICABILITY": "TRUE",
    "ENGINES": "TRUE",
    "KEYWORDS": "TRUE",
    "SQL_FUNCTIONS": "TRUE",
}


_ABOUT_TABLES = {
    **dict.fromkeys(
        "TABLES COLUMNS STATISTICS KEY_COLUMN_USAGE TABLE_CONSTRAINTS PARTITIONS".split(), "TABLE_SCHEMA"
    ),
    "REFERENTIAL_CONSTRAINTS": "CONSTRAINT_SCHEMA",
}
"""Those with rows of one table each, beside TABLE_NAME: the column with its database."""
_ABOUT_CONSTRAINTS = "CHECK_CONSTRAINTS"
"""Says on some servers only whose constraint it is."""


def about_tables(table: str) -> bool:
    """Whether the shards answer differently where single tables live away from the first of them."""
    return table.upper() in _ABOUT_TABLES or table.upper() == _ABOUT_CONSTRAINTS


def filtered(table: str, alias: str, away: Iterable[Table] = ()) -> list[Part]:
    """The derived table that stands for information_schema.`table`, with its alias. Raises NotSupported.

    `away`: the single tables that do not live on the shard that is asked, the first.
    """
    condition = _FILTERS.get(table.upper())
    if condition is None:
        raise NotSupported(f"information_schema.{table}")
    start = f"(SELECT * FROM information_schema.{table.upper()} WHERE {condition}"
    homes: dict[ShardName, list[Table]] = {}
    for one in away if about_tables(table) else ():
        assert one.home is not None, "only single tables are away"
        homes.setdefault(one.home, []).append(one)
    end = f") AS {quote_name(alias)}"
    if not homes:
        return [start, end]
    questions = tuple((home, _question(table.upper(), tables)) for home, tables in sorted(homes.items()))
    names = frozenset(one.name for tables in homes.values() for one in tables)
    return [start, AwayRows(questions, names), end]


def _question(table: str, about: Iterable[Table]) -> str:
    names = ", ".join(f"({_text(one.schema)}, {_text(one.name)})" for one in about)
    if table != _ABOUT_CONSTRAINTS:
        condition = f"({_ABOUT_TABLES[table]}, TABLE_NAME) IN ({names})"
        return f"SELECT * FROM information_schema.{table} WHERE {_FILTERS[table]} AND {condition}"
    return (
        f"SELECT * FROM information_schema.{table} WHERE (CONSTRAINT_SCHEMA, CONSTRAINT_NAME) IN (SELECT "
        "CONSTRAINT_SCHEMA, CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS WHERE CONSTRAINT_TYPE = 'CHECK' "
        f"AND (TABLE_SCHEMA, TABLE_NAME) IN ({names}))"
    )


def _text(name: str) -> str:
    """A literal that means the same in every character set of the connection."""
    return f"_utf8mb4 X'{name.encode().hex()}'"
