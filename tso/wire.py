"""The oracle's wire format: frames of messages. Sans-IO.

A frame is a u32 length and that many bytes: any number of messages one after the other. A message is
`u8 kind, u32 request_id` and its fields in the order of `tso.messages.LAYOUTS`. Numbers are big-endian.

    u8, u16, u32, u64, f64   as such              bytes        u32 length and the bytes
    flag, outcome            one byte             text         the same, UTF-8
    optional                 u8 0, or 1 and the   timestamps   u32 count, u64 each
                             value                shards       u32 count, text each

The server speaks first: `Challenge`; the client answers `Hello`, the server `Welcome` or `Failed`. From
then on every request gets one answer with its `request_id`, in any order; a request with `request_id` 0
gets none. One message carries the `Begin`s, `ReadTs`s or `End`s of many callers, and one frame all messages
of a moment.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from tso.fields import Reader, WireError
from tso.messages import LAYOUTS, Message

VERSION: Final = 1
NO_REPLY: Final = 0
MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
MAX_HELLO_BYTES: Final = 1024
"""The longest frame taken from somebody who has not proved to know the secret."""

_HEAD = struct.Struct(">BI")
_LENGTH = struct.Struct(">I")
_KINDS = {message: (kind, fields) for kind, (message, fields) in LAYOUTS.items()}


def encode_message(out: bytearray, request_id: int, message: Message) -> None:
    """Append one message to a frame's body."""
    kind, fields = _KINDS[type(message)]
    out += _HEAD.pack(kind, request_id)
    for field, value in zip(fields, message, strict=True):
        field.put(out, value)


def encode_frame(messages: Iterable[tuple[int, Message]]) -> bytes:
    """`messages` are pairs of request_id and message."""
    body = bytearray(_LENGTH.size)
    for request_id, message in messages:
        encode_message(body, request_id, message)
    _LENGTH.pack_into(body, 0, len(body) - _LENGTH.size)
    return bytes(body)


class Decoder:
    """Cuts a stream of bytes into messages. Raises WireError; then the stream is of no more use."""

    __slots__ = ("_buffer", "max_frame_bytes")

    def __init__(self, max_frame_bytes: int = MAX_HELLO_BYTES) -> None:
        self.max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, Message]]:
        """The messages that are complete now, with their request_ids."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > self.max_frame_bytes:
                raise WireError(f"a frame of {length} bytes; at most {self.max_frame_bytes} are allowed here")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield from _decode_body(body)


def _decode_body(body: bytes) -> Iterator[tuple[int, Message]]:
    reader = Reader(body)
    while not reader.at_end:
        kind, request_id = reader.unpack(_HEAD)
        if kind not in LAYOUTS:
            raise WireError(f"a message of unknown kind {kind}")
        message, fields = LAYOUTS[kind]
        yield request_id, message(*[field.get(reader) for field in fields])
