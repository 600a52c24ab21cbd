"""Comments that servers of some versions execute: `/*!80016 … */`, `/*M!100616 … */`, as dumps are full of them.

Owns which of them the proxy executes: those that a server of the version that it tells its clients would. Because the
shards' versions may be others, such a comment is made text, or blank, before anything else reads the statement.
Source: MySQL 8.0 manual, "Comments"; MariaDB knowledge base, "Comment Syntax".
"""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.sql.lexer import EVERYWHERE_EXECUTED, SKIPPED_TEXT

_VERSION = re.compile(r"(?:5\.5\.5-)?([0-9]+)\.([0-9]+)\.([0-9]+)")
_PIECE = re.compile(rf"/\*(?P<of>M?)!(?P<number>[0-9]*)|{SKIPPED_TEXT}|(?P<close>\*/)", re.DOTALL)
_NOT_OF_MARIADB = range(50_700, 100_000)
"""MariaDB takes these for features of MySQL that it lacks."""


class ServerVersion(NamedTuple):
    """`number`: 80036 for 8.0.36, 101119 for 10.11.19."""

    number: int = 80_036
    mariadb: bool = False

    def executes(self, of_mariadb: bool, number: int) -> bool:
        if self.mariadb:
            return number <= self.number and (of_mariadb or number not in _NOT_OF_MARIADB)
        return number <= self.number and not of_mariadb


UNKNOWN_VERSION = ServerVersion()


def read_version(text: str) -> ServerVersion:
    """From what a server calls itself in its greeting."""
    match = _VERSION.match(text)
    if match is None:
        return UNKNOWN_VERSION
    major, minor, patch = (int(part) for part in match.groups())
    return ServerVersion(major * 10_000 + minor * 100 + patch, "mariadb" in text.lower())


def resolve_comments(sql: str, version: ServerVersion) -> str:
    """The statement with such comments as text or left out. What every server executes alike stays as it is.

    A comment inside of one that is left out is left for the lexer to refuse: servers differ in where that ends.
    """
    if "/*!" not in sql and "/*M!" not in sql:
        return sql
    result: list[str] = []
    position, closing = 0, "*/"
    while (match := _PIECE.search(sql, position)) is not None:
        result.append(sql[position : match.start()])
        position, piece, number = match.end(), match.group(), match["number"]
        if match["close"]:
            piece, closing = closing, "*/"
        elif number is not None and (match["of"] or int(number or 0) > EVERYWHERE_EXECUTED):
            if version.executes(bool(match["of"]), int(number or 0)):
                piece, closing = " ", " "
            else:
                end = sql.find("*/", position)
                if end >= 0 and "/*" not in sql[position:end]:
                    piece, position = " ", end + 2
        result.append(piece)
    return "".join([*result, sql[position:]])
