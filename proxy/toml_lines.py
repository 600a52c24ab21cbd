"""On which line of a TOML document each key stands. `tomllib` reads values but forgets where they were.

The document is already known to be valid, so a value ends at the first line with which it parses.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Any

Path = tuple[str | int, ...]
"""Keys and, for arrays of tables, indices: ("shards", 0, "host")."""

_HEADER = re.compile(r"^\s*(\[\[?)(.+?)\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""^\s*((?:[\w-]+|"[^"]*"|'[^']*'|\s*\.\s*)+?)\s*=""")


def key_lines(text: str) -> dict[Path, int]:
    """Map the path of every key and table header to its line, counted from 1."""
    lines = text.splitlines()
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    at = 0
    while at < len(lines):
        number, line = at + 1, lines[at]
        at += 1
        if header := _HEADER.match(line):
            table = _table_path(_split(header[2]), header[1] == "[[", counts)
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, *_split(key[1])), number)
            at = _end_of_value(lines, number - 1, key.end())
    return found


def line_of(found: dict[Path, int], path: Sequence[str | int]) -> int | None:
    """The line of `path`, or of the innermost table or key around it that the document has."""
    for length in range(len(path), 0, -1):
        if (line := found.get(tuple(path[:length]))) is not None:
            return line
    return None


def _split(dotted: str) -> Path:
    """Split a dotted key into its parts by the TOML reader itself, which knows the quoting."""
    value: Any = tomllib.loads(f"{dotted} = 0")
    parts: list[str | int] = []
    while isinstance(value, dict):
        key, value = next(iter(value.items()))
        parts.append(key)
    return tuple(parts)


def _table_path(keys: Path, is_array: bool, counts: dict[Path, int]) -> Path:
    """The path of a header, with the index of the newest element for every array of tables on the way."""
    path: Path = ()
    for position, key in enumerate(keys):
        path = (*path, key)
        if is_array and position == len(keys) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _end_of_value(lines: list[str], first: int, column: int) -> int:
    """The index of the line after the value that begins at `lines[first][column:]`."""
    value = lines[first][column:]
    for after in range(first + 1, len(lines) + 1):
        try:
            tomllib.loads(f"value ={value}")
        except tomllib.TOMLDecodeError:
            value += "\n" + "".join(lines[after : after + 1])
        else:
            return after
    return len(lines)
