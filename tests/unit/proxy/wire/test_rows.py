"""Rows in both forms, and from one to the other."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import MalformedPacket
from proxy.wire.binary_rows import make_binary_row, parse_binary_row
from proxy.wire.binary_values import BinaryValue
from proxy.wire.capabilities import ColumnFlag
from proxy.wire.columns import ColumnDefinition
from proxy.wire.convert import binary_row_from_text, from_text, to_text
from proxy.wire.field_types import FieldType
from proxy.wire.temporal import MysqlDateTime, MysqlTime
from proxy.wire.text_rows import make_text_row, parse_text_row

UNSIGNED = int(ColumnFlag.UNSIGNED)


def column(kind: int, *, flags: int = 0, decimals: int = 0, length: int = 11) -> ColumnDefinition:
    return ColumnDefinition(b"c", kind, 63, length, flags, decimals)


@given(st.lists(st.none() | st.binary(max_size=300), min_size=1, max_size=9))
def test_text_rows_come_back(values: list[bytes | None]) -> None:
    assert parse_text_row(make_text_row(values), len(values)) == values


@pytest.mark.parametrize("columns", [1, 3])
def test_a_text_row_has_exactly_its_columns(columns: int) -> None:
    with pytest.raises(MalformedPacket):
        parse_text_row(make_text_row([b"a", None]), columns)


EXAMPLES: list[tuple[ColumnDefinition, BinaryValue, bytes]] = [
    (column(FieldType.TINY), -128, b"-128"),
    (column(FieldType.TINY, flags=UNSIGNED), 255, b"255"),
    (column(FieldType.SHORT), -32768, b"-32768"),
    (column(FieldType.INT24), -8388608, b"-8388608"),
    (column(FieldType.LONG, flags=UNSIGNED), 2**32 - 1, b"4294967295"),
    (column(FieldType.LONG, flags=int(ColumnFlag.ZEROFILL) | UNSIGNED, length=8), 42, b"00000042"),
    (column(FieldType.LONGLONG), -(2**63), b"-9223372036854775808"),
    (column(FieldType.LONGLONG, flags=UNSIGNED), 2**64 - 1, b"18446744073709551615"),
    (column(FieldType.YEAR, flags=UNSIGNED), 2024, b"2024"),
    (column(FieldType.YEAR, flags=UNSIGNED), 0, b"0000"),
    (column(FieldType.FLOAT, decimals=31), 1.5, b"1.5"),
    (column(FieldType.DOUBLE, decimals=31), 0.1, b"0.1"),
    (column(FieldType.DOUBLE, decimals=31), -1e20, b"-1e20"),
    (column(FieldType.DOUBLE, decimals=31), 1.5e-300, b"1.5e-300"),
    (column(FieldType.DOUBLE, decimals=31), 100000.0, b"100000"),
    (column(FieldType.DOUBLE, decimals=3), 2.5, b"2.500"),
    (column(FieldType.NEWDECIMAL, decimals=2), b"-12.30", b"-12.30"),
    (column(FieldType.DATE), MysqlDateTime(2024, 2, 29), b"2024-02-29"),
    (column(FieldType.DATE), MysqlDateTime(), b"0000-00-00"),
    (column(FieldType.DATETIME), MysqlDateTime(2024, 2, 29, 1, 2, 3), b"2024-02-29 01:02:03"),
    (
        column(FieldType.TIMESTAMP, decimals=6),
        MysqlDateTime(2024, 2, 29, 1, 2, 3, 45),
        b"2024-02-29 01:02:03.000045",
    ),
    (column(FieldType.TIME), MysqlTime(True, 838, 59, 59), b"-838:59:59"),
    (column(FieldType.TIME, decimals=3), MysqlTime(False, 1, 2, 3, 500_000), b"01:02:03.500"),
    (column(FieldType.TIME), MysqlTime(), b"00:00:00"),
    (column(FieldType.BIT), b"\x05", b"\x05"),
    (column(FieldType.JSON), b'{"a": 1}', b'{"a": 1}'),
    (column(FieldType.BLOB), b"\xff\x00", b"\xff\x00"),
    (column(FieldType.VAR_STRING), b"", b""),
    (column(FieldType.ENUM), b"red", b"red"),
    (column(FieldType.GEOMETRY), b"\x00\x00\x00\x00\x01", b"\x00\x00\x00\x00\x01"),
]


@pytest.mark.parametrize(("definition", "value", "text"), EXAMPLES)
def test_every_type_goes_both_ways(definition: ColumnDefinition, value: BinaryValue, text: bytes) -> None:
    assert to_text(value, definition) == text
    assert from_text(text, definition) == value
    row = binary_row_from_text([definition], [text])
    assert parse_binary_row(row, [definition]) == [value]


def test_all_types_in_one_row_with_nulls_between() -> None:
    columns = [definition for definition, _, _ in EXAMPLES for _ in range(2)]
    values: list[BinaryValue | None] = []
    for _, value, _ in EXAMPLES:
        values += (None, value)
    row = make_binary_row(columns, values)
    assert parse_binary_row(row, columns) == values
    for size in range(len(row)):
        with pytest.raises(MalformedPacket):
            parse_binary_row(row[:size], columns)
    with pytest.raises(MalformedPacket):
        parse_binary_row(row + b"\0", columns)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_survives_its_text(value: float) -> None:
    definition = column(FieldType.DOUBLE, decimals=31)
    text = to_text(value, definition)
    assert text is not None
    back = from_text(text, definition)
    assert back == value
    assert isinstance(back, float)
    assert math.copysign(1, back) == math.copysign(1, value)


@pytest.mark.parametrize(
    ("definition", "value"),
    [
        (column(FieldType.TINY), 128),
        (column(FieldType.TINY, flags=UNSIGNED), -1),
        (column(FieldType.FLOAT), 1e60),
        (column(FieldType.DATE), 5),
        (column(FieldType.VAR_STRING), 5),
    ],
)
def test_a_value_that_does_not_fit_is_malformed(definition: ColumnDefinition, value: BinaryValue) -> None:
    with pytest.raises(MalformedPacket):
        make_binary_row([definition], [value])


def test_text_that_is_no_number_is_malformed() -> None:
    with pytest.raises(MalformedPacket):
        from_text(b"abc", column(FieldType.LONG))
