"""Rows of the text protocol ("ProtocolText::ResultsetRow"): each value a string, or NULL."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.errors import MalformedPacket
from proxy.wire.lenenc import NULL_LENGTH, lenenc_int, read_lenenc_bytes


def make_text_row(values: Iterable[bytes | None]) -> bytes:
    parts: list[bytes] = []
    for value in values:
        if value is None:
            parts.append(b"\xfb")
        else:
            parts += (lenenc_int(len(value)), value)
    return b"".join(parts)


def parse_text_row(payload: bytes, columns: int) -> list[bytes | None]:
    """Exactly `columns` values. Raises MalformedPacket when there are fewer or more."""
    values: list[bytes | None] = []
    position, size = 0, len(payload)
    for _ in range(columns):
        if position >= size:
            raise MalformedPacket(f"row of {columns} columns ends after {len(values)}")
        first = payload[position]
        if first < NULL_LENGTH:
            end = position + 1 + first
            if end > size:
                raise MalformedPacket("row ends inside a value")
            values.append(payload[position + 1 : end])
            position = end
        elif first == NULL_LENGTH:
            values.append(None)
            position += 1
        else:
            value, position = read_lenenc_bytes(payload, position)
            values.append(value)
    if position != size:
        raise MalformedPacket(f"row of {columns} columns has {size - position} bytes too many")
    return values
