"""Packet framing: four bytes of header, payloads of 16 MiB and more in several packets, sequence ids.

Owns `frame`, `renumber` and the incremental `PacketReader`. The rule: a payload is cut into packets of
0xFFFFFF bytes and ends with the first shorter one, which may be empty; sequence ids count up from the
command's 0, modulo 256 ("MySQL Packets").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from proxy.errors import MalformedPacket, PacketTooLarge

HEADER_BYTES = 4
MAX_PAYLOAD_BYTES = 0xFFFFFF


def frame(payload: bytes, sequence: int = 0) -> bytes:
    """One payload as it goes over the socket, its first packet numbered `sequence`."""
    size = len(payload)
    if size < MAX_PAYLOAD_BYTES:
        return (size | sequence << 24).to_bytes(4, "little") + payload
    parts: list[bytes] = []
    for start in range(0, size + 1, MAX_PAYLOAD_BYTES):
        piece = payload[start : start + MAX_PAYLOAD_BYTES]
        parts += ((len(piece) | sequence << 24).to_bytes(4, "little"), piece)
        sequence = sequence + 1 & 0xFF
    return b"".join(parts)


def packet_count(payload: bytes) -> int:
    """How many packets `frame` makes of it."""
    return len(payload) // MAX_PAYLOAD_BYTES + 1


def frame_all(payloads: Iterable[bytes], sequence: int = 1) -> tuple[bytes, int]:
    """Payloads one after the other as one string, and the sequence id that comes next."""
    parts: list[bytes] = []
    for payload in payloads:
        parts.append(frame(payload, sequence))
        sequence = sequence + packet_count(payload) & 0xFF
    return b"".join(parts), sequence


class Packet(NamedTuple):
    payload: bytes
    sequence: int
    """The id of the last packet it came in: an answer begins with the next one."""


class PacketReader:
    """Cuts a byte stream into payloads.

    `feed` what the socket gave, then call `next_packet` until it returns None. The first packet of every
    command must be numbered `expected`; the caller sets it (0 for a command, counting on during a handshake).
    After an error the stream cannot be trusted: close it.
    """

    __slots__ = ("buffer", "expected", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.buffer = bytearray()
        """What has come and is not cut yet. To be looked at only."""
        self.max_bytes = max_bytes
        self.expected = 0

    def feed(self, data: bytes) -> None:
        self.buffer += data

    def next_packet(self) -> Packet | None:
        """The next whole payload; None: not all of it is here yet. Checks size and order before it waits."""
        buffer = self.buffer
        position, total, expected = 0, 0, self.expected
        while True:
            if len(buffer) < position + HEADER_BYTES:
                return None
            length = int.from_bytes(buffer[position : position + 3], "little")
            sequence = buffer[position + 3]
            if sequence != expected:
                raise MalformedPacket(f"packet is numbered {sequence}, expected {expected}")
            total += length
            if total > self.max_bytes:
                raise PacketTooLarge(f"packet is larger than max_packet_bytes ({self.max_bytes} bytes)")
            position += HEADER_BYTES + length
            if length < MAX_PAYLOAD_BYTES:
                break
            expected = expected + 1 & 0xFF
        if len(buffer) < position:
            return None
        payload = self._join(position, total)
        del buffer[:position]
        return Packet(payload, sequence)

    def _join(self, end: int, total: int) -> bytes:
        if end == total + HEADER_BYTES:
            return bytes(self.buffer[HEADER_BYTES:end])
        step = HEADER_BYTES + MAX_PAYLOAD_BYTES
        return b"".join(
            bytes(self.buffer[p + HEADER_BYTES : min(p + step, end)]) for p in range(0, end, step)
        )

    def take_rest(self) -> bytes:
        """What has come but is not cut yet: the beginning of a TLS handshake, for one."""
        rest = bytes(self.buffer)
        self.buffer.clear()
        return rest


def split_packets(data: bytes | bytearray, start: int = 0) -> Iterator[bytes]:
    """The payloads of whole, framed packets, copied: the buffer may grow before they are all read."""
    position, size = start, len(data)
    parts: list[bytes] = []
    while position + HEADER_BYTES <= size:
        length = int.from_bytes(data[position : position + 3], "little")
        end = position + HEADER_BYTES + length
        if end > size:
            raise MalformedPacket("packets end inside one")
        parts.append(bytes(data[position + HEADER_BYTES : end]))
        position = end
        if length < MAX_PAYLOAD_BYTES:
            yield parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()


def renumber(packets: bytearray, sequence: int) -> None:
    """Number framed packets from `sequence` on, in place. The last one may be cut off anywhere."""
    position, size = 0, len(packets)
    while position + HEADER_BYTES <= size:
        packets[position + 3] = sequence & 0xFF
        position += HEADER_BYTES + int.from_bytes(packets[position : position + 3], "little")
        sequence += 1
