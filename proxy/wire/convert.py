"""Between the text and the binary form of a value, given its column definition.

The proxy merges and makes results as text; a client that executes a prepared statement gets binary rows. The
way back serves merges of binary answers. Numbers, dates and times change form; everything else is the same
bytes in both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from proxy.errors import MalformedPacket
from proxy.wire.binary_rows import make_binary_row
from proxy.wire.binary_values import BinaryValue
from proxy.wire.capabilities import ColumnFlag
from proxy.wire.columns import ColumnDefinition
from proxy.wire.field_types import DATE_TYPES, INTEGER_WIDTHS, TIME_TYPES, FieldType
from proxy.wire.temporal import MysqlDateTime, MysqlTime, parse_datetime, parse_time


def from_text(text: bytes, column: ColumnDefinition) -> BinaryValue:
    """The value that `text`, as the text protocol writes it, stands for. Raises MalformedPacket."""
    field_type = column.type
    try:
        if field_type in INTEGER_WIDTHS:
            return int(text)
        if field_type in (FieldType.FLOAT, FieldType.DOUBLE):
            return float(text)
    except ValueError:
        raise MalformedPacket(f"{text[:40]!r} is not a number") from None
    if field_type in DATE_TYPES:
        return parse_datetime(text)
    if field_type in TIME_TYPES:
        return parse_time(text)
    return text


def binary_row_from_text(columns: Sequence[ColumnDefinition], values: Sequence[bytes | None]) -> bytes:
    """A binary row's payload out of a text row's values."""
    return make_binary_row(
        columns,
        [
            None if value is None else from_text(value, column)
            for column, value in zip(columns, values, strict=True)
        ],
    )


def to_text(value: BinaryValue | None, column: ColumnDefinition) -> bytes | None:
    """The value as the text protocol writes it in this column."""
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, MysqlDateTime):
        if column.type in (FieldType.DATE, FieldType.NEWDATE):
            return value.date_text()
        return value.text(column.decimals)
    if isinstance(value, MysqlTime):
        return value.text(column.decimals)
    if isinstance(value, float):
        return _float_text(value, column)
    if column.type == FieldType.YEAR:
        return b"%04d" % value
    if column.flags & ColumnFlag.ZEROFILL:
        return b"%0*d" % (column.column_length, value)
    return b"%d" % value


NOT_FIXED_DECIMALS = 31
"""`decimals` of a FLOAT or DOUBLE that was declared without a number of places (39 on MariaDB for some)."""


def _float_text(value: float, column: ColumnDefinition) -> bytes:
    if not math.isfinite(value):
        return b"0"
    if column.decimals < NOT_FIXED_DECIMALS:
        return b"%.*f" % (column.decimals, value)
    if column.type == FieldType.FLOAT:
        return _general(float(b"%.6g" % value))
    return _general(value)


def _general(value: float) -> bytes:
    """The shortest text that reads back as the same double; with an exponent where MySQL writes one."""
    if value == 0:
        return b"-0" if math.copysign(1, value) < 0 else b"0"
    digits, _, exponent_text = f"{value!r}".partition("e")
    exponent = math.floor(math.log10(abs(value)))
    if -15 <= exponent < 15 and not exponent_text:
        return digits.removesuffix(".0").encode()
    mantissa, _, power = f"{value:.16e}".partition("e")
    for places in range(17):
        shortest = f"{value:.{places}e}"
        if float(shortest) == value:
            mantissa, _, power = shortest.partition("e")
            break
    return f"{mantissa}e{int(power)}".encode()
