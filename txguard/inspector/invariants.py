"""Invariants as a TOML file, and whether a value that was read is the one that must be.

    [[invariant]]
    name = "no money appears or vanishes"
    sql = "SELECT SUM(balance) FROM bank.account"
    equals = 1000000.00

    [[invariant]]
    name = "nobody is overdrawn"
    no_rows = "SELECT id, balance FROM bank.account WHERE balance < 0"

`sql` is a SELECT with one row of one column, or an expression. Numbers are compared as exact decimals. A
mistake in the file raises InvariantError, whose text names file and line.
"""

from __future__ import annotations

import datetime
import decimal
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

Expected = str | int | Decimal | bool | datetime.date | datetime.datetime | datetime.time

_KEYS: Final = ("name", "sql", "equals", "no_rows")
_HEADER: Final = re.compile(r"^\s*\[\[\s*invariant\s*\]\]")
_KEY: Final = re.compile(r"^\s*[\"']?([\w-]+)[\"']?\s*=")
_QUERY: Final = re.compile(r"^\s*\(*\s*(select|with)\b", re.IGNORECASE)


class InvariantError(Exception):
    """The invariants' file is not valid."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """`query` must give the value `expected`; or, where `expected` is None, no rows at all."""

    name: str
    query: str
    expected: Expected | None


def load_invariants(path: Path) -> tuple[Invariant, ...]:
    """Raises InvariantError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvariantError(f"{path}: {error}") from error
    return parse_invariants(text, str(path))


def parse_invariants(text: str, file: str = "invariants") -> tuple[Invariant, ...]:
    """Raises InvariantError; `file` is what its text calls the document."""
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise InvariantError(f"{file}: {error}") from error
    tables = document.pop("invariant", None)
    if document:
        key = next(iter(document))
        line = _line_of_top_level(text, key)
        raise InvariantError(f"{file}, line {line}: unknown {key!r}; the file holds [[invariant]] tables")
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        raise InvariantError(f"{file}: there is no [[invariant]] table")
    lines = _table_lines(text)
    invariants: dict[str, Invariant] = {}
    for number, table in enumerate(tables):
        where = lines[number] if number < len(lines) else {}
        invariant = _invariant(table, where, file)
        if invariant.name in invariants:
            raise InvariantError(
                f"{_place(file, where, 'name')}: there are two invariants {invariant.name!r}"
            )
        invariants[invariant.name] = invariant
    return tuple(invariants.values())


def _invariant(table: Mapping[str, Any], where: Mapping[str, int], file: str) -> Invariant:
    for key in table:
        if key not in _KEYS:
            raise InvariantError(
                f"{_place(file, where, key)}: unknown key {key!r}; known are {', '.join(_KEYS)}"
            )
    for key in ("name", "sql", "no_rows"):
        value = table.get(key)
        if value is not None and not (isinstance(value, str) and value.strip()):
            raise InvariantError(f"{_place(file, where, key)}: {key} must be a text that is not empty")
    if "name" not in table:
        raise InvariantError(f"{_place(file, where, '')}: the invariant has no name")
    if ("sql" in table) == ("no_rows" in table) or ("equals" in table) != ("sql" in table):
        raise InvariantError(f"{_place(file, where, '')}: give either sql and equals, or no_rows alone")
    if "no_rows" in table:
        return Invariant(table["name"], table["no_rows"].strip().rstrip(";"), None)
    expected = table["equals"]
    if not isinstance(expected, Expected):
        raise InvariantError(f"{_place(file, where, 'equals')}: equals must be one value")
    sql = table["sql"].strip().rstrip(";")
    return Invariant(table["name"], sql if _QUERY.match(sql) else f"SELECT {sql}", expected)


def is_expected(value: object, expected: Expected) -> bool:
    """Whether a value as a driver gives it is the expected one. NULL never is."""
    if value is None:
        return False
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    number, wanted = _number(value), _number(expected)
    if number is not None and wanted is not None:
        return number == wanted
    return value == expected or str(value) == str(expected)


def _number(value: object) -> Decimal | None:
    """Exactly what is written: 0.1 is one tenth, also where a driver gives it as a float."""
    if isinstance(value, int | Decimal):
        return Decimal(value)
    if isinstance(value, float | str):
        try:
            return Decimal(str(value).strip())
        except decimal.InvalidOperation:
            return None
    return None


def _place(file: str, where: Mapping[str, int], key: str) -> str:
    line = where.get(key, where.get(""))
    return file if line is None else f"{file}, line {line}"


def _table_lines(text: str) -> list[dict[str, int]]:
    """For every [[invariant]], the lines of its header (under "") and of its keys, counted from 1.

    Lines inside multi-line strings are passed over.
    """
    tables: list[dict[str, int]] = []
    closing: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if closing is not None:
            closing = None if closing in line else closing
            continue
        if _HEADER.match(line):
            tables.append({"": number})
        elif (key := _KEY.match(line)) and tables:
            tables[-1].setdefault(key[1], number)
        for quotes in ('"""', "'''"):
            if line.count(quotes) == 1:
                closing = quotes
    return tables


def _line_of_top_level(text: str, key: str) -> int:
    pattern = re.compile(rf"^\s*\[*\s*[\"']?{re.escape(key)}\b")
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), 1)
