"""AS OF TIMESTAMP: at which instant a SELECT, or a transaction, reads the past.

It stands behind each table of a SELECT, as in TiDB, and says the same behind each; or behind START TRANSACTION READ
ONLY. The instant is a literal, a parameter, or an expression of the clock: the session works it out once, so no shard
ever sees it. Source: TiDB documentation, "Read Historical Data Using the AS OF TIMESTAMP Clause".
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.errors import NotSupported
from proxy.sql.cutting import Holes, cut, source_text, template
from proxy.sql.functions import CLOCK
from proxy.sql.holes import session_value
from proxy.sql.lexer import Tokens
from proxy.sql.scope import Block
from proxy.sql.syntax import AsOf, Call, Expression, Operation, TableName, Value, Variable, children
from proxy.sql.template import Template

CLAUSE = "AS OF TIMESTAMP"
_FUNCTIONS = CLOCK | frozenset(
    "DATE_SUB DATE_ADD SUBDATE ADDDATE SUBTIME ADDTIME TIMESTAMP FROM_UNIXTIME STR_TO_DATE".split()
)
_OPERATIONS = frozenset(("DATE -", "DATE +", "INTERVAL", "INTRODUCER", "+", "-", "*", "UNARY -", "CAST"))


def find_as_of(blocks: Sequence[Block], tokens: Tokens) -> Template | None:
    """The instant of a statement's tables; None: it reads the present."""
    named = [(s, s.node) for block in blocks for s in block.sources if isinstance(s.node, TableName)]
    found = [node.as_of for _, node in named if node.as_of is not None]
    if not found:
        return None
    for source, node in named:
        if node.as_of is not None and source.table is None:
            raise NotSupported(f"{CLAUSE} behind {source.alias}, which is no table")
        if node.as_of is None and source.table is not None:
            raise NotSupported(f"{CLAUSE} behind some tables of a statement only (put it behind each)")
    if len({source_text(tokens, one.expression.start, one.expression.end) for one in found}) > 1:
        raise NotSupported(f"several times in one statement ({CLAUSE} must say the same behind each table)")
    return instant_template(found[0], tokens)


def instant_template(as_of: AsOf, tokens: Tokens) -> Template:
    """The instant's expression, with holes for what the session knows. Raises NotSupported for what is no time."""
    holes = Holes()
    _look_into(as_of.expression, tokens, holes)
    return template(cut(tokens, as_of.expression.start, as_of.expression.end, holes))


def _look_into(node: Expression, tokens: Tokens, holes: Holes) -> None:
    match node:
        case Value():
            return
        case Variable():
            value = session_value(node, tokens)
            assert value is not None
            holes.replace(node.start, node.end, value)
            return
        case Call(name=name, schema=None) if name in _FUNCTIONS:
            pass
        case Operation(name=name) if name in _OPERATIONS:
            pass
        case _:
            text = source_text(tokens, node.start, node.end)
            raise NotSupported(f"{CLAUSE} {text[:60]} (give a time, or an expression of NOW())")
    for child in children(node):
        _look_into(child, tokens, holes)
