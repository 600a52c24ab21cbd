"""SET sql_select_limit: the LIMIT that a SELECT gets which has none of its own.

MySQL's driver for Java sets it for Statement.setMaxRows. The rule: the text gets the LIMIT, so that whatever plans and
merges it knows no other kind. Source: MySQL 8.0 manual, "Server System Variables", sql_select_limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from proxy.sql.lexer import Kind, Token, tokenize

NO_LIMIT = 2**64 - 1


def limited(sql: str, limit: int) -> str:
    """A SELECT with LIMIT; anything else, and one with a LIMIT at its outermost level, as it is."""
    tokens = tokenize(sql).tokens
    outermost = list(_outermost(tokens))
    words = [tokens[index].upper for index in outermost]
    verb = next((word for word in words if word in _VERBS), None)
    if tokens[0].upper not in ("SELECT", "WITH", "(") or verb not in ("SELECT", None):
        return sql
    if _LIMITED & set(words):
        return sql
    for index, word, following in zip(outermost, words, [*words[1:], ""], strict=True):
        locking = (word == "FOR" and following in ("UPDATE", "SHARE")) or (
            word == "LOCK" and following == "IN"
        )
        if locking or word == ";" or tokens[index].kind is Kind.END:
            end = tokens[index - 1].end
            return f"{sql[:end]} LIMIT {limit}{sql[end:]}"
    return sql


_VERBS = frozenset(("SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE"))
_LIMITED = frozenset(("LIMIT", "FETCH", "INTO", "PROCEDURE"))


def _outermost(tokens: Sequence[Token]) -> Iterator[int]:
    """The positions of the tokens outside of all parentheses."""
    depth = 0
    for index, token in enumerate(tokens):
        if token.upper == "(":
            depth += 1
        elif token.upper == ")":
            depth -= 1
        elif depth == 0:
            yield index
