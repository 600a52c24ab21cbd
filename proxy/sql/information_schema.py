"""What information_schema says to clients: everything but TxGuard's own database, column and triggers.

Each reference to one of its tables becomes a derived table with the same columns and fewer rows. Tables that are not
listed here are of one server's inside and are refused.
"""

from __future__ import annotations

from proxy.errors import NotSupported
from proxy.sql.operands import quote_name

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


def filtered(table: str, alias: str) -> str:
    """The derived table that stands for information_schema.`table`, with its alias. Raises NotSupported."""
    condition = _FILTERS.get(table.upper())
    if condition is None:
        raise NotSupported(f"information_schema.{table}")
    return f"(SELECT * FROM information_schema.{table.upper()} WHERE {condition}) AS {quote_name(alias)}"
