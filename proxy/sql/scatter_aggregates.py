"""Aggregates over several shards: which column of the answers is combined how, and what is computed from them.

Every aggregate is asked of each shard as the client wrote it; AVG needs its SUM and COUNT beside it. An expression
over aggregates is computed anew from the combined ones, where that is exactly what MySQL would compute.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.errors import NotSupported
from proxy.sql.cutting import cut
from proxy.sql.functions import AGGREGATES
from proxy.sql.merge_spec import Aggregate, Combine, Computed, Formula, Key, Operator
from proxy.sql.operands import Constant, Parameter
from proxy.sql.scatter_columns import HIDDEN_BASE
from proxy.sql.scatter_keys import ORDERED_BY_VALUE, KeyMaker, is_aggregated
from proxy.sql.sharding import Sharding
from proxy.sql.syntax import Call, Expression, Operation, Value
from proxy.sql.template import Part

_COMBINES = {
    "COUNT": Combine.COUNT,
    "SUM": Combine.SUM,
    "MIN": Combine.MIN,
    "MAX": Combine.MAX,
    "BIT_AND": Combine.BIT_AND,
    "BIT_OR": Combine.BIT_OR,
    "BIT_XOR": Combine.BIT_XOR,
}
_OPERATORS = {
    "+": Operator.ADD,
    "-": Operator.SUBTRACT,
    "*": Operator.MULTIPLY,
    "/": Operator.DIVIDE,
}


UNEVALUATED, TYPE_ONLY = "IF(0,", ",NULL)"
"""What stands between them gives a shard's column its type, and is not computed."""


