"""A bound parameter as a literal means what the parameter meant, whatever bytes it holds."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import NotSupported
from proxy.executor.parameters import key_value, parameter_literal, parameter_literals
from proxy.sql.operands import decode_string
from proxy.wire.field_types import FieldType
from proxy.wire.temporal import MysqlDateTime, MysqlTime


@pytest.mark.parametrize(
    ("value", "field_type", "literal"),
    [
        (None, FieldType.NULL, "NULL"),
        (-5, FieldType.LONGLONG, "-5"),
        (1.5, FieldType.DOUBLE, "1.5e0"),
        (1e300, FieldType.DOUBLE, "1e+300"),
        (b"12.50", FieldType.NEWDECIMAL, "12.50"),
        (b"1 OR 1=1", FieldType.NEWDECIMAL, "'1 OR 1=1'"),
        (b"O'Hara\\", FieldType.VAR_STRING, "'O''Hara\\\\'"),
        (b"\x00'\xff", FieldType.BLOB, "_binary X'0027ff'"),
        (MysqlDateTime(2024, 2, 29), FieldType.DATE, "DATE'2024-02-29'"),
        (MysqlDateTime(2024, 2, 29, 1, 2, 3, 4), FieldType.DATETIME, "TIMESTAMP'2024-02-29 01:02:03.000004'"),
        (MysqlDateTime(), FieldType.DATETIME, "'0000-00-00 00:00:00'"),
        (MysqlTime(True, 838, 59, 59), FieldType.TIME, "TIME'-838:59:59'"),
    ],
)
def test_literals(value: object, field_type: int, literal: str) -> None:
    assert parameter_literal(value, field_type) == literal  # type: ignore[arg-type]


def test_a_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(NotSupported):
        parameter_literal(float("inf"), FieldType.DOUBLE)


@given(st.binary())
def test_any_bytes_come_back_from_their_string_literal(value: bytes) -> None:
    literal = parameter_literal(value, FieldType.VAR_STRING)
    assert decode_string(literal).encode("utf-8", "surrogateescape") == value


@given(st.binary())
def test_a_string_literal_never_ends_early(value: bytes) -> None:
    """Cut as a server cuts it: the first quote that is neither escaped nor doubled is the last character."""
    literal = parameter_literal(value, FieldType.VAR_STRING)
    position = 1
    while literal[position] != "'" or literal[position + 1 : position + 2] == "'":
        position += 2 if literal[position] in "\\'" else 1
    assert position == len(literal) - 1


def test_types_stand_two_bytes_apart() -> None:
    types = bytes((FieldType.BLOB, 0, FieldType.VAR_STRING, 0))
    assert parameter_literals((b"a", b"a"), types) == ["_binary X'61'", "'a'"]


@pytest.mark.parametrize(
    ("value", "field_type", "key"),
    [
        (7, FieldType.LONG, 7),
        (b"12.50", FieldType.NEWDECIMAL, Decimal("12.50")),
        (b"\xe9", FieldType.BLOB, b"\xe9"),
        (b"\xe9", FieldType.VAR_STRING, "é"),
        (MysqlDateTime(2024, 2, 29), FieldType.DATE, datetime.date(2024, 2, 29)),
        (MysqlDateTime(2024, 2, 0), FieldType.DATE, "2024-02-00"),
    ],
)
def test_routing_gets_python_s_values(value: object, field_type: int, key: object) -> None:
    assert key_value(value, field_type, "cp1252") == key  # type: ignore[arg-type]
