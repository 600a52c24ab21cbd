"""Groups of rows from several shards become one row each: sums of sums, least of least, and formulas over them.

Sans-IO. Every value stays the text that a shard answered unless it has to be computed anew; then it is printed as
the column's type and scale say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxy.errors import NotSupported, NumberOutOfRange
from proxy.executor.aggregate_numbers import (
    Number,
    add,
    divide,
    multiply,
    number_text,
    round_number,
    subtract,
)
from proxy.executor.collate import Comparable, KeyReader, Row, parse_number
from proxy.sql.merge_spec import Aggregate, Combine, Comparison, Computed, Condition, Formula, Operator
from proxy.sql.operands import Operand, Scalar
from proxy.wire.capabilities import ColumnFlag
from proxy.wire.columns import ColumnDefinition
from proxy.wire.field_types import FieldType

Scalars = Callable[[Operand], Scalar]
MutableRow = list[bytes | None]


class Combiner:
    """Combines the rows of one group in the columns that are aggregates; the others keep the first row's value."""

    def __init__(self, aggregates: Sequence[Aggregate], columns: Sequence[ColumnDefinition]) -> None:
        self._columns = columns
        self._aggregates = aggregates
        self._readers = [
            KeyReader(aggregate.key, columns) if aggregate.key is not None else None
            for aggregate in aggregates
        ]

    def combine(self, rows: Sequence[Row]) -> MutableRow:
        result = list(rows[0])
        if len(rows) == 1:
            return result
        for aggregate, reader in zip(self._aggregates, self._readers, strict=True):
            if aggregate.how is Combine.COUNT_DISTINCT:
                assert reader is not None
                values = {reader(row) for row in rows}
                result[aggregate.column] = str(len(values - {None})).encode()
            elif aggregate.how in (Combine.MIN, Combine.MAX):
                self._extreme(result, rows, aggregate, reader)
            else:
                result[aggregate.column] = self._number(rows, aggregate)
        return result

    def of_nothing(self) -> MutableRow:
        """The one row of a query without GROUP BY whose shards have no rows at all."""
        result: MutableRow = [None] * len(self._columns)
        for aggregate in self._aggregates:
            if aggregate.how in _OF_NOTHING:
                result[aggregate.column] = _OF_NOTHING[aggregate.how]
        return result

    def _extreme(
        self, result: MutableRow, rows: Sequence[Row], aggregate: Aggregate, reader: KeyReader | None
    ) -> None:
        assert reader is not None
        key = aggregate.key
        assert key is not None
        found = [row for row in rows if row[aggregate.column] is not None]
        if not found:
            return
        keyed: Callable[[Row], Comparable] = reader
        winner = min(found, key=keyed) if aggregate.how is Combine.MIN else max(found, key=keyed)
        for column in (aggregate.column, key.weight, key.space):
            if column is not None:
                result[column] = winner[column]

    def _number(self, rows: Sequence[Row], aggregate: Aggregate) -> bytes | None:
        column = self._columns[aggregate.column]
        values = [
            value
            for value in (read_number(row, aggregate.column, column) for row in rows)
            if value is not None
        ]
        if not values:
            return None
        total = values[0]
        for value in values[1:]:
            total = _OPERATIONS[aggregate.how](total, value)
        return number_text(total, column)


_OF_NOTHING = {
    Combine.COUNT: b"0",
    Combine.COUNT_DISTINCT: b"0",
    Combine.BIT_AND: str(2**64 - 1).encode(),
    Combine.BIT_OR: b"0",
    Combine.BIT_XOR: b"0",
}


def _bits(operation: Callable[[int, int], int]) -> Callable[[Number, Number], Number]:
    return lambda left, right: operation(int(left), int(right))


_OPERATIONS: dict[Combine, Callable[[Number, Number], Number]] = {
    Combine.SUM: add,
    Combine.COUNT: add,
    Combine.BIT_AND: _bits(int.__and__),
    Combine.BIT_OR: _bits(int.__or__),
    Combine.BIT_XOR: _bits(int.__xor__),
}


def read_number(row: Row, index: int, column: ColumnDefinition) -> Number | None:
    """A numeric column's value. Raises NotSupported for a column of another type."""
    text = row[index]
    if text is None:
        return None
    parse = parse_number(column)
    if parse is None:
        raise NotSupported("computing with an aggregate that is not a number, over several shards")
    if column.type == FieldType.FLOAT:
        raise NotSupported(
            "comparing or computing with a FLOAT, of which six digits show, over several shards"
        )
    value: Number = parse(text)
    return value


