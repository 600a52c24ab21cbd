"""The holes of a statement: session values, references to managed tables [R3], information_schema.

A derived table has no database, so a column written `db.t.c` becomes `t.c` wherever one may come to stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from proxy.errors import NotSupported
from proxy.sql.cutting import Holes, source_text
from proxy.sql.functions import SESSION_FUNCTIONS
from proxy.sql.information_schema import filtered
from proxy.sql.lexer import Kind, Tokens
from proxy.sql.operands import Parameter, quote_name
from proxy.sql.patch import keeps_type
from proxy.sql.scope import Block, Schemas, Source
from proxy.sql.syntax import (
    Call,
    ColumnName,
    Expression,
    Item,
    Operation,
    Select,
    Star,
    TableName,
    Value,
    Variable,
    children,
    walk,
)
from proxy.sql.template import Nowait, SessionKind, SessionValue, TableSource

MOST_NAME_BYTES = 255
_BEYOND_UTF8MB3 = re.compile("[\U00010000-\U0010ffff]")
_LITERALS = frozenset((Kind.NUMBER, Kind.STRING, Kind.BITS))
_SCOPES = frozenset(("session", "local", "global"))
_SAFE_FOR_TEXT = frozenset(
    ("=", "<>", "IN", "NOT IN", "IS NULL", "IS NOT NULL", "AND", "OR", "NOT", "LIKE", "NOT LIKE")
)


def find_session_values(blocks: Iterable[Block], tokens: Tokens, holes: Holes) -> tuple[SessionValue, ...]:
    """Make holes of everything that the session knows and a shard does not."""
    found: list[SessionValue] = []
    for block in blocks:
        _refuse_positions(block, tokens)
        for root in block.roots:
            for node in walk(root):
                value = session_value(node, tokens)
                if value is not None:
                    holes.replace(node.start, node.end, value)
                    found.append(value)
    return tuple(dict.fromkeys(found))


def _refuse_positions(block: Block, tokens: Tokens) -> None:
    """A value that stands for a whole item would be taken for a column's position where it is a number."""
    node = block.node
    items = [*node.order_by, *(node.group_by if isinstance(node, Select) else ())]
    for item in items:
        expression = item.expression
        if isinstance(expression, Value) and isinstance(expression.operand, Parameter):
            raise NotSupported("a parameter as a whole item of ORDER BY or GROUP BY")
        if session_value(expression, tokens) is not None:
            text = source_text(tokens, expression.start, expression.end)
            raise NotSupported(f"{text} as a whole item of ORDER BY or GROUP BY")


def session_value(node: Expression, tokens: Tokens) -> SessionValue | None:
    """The hole that a function call or variable becomes, or None."""
    text = source_text(tokens, node.start, node.end)
    if isinstance(node, Call) and node.name in SESSION_FUNCTIONS and node.schema is None:
        if node.arguments:
            raise NotSupported(f"{node.name}() with an argument")
        return SessionValue(SESSION_FUNCTIONS[node.name], text=text)
    if isinstance(node, Variable) and node.system:
        scope, _, name = node.name.rpartition(".")
        if scope.strip().lower() not in ("", *_SCOPES):
            raise NotSupported(f"the system variable @@{node.name}")
        return SessionValue(SessionKind.SYSTEM_VARIABLE, name.strip().strip("`").lower(), text)
    if isinstance(node, Variable):
        return SessionValue(SessionKind.USER_VARIABLE, node.name, text)
    return None


def find_sources(
    blocks: Iterable[Block], tokens: Tokens, holes: Holes, schemas: Schemas, *, consistent_read: bool
) -> bool:
    """Make holes of the tables that [R3] or information_schema replace; whether [R3] can be done at all."""
    patchable = True
    for block in blocks:
        aliases = [source.alias.lower() for source in block.sources]
        for source in block.sources:
            if not isinstance(source.node, TableName):
                continue
            if source.information_schema:
                rows = filtered(source.node.name, source.alias, schemas.away)
                holes.replace(source.node.start, source.node.end, *rows)
            elif consistent_read and source.table is not None and source.table.managed:
                _table_hole(source, tokens, holes)
                patchable &= not source.node.partition and aliases.count(source.alias.lower()) == 1
        patchable &= all(_types_kept(root, block) for root in _inner_roots(block))
        if len(aliases) == len(set(aliases)):
            _strip_databases(block, tokens, holes)
    return patchable


def _table_hole(source: Source, tokens: Tokens, holes: Holes) -> None:
    node = source.node
    assert source.table is not None
    assert isinstance(node, TableName)
    text = source_text(tokens, node.start, node.end)
    if node.as_of is not None:  # What is left without it is never sent: the past is always patched.
        text = source_text(tokens, node.start, node.as_of.start)
    holes.replace(node.start, node.end, TableSource(source.table, source.alias, text))


def keep_names(blocks: Iterable[Block], tokens: Tokens, holes: Holes) -> bool:
    """A column that has no alias is called by its own text, also when that text has holes; whether literals are in it.

    To be called when all holes are known.
    """
    literals = False
    for block in blocks:
        if block.kind == "expression" or not isinstance(block.node, Select):
            continue
        for item in block.node.items:
            if item.alias is not None or isinstance(item.expression, (Star, ColumnName)):
                continue
            inserted = [at for at, part in holes.inserted.items() if isinstance(part, Nowait)]
            if any(item.start <= start < item.end for start in (*holes.replaced, *inserted)):
                holes.inserted[item.end] = f" AS {quote_name(name_of(item, tokens))}"
                literals |= has_literals(item, tokens)
    return literals


def name_of(item: Item, tokens: Tokens) -> str:
    """What the server calls an item without an alias. It cuts it (MAX_ALIAS_NAME of sql_const.h); names are utf8mb3."""
    name = _BEYOND_UTF8MB3.sub("?", source_text(tokens, item.start, item.end)[:MOST_NAME_BYTES])
    while len(name.encode("utf-8", "surrogateescape")) > MOST_NAME_BYTES:
        name = name[:-1]
    return name


def has_literals(item: Item, tokens: Tokens) -> bool:
    return any(token.kind in _LITERALS for token in tokens.tokens[item.start : item.end])


def _strip_databases(block: Block, tokens: Tokens, holes: Holes) -> None:
    for root in block.roots:
        for node in walk(root):
            parts = node.parts if isinstance(node, ColumnName) else ()
            if isinstance(node, Star) and len(node.qualifier) == 2:
                parts = (*node.qualifier, "*")
            if len(parts) == 3:
                kept = source_text(tokens, node.start + 2, node.end)
                holes.replace(node.start, node.end, kept)


def _inner_roots(block: Block) -> list[Expression]:
    """The block's expressions, less the select items that are nothing but a column."""
    node = block.node
    if not isinstance(node, Select):
        return []
    plain = {id(item.expression) for item in node.items if isinstance(item.expression, ColumnName)}
    if {"DISTINCT", "DISTINCTROW"} & node.options and node.order_by:
        plain = set()
    return [root for root in block.roots if id(root) not in plain]


def _types_kept(node: Expression, block: Block) -> bool:
    """No column that the derived table gives another type decides an order or is computed with."""
    if isinstance(node, ColumnName):
        found = block.resolve(node)
        return found is None or keeps_type(found[0].columns[found[1]])
    inner = children(node)
    if isinstance(node, Operation) and node.name in _SAFE_FOR_TEXT:
        numbers = any(isinstance(child, Value) and child.number for child in inner)
        inner = inner if numbers else [child for child in inner if not isinstance(child, ColumnName)]
    return all(_types_kept(child, block) for child in inner)