@dataclass(slots=True)
class AggregateCompiler:
    keys: KeyMaker
    sharding: Sharding
    aggregates: list[Aggregate] = field(default_factory=list)
    computed: list[Computed] = field(default_factory=list)
    finer: list[list[Part]] = field(default_factory=list)
    """What the shards group by besides, so that the merge sees each value of a COUNT(DISTINCT …)."""
    keyed: list[Call] = field(default_factory=list)
    """DISTINCT aggregates of a shard key, which add up as long as the groups are not made finer."""

    def column(self, expression: Expression, column: int | None = None) -> Key:
        """Have an aggregated expression combined in `column` (a new hidden one when None); how it sorts."""
        text = self.keys.text(expression)
        if isinstance(expression, Call) and expression.name in _COMBINES:
            return self._simple(
                expression, HIDDEN_BASE + self.keys.hidden.add(text) if column is None else column
            )
        formula = self._formula(expression, top=True)
        if column is None:
            wrapped = [UNEVALUATED, *text, TYPE_ONLY] if subtracts(formula) else text
            column = HIDDEN_BASE + self.keys.hidden.add(wrapped)
        if all(known.column != column for known in self.computed):
            self.computed.append(Computed(column, formula))
        return Key(column)

    def _simple(self, call: Call, column: int) -> Key:
        for known in self.aggregates:
            if known.column == column:
                return known.key if known.key is not None and known.key.value == column else Key(column)
        how = _COMBINES[call.name]
        if how in (Combine.MIN, Combine.MAX):
            key = self._extreme_key(call, column)
            self.aggregates.append(Aggregate(column, how, key))
            return key
        if call.distinct:
            self._distinct(call, column, how)
        else:
            self.aggregates.append(Aggregate(column, how))
        return Key(column)

    def _distinct(self, call: Call, column: int, how: Combine) -> None:
        argument = call.arguments[0]
        if len(call.arguments) == 1 and self.sharding.is_key(argument, self.keys.block):
            self.keyed.append(call)
            self.aggregates.append(Aggregate(column, how))
            return
        if how is not Combine.COUNT or len(call.arguments) != 1 or isinstance(argument, Value):
            raise NotSupported(f"this {call.name}(DISTINCT …) over several shards, unless of the shard key")
        key = self.keys.key(argument, equality=True)
        self.aggregates.append(Aggregate(column, Combine.COUNT_DISTINCT, key))
        text = self.keys.text(argument)
        if text not in self.finer:
            self.finer.append(text)

    def check(self) -> None:
        """After all columns: what adds up over shards must also add up over the finer groups."""
        if self.finer and self.keyed:
            raise NotSupported(f"{self.keyed[0].name}(DISTINCT shard key) beside another COUNT(DISTINCT …)")

    def _extreme_key(self, call: Call, column: int) -> Key:
        argument = call.arguments[0]
        catalog_column = self.keys.column(argument)
        if catalog_column is not None and catalog_column.type_name in ("enum", "set", "bit"):
            raise NotSupported(
                f"{call.name}() of a column of type {catalog_column.type_name} over several shards"
            )
        if catalog_column is not None and catalog_column.type_name in ORDERED_BY_VALUE:
            return Key(column)
        weight, space = self.keys.weights(call, self.keys.text(call))
        return Key(column, weight, space)

    # ------------------------------------------------------------ formulas

    def _formula(self, expression: Expression, *, top: bool) -> Formula:
        if isinstance(expression, Value) and (expression.number or isinstance(expression.operand, Parameter)):
            return Formula(Operator.NUMBER, number=expression.operand)
        if isinstance(expression, Call) and not expression.window:
            return self._call(expression, top=top)
        if isinstance(expression, Operation):
            operator = _OPERATORS.get(expression.name)
            if operator is not None and (operator is not Operator.DIVIDE or top):
                return Formula(operator, tuple(self._formula(o, top=False) for o in expression.operands))
            if expression.name == "UNARY -":
                zero = Formula(Operator.NUMBER, number=Constant(0))
                return Formula(Operator.SUBTRACT, (zero, self._formula(expression.operands[0], top=False)))
        raise NotSupported(
            "this expression over aggregates of several shards (+ - * / COALESCE ROUND are possible)"
        )

    def _call(self, call: Call, *, top: bool) -> Formula:
        if call.name in _COMBINES:
            return Formula(Operator.COLUMN, column=_value(self.column(call)))
        if call.name == "AVG" and top:
            return self._average(call)
        if call.name in ("COALESCE", "IFNULL"):
            return Formula(Operator.COALESCE, tuple(self._formula(a, top=top) for a in call.arguments))
        if call.name == "ROUND" and 1 <= len(call.arguments) <= 2:
            digits = call.arguments[1] if len(call.arguments) == 2 else None
            if digits is None or (isinstance(digits, Value) and digits.number):
                return Formula(Operator.ROUND, tuple(self._formula(a, top=top) for a in call.arguments))
        if call.name in AGGREGATES:
            raise NotSupported(
                f"{call.name}() over several shards" if top else f"{call.name}() in an expression"
            )
        if is_aggregated(call):
            raise NotSupported(f"{call.name}() of aggregates over several shards")
        raise NotSupported(f"{call.name}() beside aggregates over several shards")

    def _average(self, call: Call) -> Formula:
        if call.distinct or len(call.arguments) != 1:
            raise NotSupported("AVG(DISTINCT …) over several shards")
        argument = call.arguments[0]
        text = cut(self.keys.tokens, argument.start, argument.end, self.keys.holes)
        total = HIDDEN_BASE + self.keys.hidden.add("SUM(", text, ")")
        count = HIDDEN_BASE + self.keys.hidden.add("COUNT(", text, ")")
        for column, how in ((total, Combine.SUM), (count, Combine.COUNT)):
            if all(known.column != column for known in self.aggregates):
                self.aggregates.append(Aggregate(column, how))
        parts = (Formula(Operator.COLUMN, column=total), Formula(Operator.COLUMN, column=count))
        return Formula(Operator.DIVIDE, parts)


def subtracts(formula: Formula) -> bool:
    """A shard's own difference may leave the range of an unsigned type (error 1690) where that of all does not."""
    return formula.operator is Operator.SUBTRACT or any(map(subtracts, formula.arguments))


def _value(key: Key) -> int:
    assert key.value is not None
    return key.value
