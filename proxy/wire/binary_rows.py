"""Rows of the binary protocol ("Binary Protocol Resultset Row"): a zero byte, the NULL bitmap, the values."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.errors import MalformedPacket
from proxy.wire.binary_values import BinaryValue, make_value, read_value
from proxy.wire.columns import ColumnDefinition
from proxy.wire.lenenc import PayloadReader

ROW_BITMAP_OFFSET = 2
"""The first two bits of a row's NULL bitmap are not used; a parameter bitmap has offset 0."""


def make_null_bitmap(values: Sequence[object], offset: int) -> bytes:
    bits = 0
    for index, value in enumerate(values):
        if value is None:
            bits |= 1 << index + offset
    return bits.to_bytes((len(values) + 7 + offset) // 8, "little")


def is_null(bitmap: bytes, index: int, offset: int) -> bool:
    bit = index + offset
    return bool(bitmap[bit >> 3] & 1 << (bit & 7))


def make_binary_row(columns: Sequence[ColumnDefinition], values: Sequence[BinaryValue | None]) -> bytes:
    parts = [b"\x00", make_null_bitmap(values, ROW_BITMAP_OFFSET)]
    parts += (
        make_value(value, column.type, column.unsigned)
        for column, value in zip(columns, values, strict=True)
        if value is not None
    )
    return b"".join(parts)


def parse_binary_row(payload: bytes, columns: Sequence[ColumnDefinition]) -> list[BinaryValue | None]:
    """Exactly one value for each column. Raises MalformedPacket otherwise."""
    reader = PayloadReader(payload)
    if reader.integer(1) != 0:
        raise MalformedPacket("not a binary row")
    bitmap = reader.take((len(columns) + 7 + ROW_BITMAP_OFFSET) // 8)
    values = [
        None
        if is_null(bitmap, index, ROW_BITMAP_OFFSET)
        else read_value(reader, column.type, column.unsigned)
        for index, column in enumerate(columns)
    ]
    if reader.remaining:
        raise MalformedPacket(f"row of {len(columns)} columns has {reader.remaining} bytes too many")
    return values
