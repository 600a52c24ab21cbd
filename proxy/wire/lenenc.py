"""Length-encoded integers and strings, and the bounds-checked reader of a packet's payload.

Every read past the end raises MalformedPacket and nothing else ("Protocol::LengthEncodedInteger").
"""

from __future__ import annotations

from proxy.errors import MalformedPacket

NULL_LENGTH = 0xFB
"""The first byte of a NULL in a text row."""


def lenenc_int(value: int) -> bytes:
    if value < 0xFB:
        return value.to_bytes(1, "little")
    if value <= 0xFFFF:
        return b"\xfc" + value.to_bytes(2, "little")
    if value <= 0xFFFFFF:
        return b"\xfd" + value.to_bytes(3, "little")
    return b"\xfe" + value.to_bytes(8, "little")


def lenenc_bytes(value: bytes) -> bytes:
    return lenenc_int(len(value)) + value


def read_lenenc_int(data: bytes, position: int) -> tuple[int, int]:
    """Return the integer at `position` and the position after it."""
    try:
        first = data[position]
    except IndexError:
        raise MalformedPacket("packet ends where a length was expected") from None
    if first < 0xFB:
        return first, position + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
    if size is None:
        raise MalformedPacket(f"0x{first:02x} does not begin a length-encoded integer")
    end = position + 1 + size
    if end > len(data):
        raise MalformedPacket("packet ends inside a length-encoded integer")
    return int.from_bytes(data[position + 1 : end], "little"), end


def read_lenenc_bytes(data: bytes, position: int) -> tuple[bytes, int]:
    """Return the string at `position` and the position after it."""
    length, start = read_lenenc_int(data, position)
    end = start + length
    if end > len(data):
        raise MalformedPacket("packet ends inside a length-encoded string")
    return data[start:end], end


class PayloadReader:
    """Reads one packet's payload from front to back."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    @property
    def remaining(self) -> int:
        return len(self.data) - self.position

    def integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def lenenc_int(self) -> int:
        value, self.position = read_lenenc_int(self.data, self.position)
        return value

    def lenenc_bytes(self) -> bytes:
        value, self.position = read_lenenc_bytes(self.data, self.position)
        return value

    def take(self, size: int) -> bytes:
        start = self.position
        end = start + size
        if size < 0 or end > len(self.data):
            raise MalformedPacket(f"packet ends {end - len(self.data)} bytes too early")
        self.position = end
        return self.data[start:end]

    def null_terminated(self) -> bytes:
        """A string up to a zero byte, or up to the end (some clients leave out the last zero)."""
        end = self.data.find(0, self.position)
        if end < 0:
            return self.rest()
        value = self.data[self.position : end]
        self.position = end + 1
        return value

    def rest(self) -> bytes:
        value = self.data[self.position :]
        self.position = len(self.data)
        return value
