"""[S-again] Statements that may look a row up by a unique secondary key, and their forms that fail rather than wait.

Why they need one: `txguard/engine/again.py`. A look-up needs an equality for each column of the key, so whoever names
not all of them, where a condition is or may become one, makes none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from proxy.sql.cutting import Holes, cut, source_text, template
from proxy.sql.lexer import Tokens
from proxy.sql.scope import Block
from proxy.sql.syntax import (
    ColumnName,
    Delete,
    Expression,
    FromItem,
    Join,
    Locking,
    Query,
    Select,
    Star,
    Subquery,
    Update,
    walk,
)
from proxy.sql.template import Nowait, Part, Template

_SHARE = "FOR SHARE NOWAIT"
_SET_OPERATORS = frozenset(("UNION", "EXCEPT", "INTERSECT", "MINUS"))
_AFTER_SET_OPERATOR = _SET_OPERATORS | {"ALL", "DISTINCT"}
_WAIT_OPTIONS = frozenset(("NOWAIT", "SKIP", "WAIT"))


def may_look_up(blocks: Sequence[Block]) -> bool:
    """Whether some unique secondary key has all of its columns named in conditions."""
    keys = [
        frozenset(column.lower() for column in key)
        for block in blocks
        for source in block.sources
        if source.table is not None
        for key in source.table.unique_keys
    ]
    if not keys:
        return False
    named: set[str] = set()
    for block in blocks:
        if _names_all(block):
            return True
        named.update(_names(block))
    return any(key <= named for key in keys)


def _names(block: Block) -> Iterator[str]:
    """The columns in conditions. What an inner SELECT gives out may be compared outside."""
    node = block.node
    for join in _joins(node.source):
        yield from (name.lower() for name in join.using)
    for root in _conditions(block) if block.kind in ("top", "member") else block.roots:
        yield from (part.name.lower() for part in walk(root) if isinstance(part, ColumnName))


def _conditions(block: Block) -> Iterator[Expression]:
    node = block.node
    yield from (join.on for join in _joins(node.source) if join.on is not None)
    if node.where is not None:
        yield node.where
    if isinstance(node, Select) and node.having is not None:
        yield node.having


def _names_all(block: Block) -> bool:
    """NATURAL JOIN, or a * that an outer query sees."""
    if any(join.natural for join in _joins(block.node.source)):
        return True
    inner = block.kind not in ("top", "member")
    return inner and any(isinstance(root, Star) for root in block.roots)


def _joins(item: FromItem | None) -> Iterator[Join]:
    if isinstance(item, Join):
        yield item
        yield from _joins(item.left)
        yield from _joins(item.right)


# ---------------------------------------------------------------- SELECT


def find_nowait(blocks: Iterable[Block], tokens: Tokens, holes: Holes) -> bool:
    """Make holes for NOWAIT in every SELECT that reads tables; whether all could be made."""
    complete = True
    for block in blocks:
        if isinstance(block.node, Select) and any(source.table is not None for source in block.sources):
            complete &= _close(block.node, tokens, holes)
    return complete


def _close(select: Select, tokens: Tokens, holes: Holes) -> bool:
    clause: str | None = _SHARE
    if select.locking is not None:
        clause = _at_once(select.locking, tokens)
    if clause is None:
        return False
    parentheses = 0
    while tokens.tokens[select.start + parentheses].upper == "(":
        parentheses += 1
    end = select.end - parentheses
    if not parentheses and _is_member(select, tokens):
        end = _own_end(select)
        holes.inserted[select.start] = Nowait("", "(")
        clause += ")"
    if select.locking is not None:
        text = source_text(tokens, select.locking.start, select.locking.end)
        kept = clause if select.locking.end == end else ""
        holes.replace(select.locking.start, select.locking.end, Nowait(text, kept))
    if select.locking is None or select.locking.end != end:
        holes.inserted[end] = Nowait("", f" {clause} ")
    return True


def _at_once(locking: Locking, tokens: Tokens) -> str | None:
    """The locking clauses with NOWAIT each; None where one says itself how to wait."""
    words = tokens.tokens[locking.start : locking.end]
    if any(word.upper in _WAIT_OPTIONS for word in words):
        return None
    if words[0].upper == "LOCK":
        return _SHARE
    starts = [index for index, word in enumerate(words, locking.start) if word.upper == "FOR"]
    ends = [*starts[1:], locking.end]
    return " ".join(f"{source_text(tokens, *clause)} NOWAIT" for clause in zip(starts, ends, strict=True))


def _is_member(select: Select, tokens: Tokens) -> bool:
    """Of a UNION, without parentheses of its own."""
    before = tokens.tokens[select.start - 1].upper if select.start else ""
    after = tokens.tokens[select.end].upper if select.end < len(tokens.tokens) else ""
    return before in _AFTER_SET_OPERATOR or after in _SET_OPERATORS


def _own_end(select: Select) -> int:
    """Where the last member of a UNION ends, and what belongs to the whole begins."""
    if select.order_at is not None:
        return select.order_at[0]
    if select.limit is not None:
        return select.limit.start
    return select.end if select.locking is None else select.locking.start


# ---------------------------------------------------------------- writes


def look_of_change(node: Update | Delete, tokens: Tokens, holes: Holes) -> Template:
    """Locks the rows that an UPDATE or DELETE is going to find."""
    items: list[Part] = ["COUNT(*)"] if node.limit is None else ["1"]
    if isinstance(node, Update):
        values = [assignment.value for assignment in node.assignments if assignment.value is not None]
        inner = [value for value in values if any(isinstance(part, Subquery) for part in walk(value))]
        if inner:
            items = ["1"]
        for value in inner:
            items += [", (", *cut(tokens, value.start, value.end, holes), ")"]
        last = node.assignments[-1].end
        first = node.assignments[0].start - 1
        body = [*_body(tokens, _after_word(node, tokens, "UPDATE"), first, holes)]
        body += _body(tokens, last, node.end, holes)
    else:
        body = _body(tokens, _after_from(node, tokens), node.end, holes)
    keyword = _keyword(node, tokens)
    ctes = [*cut(tokens, node.start, keyword, holes), " "] if node.ctes else []
    return template(ctes, "SELECT ", items, " FROM", body, [Nowait(" FOR UPDATE", " FOR UPDATE NOWAIT")])


def look_of_query(query: Query, tokens: Tokens, holes: Holes) -> Template:
    """Locks what the SELECT of an INSERT … SELECT is going to read."""
    if not isinstance(query, Select) or query.source is None or not _is_plain(query, tokens):
        return template(cut(tokens, query.start, query.end, holes, tail=True))
    body = cut(tokens, query.items_end, query.end, holes, tail=True)
    return template("SELECT COUNT(*) ", body)


def _is_plain(query: Select, tokens: Tokens) -> bool:
    """What is selected decides neither how many rows there are nor what is read."""
    if query.having is not None or query.limit is not None or query.group_by or query.order_by:
        return False
    if query.windows or query.options or query.ctes or tokens.tokens[query.start].upper == "(":
        return False
    return all(isinstance(item.expression, (ColumnName, Star)) for item in query.items)


def _body(tokens: Tokens, start: int, end: int, holes: Holes) -> list[Part]:
    return [" ", *cut(tokens, start, end, holes, tail=True)] if start < end else []


def _keyword(node: Update | Delete, tokens: Tokens) -> int:
    """UPDATE or DELETE itself, behind a WITH."""
    word = "UPDATE" if isinstance(node, Update) else "DELETE"
    return _outside(tokens, node.start, frozenset((word,)))


def _after_word(node: Update, tokens: Tokens, word: str) -> int:
    index = _outside(tokens, node.start, frozenset((word,))) + 1
    while tokens.tokens[index].upper in ("LOW_PRIORITY", "IGNORE"):
        index += 1
    return index


def _after_from(node: Delete, tokens: Tokens) -> int:
    """DELETE [a] FROM …, or DELETE FROM a USING …"""
    begin = _outside(tokens, _keyword(node, tokens), frozenset(("FROM",))) + 1
    if node.targets and node.targets[0].start >= begin:
        begin = _outside(tokens, node.targets[-1].end, frozenset(("USING",))) + 1
    return begin


def _outside(tokens: Tokens, start: int, words: frozenset[str]) -> int:
    """The first of `words` that stands outside of parentheses."""
    depth = 0
    for index in range(start, len(tokens.tokens)):
        upper = tokens.tokens[index].upper
        depth += (upper == "(") - (upper == ")")
        if depth == 0 and upper in words:
            return index
    raise ValueError(f"no {'/'.join(words)} in {tokens.sql!r}")
