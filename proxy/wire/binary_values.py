"""Single values of the binary protocol ("Binary Protocol Value"), of rows and of bound parameters alike.

A value in Python is an int, a float, a MysqlDateTime, a MysqlTime, or bytes for everything else: strings,
DECIMAL, JSON, BIT, ENUM, SET, blobs and geometry travel as length-encoded strings.
"""

from __future__ import annotations

import struct

from proxy.errors import MalformedPacket
from proxy.wire.field_types import DATE_TYPES, INTEGER_WIDTHS, TIME_TYPES, FieldType
from proxy.wire.lenenc import PayloadReader, lenenc_bytes
from proxy.wire.temporal import (
    MysqlDateTime,
    MysqlTime,
    decode_datetime,
    decode_time,
    encode_datetime,
    encode_time,
)

BinaryValue = int | float | bytes | MysqlDateTime | MysqlTime
KNOWN_TYPES = frozenset(int(known) for known in FieldType)


def read_value(reader: PayloadReader, field_type: int, unsigned: bool) -> BinaryValue | None:
    """Take one value that is not NULL in the bitmap. Only a parameter bound as NULL type gives None."""
    width = INTEGER_WIDTHS.get(field_type)
    if width is not None:
        return int.from_bytes(reader.take(width), "little", signed=not unsigned)
    if field_type == FieldType.DOUBLE:
        double: float = struct.unpack("<d", reader.take(8))[0]
        return double
    if field_type == FieldType.FLOAT:
        single: float = struct.unpack("<f", reader.take(4))[0]
        return single
    if field_type in DATE_TYPES:
        return decode_datetime(reader.take(reader.integer(1)))
    if field_type in TIME_TYPES:
        return decode_time(reader.take(reader.integer(1)))
    if field_type == FieldType.NULL:
        return None
    if field_type not in KNOWN_TYPES:
        raise MalformedPacket(f"unknown type 0x{field_type:02x}")
    return reader.lenenc_bytes()


def make_value(value: BinaryValue, field_type: int, unsigned: bool = False) -> bytes:
    """Encode as `field_type`. Raises MalformedPacket when the value does not fit it."""
    try:
        return _make_value(value, field_type, unsigned)
    except (OverflowError, struct.error, TypeError, AttributeError, ValueError) as error:
        raise MalformedPacket(f"{value!r} is no value of type 0x{field_type:02x}: {error}") from None


def _make_value(value: BinaryValue, field_type: int, unsigned: bool) -> bytes:
    width = INTEGER_WIDTHS.get(field_type)
    if width is not None:
        return int(value).to_bytes(width, "little", signed=not unsigned)  # type: ignore[arg-type]
    if field_type == FieldType.DOUBLE:
        return struct.pack("<d", value)
    if field_type == FieldType.FLOAT:
        return struct.pack("<f", value)
    if field_type in DATE_TYPES:
        return encode_datetime(value, date_only=field_type in (FieldType.DATE, FieldType.NEWDATE))  # type: ignore[arg-type]
    if field_type in TIME_TYPES:
        return encode_time(value)  # type: ignore[arg-type]
    if not isinstance(value, bytes):
        raise TypeError("bytes expected")
    return lenenc_bytes(value)
