"""Merging rows of several shards, against the plainest possible oracle: all rows in one list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import NotSupported
from proxy.executor.collate import Row
from proxy.executor.merge import merge
from proxy.sql.merge_spec import (
    Aggregate,
    Combine,
    Comparison,
    Computed,
    Condition,
    Formula,
    Key,
    Merge,
    Operator,
)
from proxy.sql.operands import Constant, Literal, Operand, Scalar
from proxy.wire.columns import ColumnDefinition
from proxy.wire.field_types import FieldType

INT = ColumnDefinition(b"i", FieldType.LONGLONG)
DECIMAL2 = ColumnDefinition(b"d", FieldType.NEWDECIMAL, decimals=2)
DECIMAL6 = ColumnDefinition(b"a", FieldType.NEWDECIMAL, decimals=6)
DOUBLE = ColumnDefinition(b"f", FieldType.DOUBLE, decimals=31)
STRING = ColumnDefinition(b"s", FieldType.VAR_STRING)
WEIGHT = ColumnDefinition(b"w", FieldType.VAR_STRING, character_set=63)
DATE = ColumnDefinition(b"t", FieldType.DATE)
TIME = ColumnDefinition(b"t", FieldType.TIME)
JSON = ColumnDefinition(b"j", FieldType.JSON)


def scalars(operand: Operand) -> Scalar:
    """Literal(n) is the number n."""
    return operand.value if isinstance(operand, Constant) else operand.index


def merged(
    spec: Merge, columns: Sequence[ColumnDefinition], parts: Sequence[Sequence[Row]]
) -> list[tuple[bytes | None, ...]]:
    heads, rows = merge(spec, columns, parts, scalars)
    assert len(heads) == len(columns) - spec.hidden
    return [tuple(row) for row in rows]


def cell(value: object) -> bytes | None:
    return None if value is None else str(value).encode()


numbers = st.none() | st.integers(-5, 5)
parts_of_pairs = st.lists(st.lists(st.tuples(numbers, numbers), max_size=8), min_size=1, max_size=4)


def null_first(value: int | None) -> tuple[int, int]:
    return (0, 0) if value is None else (1, value)


@given(parts_of_pairs, st.booleans(), st.integers(0, 4), st.none() | st.integers(0, 9))
def test_sorted_parts_become_one_sorted_list(
    parts: list[list[tuple[int | None, int | None]]], descending: bool, offset: int, limit: int | None
) -> None:
    sorted_parts = [sorted(part, key=lambda pair: null_first(pair[0]), reverse=descending) for part in parts]
    rows = [[[cell(value) for value in pair] for pair in part] for part in sorted_parts]
    spec = Merge(
        order_by=(Key(0, descending=descending), Key(1)),
        offset=Literal(offset),
        limit=None if limit is None else Literal(limit),
    )
    everything = [pair for part in parts for pair in part]
    everything.sort(key=lambda pair: null_first(pair[1]))
    everything.sort(key=lambda pair: null_first(pair[0]), reverse=descending)
    expected = everything[offset : None if limit is None else offset + limit]
    assert merged(spec, [INT, INT], rows) == [tuple(map(cell, pair)) for pair in expected]


@given(parts_of_pairs)
def test_grouped_parts_are_the_groups_of_all_rows(parts: list[list[tuple[int | None, int | None]]]) -> None:
    spec = Merge(
        group_by=(Key(0),),
        aggregates=(
            Aggregate(1, Combine.COUNT),
            Aggregate(2, Combine.SUM),
            Aggregate(3, Combine.MIN, Key(3)),
            Aggregate(4, Combine.MAX, Key(4)),
        ),
        order_by=(Key(0),),
    )
    shards = [[[cell(value) for value in row] for row in _grouped(part)] for part in parts]
    expected = _grouped([pair for part in parts for pair in part])
    assert merged(spec, [INT] * 5, shards) == [tuple(map(cell, row)) for row in expected]


def _grouped(pairs: Sequence[tuple[int | None, int | None]]) -> list[tuple[int | None, ...]]:
    groups: dict[int | None, list[int | None]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    result: list[tuple[int | None, ...]] = []
    for key in sorted(groups, key=null_first):
        values = [value for value in groups[key] if value is not None]
        some = bool(values)
        result.append(
            (
                key,
                len(groups[key]),
                sum(values) if some else None,
                min(values, default=None),
                max(values, default=None),
            )
        )
    return result


@given(st.lists(st.lists(st.decimals(-1000, 1000, places=2), max_size=6), min_size=1, max_size=4))
def test_average_is_that_of_all_rows(parts: list[list[Decimal]]) -> None:
    shards = [[[b"?", cell(sum(part)) if part else None, cell(len(part))]] for part in parts]
    total, count = Formula(Operator.COLUMN, column=-2), Formula(Operator.COLUMN, column=-1)
    spec = Merge(
        hidden=2,
        group_by=(),
        aggregates=(Aggregate(-2, Combine.SUM), Aggregate(-1, Combine.COUNT)),
        computed=(Computed(0, Formula(Operator.DIVIDE, (total, count))),),
    )
    values = [value for part in parts for value in part]
    expected = None
    if values:
        exact = sum(values, Decimal(0)) / len(values)
        expected = f"{abs(exact) if not exact else exact.quantize(Decimal('1e-6'), ROUND_HALF_UP):f}"
        if not Decimal(expected):
            expected = "0.000000"
    assert merged(spec, [DECIMAL6, DECIMAL2, INT], shards) == [(cell(expected),)]


@given(parts_of_pairs)
def test_distinct_keeps_one_of_each(parts: list[list[tuple[int | None, int | None]]]) -> None:
    rows = [[[cell(value) for value in pair] for pair in part] for part in parts]
    found = merged(Merge(distinct=(Key(0), Key(1))), [INT, INT], rows)
    assert len(found) == len(set(found))
    assert set(found) == {tuple(map(cell, pair)) for part in parts for pair in part}


# ---------------------------------------------------------------- strings


def word(text: str | None, space: bytes = b"\0 ") -> list[bytes | None]:
    """A string with the weight that a case-insensitive collation gives it, two bytes a character."""
    if text is None:
        return [None, None, b""]
    return [text.encode(), text.upper().encode("utf-16-be"), space]


STRINGS = Key(None, -2, -1)


def test_strings_are_ordered_by_weight_and_null_comes_first() -> None:
    parts = [[word(None), word("B")], [word("a"), word("c")]]
    rows = merged(Merge(hidden=2, order_by=(STRINGS,)), [STRING, WEIGHT, WEIGHT], parts)
    assert rows == [(None,), (b"a",), (b"B",), (b"c",)]


def test_strings_equal_in_their_collation_are_one_group() -> None:
    spec = Merge(hidden=2, group_by=(STRINGS,), aggregates=(Aggregate(1, Combine.COUNT),))
    columns = [STRING, INT, WEIGHT, WEIGHT]
    parts = [[[b"a", b"2", *word("a")[1:]]], [[b"A ", b"3", *word("A ")[1:]]], [[b"b", b"1", *word("b")[1:]]]]
    assert merged(spec, columns, parts) == [(b"a", b"5"), (b"b", b"1")]


def test_trailing_spaces_count_where_the_collation_does_not_pad() -> None:
    spec = Merge(hidden=2, distinct=(STRINGS,))
    parts = [[word("a", b"")], [word("a ", b"")]]
    assert merged(spec, [STRING, WEIGHT, WEIGHT], parts) == [(b"a",), (b"a ",)]


def test_padding_puts_what_sorts_below_a_space_before_the_shorter_string() -> None:
    parts = [[word("a\t")], [word("a")], [word("a!")]]
    rows = merged(Merge(hidden=2, order_by=(STRINGS,)), [STRING, WEIGHT, WEIGHT], parts)
    assert rows == [(b"a\t",), (b"a",), (b"a!",)]


def test_the_greatest_string_takes_its_weight_with_it() -> None:
    spec = Merge(
        hidden=2,
        group_by=(Key(1),),
        aggregates=(Aggregate(0, Combine.MAX, Key(0, -2, -1)),),
        order_by=(Key(0, -2, -1, descending=True),),
    )
    columns = [STRING, INT, WEIGHT, WEIGHT]
    parts = [
        [[b"b", b"1", *word("b")[1:]], [b"x", b"2", *word("x")[1:]]],
        [[b"Z", b"1", *word("Z")[1:]], [None, b"2", None, b""]],
    ]
    assert merged(spec, columns, parts) == [(b"Z", b"1"), (b"x", b"2")]


def test_an_expressions_answer_decides_whether_its_weight_counts() -> None:
    key = Key(0, -2, -1)
    as_number = [[[b"10", None, b""]], [[b"9", None, b""]]]
    assert merged(Merge(hidden=2, order_by=(key,)), [INT, WEIGHT, WEIGHT], as_number) == [(b"9",), (b"10",)]
    as_text = [[word("10")], [word("9")]]
    assert merged(Merge(hidden=2, order_by=(key,)), [STRING, WEIGHT, WEIGHT], as_text) == [(b"10",), (b"9",)]


def test_several_levels_in_a_padding_collation_are_refused() -> None:
    with pytest.raises(NotSupported, match="several levels"):
        merged(
            Merge(hidden=2, order_by=(STRINGS,)),
            [STRING, WEIGHT, WEIGHT],
            [[word("a", b"1234")], [word("b", b"1234")]],
        )


# ---------------------------------------------------------------- other types


def test_times_and_dates_in_their_own_order() -> None:
    times: list[list[Row]] = [[[b"-01:00:00"], [b"100:00:00"]], [[b"09:59:59.5"], [b"10:00:00"]]]
    assert merged(Merge(order_by=(Key(0),)), [TIME], times) == [
        (b"-01:00:00",), (b"09:59:59.5",), (b"10:00:00",), (b"100:00:00",),
    ]  # fmt: skip
    dates: list[list[Row]] = [[[b"2000-01-01"]], [[b"1999-12-31"]]]
    assert merged(Merge(order_by=(Key(0),)), [DATE], dates) == [(b"1999-12-31",), (b"2000-01-01",)]


def test_json_has_no_order_here() -> None:
    with pytest.raises(NotSupported, match="JSON"):
        merged(Merge(order_by=(Key(0),)), [JSON], [[[b"1"]], [[b"2"]]])


def test_sum_of_no_rows_is_null_and_count_is_zero() -> None:
    spec = Merge(group_by=(), aggregates=(Aggregate(0, Combine.SUM), Aggregate(1, Combine.COUNT)))
    assert merged(spec, [DECIMAL2, INT], [[[None, b"0"]], [[None, b"0"]]]) == [(None, b"0")]


def test_bits() -> None:
    hows = (Combine.BIT_AND, Combine.BIT_OR, Combine.BIT_XOR)
    spec = Merge(group_by=(), aggregates=tuple(Aggregate(n, how) for n, how in enumerate(hows)))
    empty = [str(2**64 - 1).encode(), b"0", b"0"]
    assert merged(spec, [INT] * 3, [[[b"6", b"6", b"6"]], [[b"3", b"3", b"3"]], [empty]]) == [
        (b"2", b"7", b"5")
    ]


def test_distinct_values_are_counted_over_shards() -> None:
    spec = Merge(hidden=1, group_by=(Key(0),), aggregates=(Aggregate(1, Combine.COUNT_DISTINCT, Key(-1)),))
    parts = [
        [[b"a", b"1", b"5"], [b"a", b"0", None], [b"b", b"1", b"5"]],
        [[b"a", b"1", b"5"], [b"a", b"1", b"6"]],
    ]
    assert merged(spec, [WEIGHT, INT, INT], parts) == [(b"a", b"2"), (b"b", b"1")]


def test_aggregates_of_shards_without_rows() -> None:
    hows = (Combine.COUNT_DISTINCT, Combine.SUM, Combine.COUNT)
    spec = Merge(group_by=(), aggregates=tuple(Aggregate(n, how, Key(n)) for n, how in enumerate(hows)))
    assert merged(spec, [INT] * 3, [[], []]) == [(b"0", None, b"0")]
    assert merged(Merge(group_by=(Key(0),)), [INT], [[], []]) == []


def test_having_holds_exactly() -> None:
    spec = Merge(
        group_by=(Key(0),),
        aggregates=(Aggregate(1, Combine.SUM),),
        having=(
            Condition(1, Comparison.GREATER_OR_EQUAL, Constant(Decimal("0.3"))),
            Condition(1, Comparison.IS_NOT_NULL),
        ),
    )
    parts = [[[b"1", b"0.10"], [b"2", None]], [[b"1", b"0.20"], [b"2", b"0.29"]]]
    assert merged(spec, [INT, DECIMAL2], parts) == [(b"1", b"0.30")]


def test_having_of_what_is_no_number_is_refused() -> None:
    spec = Merge(group_by=(), having=(Condition(0, Comparison.EQUAL, Constant("x")),))
    with pytest.raises(NotSupported):
        merged(spec, [INT], [[[b"1"]], [[b"2"]]])


SUM, NOTHING = Formula(Operator.COLUMN, column=0), Formula(Operator.COLUMN, column=1)
FIVE, ZERO = Formula(Operator.NUMBER, number=Literal(5)), Formula(Operator.NUMBER, number=Literal(0))
FORMULAS = [
    (Formula(Operator.ADD, (SUM, FIVE)), b"8.50"),
    (Formula(Operator.SUBTRACT, (ZERO, SUM)), b"-3.50"),
    (Formula(Operator.COALESCE, (NOTHING, ZERO)), b"0.00"),
    (Formula(Operator.MULTIPLY, (SUM, NOTHING)), None),
    (Formula(Operator.DIVIDE, (SUM, ZERO)), None),
    (Formula(Operator.ROUND, (SUM,)), b"4.00"),
]


@pytest.mark.parametrize(("formula", "result"), FORMULAS)
def test_formulas(formula: Formula, result: bytes | None) -> None:
    spec = Merge(
        group_by=(),
        aggregates=(Aggregate(0, Combine.SUM), Aggregate(1, Combine.SUM)),
        computed=(Computed(2, formula),),
    )
    parts: list[list[Row]] = [[[b"1.00", None, b"?"]], [[b"2.50", None, b"?"]]]
    assert merged(spec, [DECIMAL2] * 3, parts)[0][2] == result


def test_doubles_add_up_as_doubles() -> None:
    spec = Merge(group_by=(), aggregates=(Aggregate(0, Combine.SUM),))
    assert merged(spec, [DOUBLE], [[[b"1e20"]], [[b"1e20"]], [[b"0.5"]]]) == [(b"2e20",)]