# ---------------------------------------------------------------- formulas


class Calculator:
    """Fills the computed columns of merged rows."""

    def __init__(
        self, computed: Sequence[Computed], columns: Sequence[ColumnDefinition], scalars: Scalars
    ) -> None:
        self._computed = computed
        self._columns = columns
        self._scalars = scalars

    def fill(self, row: MutableRow) -> None:
        for computed in self._computed:
            column = self._columns[computed.column]
            if parse_number(column) is None:
                raise NotSupported("an expression over aggregates that is not a number, over several shards")
            value = self._value(computed.formula, row, column.decimals)
            _require_range(value, column)
            row[computed.column] = None if value is None else number_text(value, column)

    def _value(self, formula: Formula, row: Row, scale: int) -> Number | None:
        match formula.operator:
            case Operator.COLUMN:
                return read_number(row, formula.column, self._columns[formula.column])
            case Operator.NUMBER:
                assert formula.number is not None
                return as_number(self._scalars(formula.number))
            case Operator.COALESCE:
                offered = (self._value(argument, row, scale) for argument in formula.arguments)
                return next((value for value in offered if value is not None), None)
        values = [self._value(argument, row, scale) for argument in formula.arguments]
        numbers = [value for value in values if value is not None]
        if len(numbers) < len(values):
            return None
        if formula.operator is Operator.ROUND:
            return round_number(numbers[0], int(numbers[1]) if len(numbers) > 1 else 0)
        if formula.operator is Operator.DIVIDE:
            return divide(numbers[0], numbers[1], scale)
        return _ARITHMETIC[formula.operator](numbers[0], numbers[1])


def _require_range(value: Number | None, column: ColumnDefinition) -> None:
    if column.type != FieldType.LONGLONG or not isinstance(value, int):
        return
    unsigned = bool(column.flags & ColumnFlag.UNSIGNED)
    least, most = (0, 2**64 - 1) if unsigned else (-(2**63), 2**63 - 1)
    if not least <= value <= most:
        kind, name = "BIGINT UNSIGNED" if unsigned else "BIGINT", column.name.decode("utf-8", "replace")
        raise NumberOutOfRange(f"{kind} value is out of range in '{name}'")


_ARITHMETIC: dict[Operator, Callable[[Number, Number], Number]] = {
    Operator.ADD: add,
    Operator.SUBTRACT: subtract,
    Operator.MULTIPLY: multiply,
}


def as_number(value: Scalar) -> Number:
    if isinstance(value, str | bytes) or value is None:
        raise NotSupported(
            "comparing or computing an aggregate with what is not a number, over several shards"
        )
    return value


# ---------------------------------------------------------------- HAVING

_COMPARED: dict[Comparison, Callable[[Number, Number], bool]] = {
    Comparison.EQUAL: lambda left, right: left == right,
    Comparison.NOT_EQUAL: lambda left, right: left != right,
    Comparison.LESS: lambda left, right: left < right,
    Comparison.LESS_OR_EQUAL: lambda left, right: left <= right,
    Comparison.GREATER: lambda left, right: left > right,
    Comparison.GREATER_OR_EQUAL: lambda left, right: left >= right,
}


def holds(
    conditions: Sequence[Condition], row: Row, columns: Sequence[ColumnDefinition], scalars: Scalars
) -> bool:
    """Whether a merged row meets every condition; a NULL meets none but IS NULL."""
    for condition in conditions:
        if condition.comparison in (Comparison.IS_NULL, Comparison.IS_NOT_NULL):
            if (row[condition.column] is None) is not (condition.comparison is Comparison.IS_NULL):
                return False
            continue
        assert condition.operand is not None
        operand = as_number(scalars(condition.operand))
        value = read_number(row, condition.column, columns[condition.column])
        if value is None or not _compare(condition.comparison, value, operand):
            return False
    return True


def _compare(comparison: Comparison, left: Number, right: Number) -> bool:
    """Exact numbers compare exactly; as soon as one is a double, both are."""
    if isinstance(left, float) or isinstance(right, float):
        left, right = float(left), float(right)
    return _COMPARED[comparison](left, right)
