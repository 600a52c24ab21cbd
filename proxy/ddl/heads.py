"""Reads what the planner does not tell of a data definition statement: forms that are refused, the name of an
index.

The rest of a statement is the servers' to read: they get it as the client wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.errors import NotSupported
from proxy.sql.errors import SyntaxProblem
from proxy.sql.lexer import Kind, Token, tokenize


@dataclass(frozen=True, slots=True)
class IndexHead:
    name: str
    unique: bool


def check_create_table(text: str) -> None:
    """Raises NotSupported for CREATE TABLE statements that make something else than one new, empty, lasting table."""
    words = _words(text)
    head = words[: words.index("TABLE")] if "TABLE" in words else words
    if "TEMPORARY" in head:
        raise NotSupported("CREATE TEMPORARY TABLE")
    if "REPLACE" in head:
        raise NotSupported("CREATE OR REPLACE TABLE")
    if "SELECT" in words:
        raise NotSupported("CREATE TABLE … SELECT")


def is_copy(text: str) -> bool:
    """CREATE TABLE t LIKE s, or (LIKE s)."""
    tokens = [token for token in tokenize(text).tokens if token.upper != "("]
    after_name = _skip_name(tokens, _after(tokens, "TABLE"))
    return tokens[after_name].upper == "LIKE"


def read_index(text: str) -> IndexHead:
    """CREATE [UNIQUE] INDEX name …, DROP INDEX name …. Raises SyntaxProblem, NotSupported."""
    tokens = tokenize(text).tokens
    head = [token.upper for token in tokens[: _after(tokens, "INDEX")]]
    if "REPLACE" in head:
        raise NotSupported("CREATE OR REPLACE INDEX")
    name = tokens[_after(tokens, "INDEX")]
    if name.kind not in (Kind.WORD, Kind.NAME) or name.upper == "ON":
        raise SyntaxProblem(text, name.start)
    return IndexHead(name.text, "UNIQUE" in head)


def _words(text: str) -> list[str]:
    return [token.upper for token in tokenize(text).tokens if token.kind is Kind.WORD]


def _after(tokens: Sequence[Token], keyword: str) -> int:
    """The position after a keyword, and after the IF [NOT] EXISTS that may follow it."""
    position = (
        next((place for place, token in enumerate(tokens) if token.upper == keyword), len(tokens) - 2) + 1
    )
    if tokens[position].upper == "IF":
        while tokens[position].upper in ("IF", "NOT", "EXISTS"):
            position += 1
    return position


def _skip_name(tokens: Sequence[Token], position: int) -> int:
    """The position after `name` or `schema.name`."""
    position += 1
    while tokens[position].upper == ".":
        position += 2
    return position
