"""The hidden columns by which the answers of several shards are ordered and grouped.

Owns `KeyMaker`, which decides from a column's type (or, for an expression, leaves it to the answer's) what orders it:
the value, or its collation's weight. See `merge_spec` for what the merge does with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.errors import NotSupported
from proxy.routing.tables import Column
from proxy.sql.cutting import Holes, cut
from proxy.sql.functions import AGGREGATES, CHANGING
from proxy.sql.lexer import Tokens
from proxy.sql.merge_spec import Key
from proxy.sql.scatter_columns import HIDDEN_BASE, HiddenColumns
from proxy.sql.scope import Block
from proxy.sql.syntax import Call, ColumnName, Expression, Operation, Star, Subquery, walk
from proxy.sql.template import Part

_STRINGS = frozenset("char varchar tinytext text mediumtext longtext".split())
_BINARY = frozenset("binary varbinary tinyblob blob mediumblob longblob".split())
_NUMBERED = {"enum": "+0", "set": "+0", "bit": "+0", "float": "+0e0"}
"""Their order is a number's that their text does not show (in full)."""
_ENUMS = frozenset(("enum", "set"))
_BY_VALUE = frozenset(
    "tinyint smallint mediumint int bigint decimal double year date datetime timestamp time".split()
)
ORDERED_BY_VALUE = _BY_VALUE | _BINARY | {"float"}
_KNOWN = _STRINGS | _BINARY | _BY_VALUE | frozenset(_NUMBERED)

_NUMBER_OPERATORS = frozenset(
    ("+", "-", "*", "/", "%", "DIV", "MOD", "UNARY -", "AND", "OR", "NOT", "=", "<", ">")
)
_NUMBER_FUNCTIONS = frozenset(
    "COUNT SUM AVG BIT_AND BIT_OR BIT_XOR YEAR MONTH DAY HOUR MINUTE SECOND QUARTER WEEK LENGTH CHAR_LENGTH ABS FLOOR "
    "CEIL CEILING ROUND SIGN DATEDIFF DAYOFWEEK DAYOFYEAR TO_DAYS STD STDDEV VARIANCE".split()
)


@dataclass(slots=True)
class KeyMaker:
    """`grouped`: the query is grouped, so a hidden column is wrapped in MIN(): within a group all are equal."""

    tokens: Tokens
    block: Block
    holes: Holes
    hidden: HiddenColumns
    grouped: bool

    def key(
        self,
        expression: Expression,
        *,
        descending: bool = False,
        visible: int | None = None,
        equality: bool = False,
    ) -> Key:
        """The key of an expression; `visible` is its index in the client's own columns, if it is one of them.

        `equality`: nothing is sorted by it. An ENUM then is its text, which the form of [R3] keeps.
        """
        self._refuse_unstable(expression)
        text = self.text(expression)
        column = self.column(expression)
        if column is None:
            value = visible if visible is not None else self._add(expression, text)
            if _is_number(expression):
                return Key(value, descending=descending)
            return Key(value, *self.weights(expression, text), descending=descending)
        if column.type_name in _STRINGS:
            return Key(None, *self.weights(expression, text), descending=descending)
        if column.type_name in _NUMBERED and not (equality and column.type_name in _ENUMS):
            number = [*text, _NUMBERED[column.type_name]]
            return Key(self._add(expression, number), descending=descending)
        if column.type_name in _BY_VALUE or column.type_name in _BINARY or column.type_name in _ENUMS:
            value = visible if visible is not None else self._add(expression, text)
            return Key(value, descending=descending)
        raise NotSupported(f"sorting or grouping by a column of type {column.type_name} over several shards")

    def text_key(self, text: Sequence[Part], column: Column, visible: int | None) -> Key:
        """The key of a column that a star stands for; `text` names it."""
        if column.type_name in _STRINGS:
            weight = HIDDEN_BASE + self.hidden.add("WEIGHT_STRING(", text, ")")
            return Key(None, weight, HIDDEN_BASE + self.hidden.add(_space(text)))
        if column.type_name in _NUMBERED and column.type_name not in _ENUMS:
            return Key(HIDDEN_BASE + self.hidden.add(text, _NUMBERED[column.type_name]))
        if column.type_name in _BY_VALUE or column.type_name in _BINARY or column.type_name in _ENUMS:
            value = visible if visible is not None else HIDDEN_BASE + self.hidden.add(text)
            return Key(value)
        raise NotSupported(f"DISTINCT over a column of type {column.type_name} over several shards")

    def text(self, expression: Expression) -> list[Part]:
        inner = cut(self.tokens, expression.start, expression.end, self.holes)
        return inner if isinstance(expression, (ColumnName, Call)) else ["(", *inner, ")"]

    def weights(self, expression: Expression, text: list[Part]) -> tuple[int, int]:
        weight = self._add(expression, ["WEIGHT_STRING(", *text, ")"])
        return weight, self._add(expression, _space(text))

    def _add(self, expression: Expression, text: Sequence[Part]) -> int:
        if self.grouped and not is_aggregated(expression):
            return HIDDEN_BASE + self.hidden.add("MIN(", text, ")")
        return HIDDEN_BASE + self.hidden.add(text)

    def column(self, expression: Expression) -> Column | None:
        """The catalog's column, when the expression is nothing but one."""
        if not isinstance(expression, ColumnName):
            return None
        found = self.block.resolve(expression)
        if found is None:
            return None
        return found[0].columns[found[1]]

    def _refuse_unstable(self, expression: Expression) -> None:
        for node in walk(expression):
            if isinstance(node, Subquery) and self.grouped:
                raise NotSupported("grouping by a subquery over several shards")
            if isinstance(node, Call) and node.name in CHANGING:
                raise NotSupported(f"sorting or grouping by {node.name}() over several shards")
            if isinstance(node, Star):
                raise NotSupported("sorting or grouping by * over several shards")
            if isinstance(node, ColumnName) and node is not expression:
                self._refuse_exotic(node)

    def _refuse_exotic(self, node: ColumnName) -> None:
        found = self.block.resolve(node)
        column = found[0].columns[found[1]] if found is not None else None
        if column is not None and column.type_name not in _KNOWN:
            raise NotSupported(
                f"sorting or grouping by a column of type {column.type_name} over several shards"
            )


def is_aggregated(expression: Expression) -> bool:
    return any(
        isinstance(node, Call) and node.name in AGGREGATES and not node.window for node in walk(expression)
    )


def _is_number(expression: Expression) -> bool:
    """Certainly a number, whatever it is made from."""
    if isinstance(expression, Operation):
        return expression.name in _NUMBER_OPERATORS
    return isinstance(expression, Call) and expression.name in _NUMBER_FUNCTIONS and not expression.window


def _space(text: Sequence[Part]) -> list[Part]:
    """The weight of a space in the text's collation; empty where the collation does not pad."""
    empty: list[Part] = ["LEFT(", *text, ",0)"]
    space: list[Part] = ["CONCAT(", *empty, ",' ')"]
    return ["IF(", *space, "=", *empty, ",WEIGHT_STRING(", *space, "),'')"]
