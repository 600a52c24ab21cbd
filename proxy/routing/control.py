"""Control statements: reading what comes back, and which databases are nobody's but the server's.

Drivers give a control result's values as numbers, str or bytes; the functions here make them what is meant.
Quoting is `txguard.engine.sqltext`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from txguard.engine.install import DATABASE
from txguard.engine.shard import Value
from txguard.engine.sqltext import text

SYSTEM_SCHEMAS: Final = frozenset(
    {DATABASE, "mysql", "sys", "information_schema", "performance_schema", "ndbinfo"}
)
"""Databases that belong to the server or to TxGuard: no client creates, drops or sees tables in them."""


def is_system_schema(schema: str) -> bool:
    return schema.lower() in SYSTEM_SCHEMAS


def text_list(values: Iterable[str]) -> str:
    """The inside of an IN list of strings. NULL, which matches nothing, when there are none."""
    return ", ".join(text(value) for value in values) or "NULL"


def string(value: Value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def optional_string(value: Value) -> str | None:
    return None if value is None else string(value)


def integer(value: Value) -> int:
    return int(string(value))
