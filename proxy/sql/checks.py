"""[R1] What must be asked after a write under a snapshot: did it pass over rows that a newer commit has changed?

A point write by whole primary key that finds its rows passed over none. For the others the WHERE is handed to the
engine in terms of one table's own columns; what cannot be said so is left out, which asks about more rows, never fewer.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.sql.cutting import Holes, cut, template
from proxy.sql.functions import CHANGING, CLOCK, SESSION_FUNCTIONS
from proxy.sql.lexer import Tokens
from proxy.sql.plan import Check
from proxy.sql.scope import Block, Source
from proxy.sql.sharding import key_constraints
from proxy.sql.syntax import Call, ColumnName, Expression, Star, Subquery, Variable, conjuncts, walk
from proxy.sql.template import Part


def check_of(source: Source, block: Block, conditions: Iterable[Expression], tokens: Tokens) -> Check:
    """The check of one managed table: the conjuncts that speak of nothing but its columns."""
    assert source.table is not None
    wheres: list[Part] = []
    for condition in conditions:
        for conjunct in conjuncts(condition):
            text = _own_terms(conjunct, source, block, tokens)
            if text is not None:
                wheres += [" AND (" if wheres else "(", *text, ")"]
    return Check(source.table, template(wheres) if wheres else None)


def _own_terms(conjunct: Expression, source: Source, block: Block, tokens: Tokens) -> list[Part] | None:
    holes = Holes()
    for node in walk(conjunct):
        if isinstance(node, (Subquery, Star, Variable)) or (isinstance(node, Call) and not _steady(node)):
            return None
        if isinstance(node, ColumnName):
            found = block.resolve(node)
            if found is None or found[0] is not source:
                return None
            holes.replace(node.start, node.end, _last_part(node, tokens))
    return cut(tokens, conjunct.start, conjunct.end, holes)


def _steady(call: Call) -> bool:
    """The same value on a second connection. LAST_INSERT_ID() and the like are of the session."""
    return call.name not in CHANGING and call.name not in SESSION_FUNCTIONS and call.name not in CLOCK


def _last_part(node: ColumnName, tokens: Tokens) -> str:
    token = tokens.tokens[node.end - 1]
    return tokens.sql[token.start : token.end]


def point_rows(source: Source, block: Block, where: Expression | None) -> int | None:
    """How many rows a condition names by whole primary key; None when it is no such condition."""
    if where is None or source.table is None or not source.table.primary_key:
        return None
    rows = 1
    for column in source.table.primary_key:
        keys = key_constraints(where, block, column).get(source)
        if keys is None or (rows > 1 and len(keys) > 1):
            return None
        rows *= len(keys)
    return rows
