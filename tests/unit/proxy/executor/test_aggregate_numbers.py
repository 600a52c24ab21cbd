"""Numbers as MySQL computes and prints them; tests/integration/test_number_text.py asks the servers themselves."""

from __future__ import annotations

from decimal import Decimal

import pytest

from proxy.executor.aggregate_numbers import divide, double_text, number_text, round_number
from proxy.wire.columns import ColumnDefinition
from proxy.wire.field_types import FieldType

DOUBLES = [
    (0.0, "0"),
    (-0.0, "-0"),
    (1.0, "1"),
    (-2.5, "-2.5"),
    (0.1, "0.1"),
    (1e14, "100000000000000"),
    (123456789012345.0, "123456789012345"),
    (1e15, "1e15"),
    (1.5e15, "1.5e15"),
    (1e20, "1e20"),
    (3123482174803706.5, "3123482174803706.5"),
    (31234821748037064.0, "3.1234821748037064e16"),
    (1e-5, "0.00001"),
    (1e-14, "0.00000000000001"),
    (1e-15, "0.000000000000001"),
    (1e-16, "1e-16"),
    (1.25e-20, "1.25e-20"),
    (1 / 3, "0.3333333333333333"),
    (1e308, "1e308"),
]


@pytest.mark.parametrize(("value", "text"), DOUBLES)
def test_double_text(value: float, text: str) -> None:
    assert double_text(value) == text


def test_double_with_a_fixed_scale() -> None:
    assert double_text(2.5, 2) == "2.50"


QUOTIENTS = [
    # left, right, scale, what SELECT left / right shows (rounded to that scale)
    ("1", "3", 4, "0.3333"),
    ("2", "3", 4, "0.6667"),
    ("1.00", "3", 6, "0.333333"),
    ("0.00005", "7", 9, "0.000007142"),
    ("1.00000", "6", 9, "0.166666666"),
    ("-2", "3", 4, "-0.6667"),
    ("0.5", "1000000", 5, "0.00000"),
]


@pytest.mark.parametrize(("left", "right", "scale", "text"), QUOTIENTS)
def test_quotients_end_where_mysqls_do(left: str, right: str, scale: int, text: str) -> None:
    value = divide(Decimal(left), Decimal(right), scale)
    assert value is not None
    column = ColumnDefinition(b"q", FieldType.NEWDECIMAL, decimals=scale)
    assert number_text(value, column).decode() == text


@pytest.mark.parametrize(
    ("value", "digits", "rounded"),
    [
        (Decimal("2.5"), 0, Decimal(3)),
        (Decimal("-2.5"), 0, Decimal(-3)),
        (Decimal("1.005"), 2, Decimal("1.01")),
        (Decimal("155"), -1, Decimal("160")),
        (2.5, 0, 2.0),
        (1.15, 1, 1.2),
        (155, -1, 160),
    ],
)
def test_round(value: Decimal | float, digits: int, rounded: Decimal | float) -> None:
    assert round_number(value, digits) == rounded
