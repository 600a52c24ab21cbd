"""Names and values as SQL text, safe under every sql_mode and connection character set that the engine uses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def quote(name: str) -> str:
    """An identifier."""
    return "`" + name.replace("`", "``") + "`"


def qualified(schema: str, name: str) -> str:
    return f"{quote(schema)}.{quote(name)}"


def text(value: str) -> str:
    """A string value; as hexadecimal, because NO_BACKSLASH_ESCAPES changes what a quoted literal means."""
    return f"_utf8mb4 X'{value.encode().hex()}'"


def quoted_list(names: Iterable[str], qualifier: str | None = None) -> str:
    """Column names, each behind `qualifier.` (which is used as it stands: an alias, OLD, NEW)."""
    prefix = f"{qualifier}." if qualifier else ""
    return ", ".join(prefix + quote(name) for name in names)


def numbers(values: Sequence[int]) -> str:
    """The inside of an IN list. Never empty: 0 names no transaction."""
    return ", ".join(map(str, values)) or "0"
