"""How the values of the wire format are written and read. Sans-IO; `tso.wire` documents the format."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tso.types import Orphan, Outcome, OutstandingCommit, Timestamp, TsoStatistics

_LENGTH = struct.Struct(">I")


class WireError(Exception):
    """The peer does not speak this protocol: drop the connection."""


class Reader:
    """Takes values off the front of a frame's body."""

    __slots__ = ("_at", "_body")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._body)

    def take(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._body):
            raise WireError("a message ends too early")
        taken = self._body[self._at : end]
        self._at = end
        return taken

    def unpack(self, layout: struct.Struct) -> Any:
        return layout.unpack(self.take(layout.size))


Put: TypeAlias = Callable[[bytearray, Any], object]
Get: TypeAlias = Callable[[Reader], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """How one field of a message is written and read."""

    put: Put
    get: Get


def _number(code: str) -> Field:
    layout = struct.Struct(">" + code)

    def put(out: bytearray, value: Any) -> None:
        out += layout.pack(value)

    return Field(put, lambda reader: reader.unpack(layout)[0])


def _put_bytes(out: bytearray, value: bytes) -> None:
    out += _LENGTH.pack(len(value))
    out += value


def _get_bytes(reader: Reader) -> bytes:
    (length,) = reader.unpack(_LENGTH)
    return reader.take(length)


def _get_text(reader: Reader) -> str:
    try:
        return _get_bytes(reader).decode()
    except UnicodeDecodeError as error:
        raise WireError("a text is not UTF-8") from error


def _put_timestamps(out: bytearray, values: Any) -> None:
    out += struct.pack(f">I{len(values)}Q", len(values), *values)


def _get_timestamps(reader: Reader) -> tuple[Timestamp, ...]:
    (count,) = reader.unpack(_LENGTH)
    return struct.unpack(f">{count}Q", reader.take(8 * count))


def optional(field: Field) -> Field:
    def put(out: bytearray, value: Any) -> None:
        out.append(value is not None)
        if value is not None:
            field.put(out, value)

    return Field(put, lambda reader: field.get(reader) if reader.take(1) != b"\0" else None)


def _many(field: Field) -> Field:
    def put(out: bytearray, values: Any) -> None:
        out += _LENGTH.pack(len(values))
        for value in values:
            field.put(out, value)

    def get(reader: Reader) -> tuple[Any, ...]:
        (count,) = reader.unpack(_LENGTH)
        return tuple(field.get(reader) for _ in range(count))

    return Field(put, get)


def _record(make: Callable[..., Any], **fields: Field) -> Field:
    """A dataclass or tuple within a message: these attributes of it, in order."""

    def put(out: bytearray, value: Any) -> None:
        for name, field in fields.items():
            field.put(out, getattr(value, name))

    return Field(put, lambda reader: make(*[field.get(reader) for field in fields.values()]))


def _pair(first: Field, second: Field) -> Field:
    def put(out: bytearray, value: Any) -> None:
        first.put(out, value[0])
        second.put(out, value[1])

    return Field(put, lambda reader: (first.get(reader), second.get(reader)))


def _get_outcome(reader: Reader) -> Outcome:
    try:
        return Outcome(reader.take(1).decode("ascii", "replace"))
    except ValueError as error:
        raise WireError("no such outcome") from error


U8, U16, U32, U64, F64 = map(_number, "BHIQd")
FLAG = Field(U8.put, lambda reader: reader.take(1) != b"\0")
BYTES = Field(_put_bytes, _get_bytes)
TEXT = Field(lambda out, value: _put_bytes(out, value.encode()), _get_text)
OUTCOME = Field(lambda out, outcome: out.extend(outcome.value.encode()), _get_outcome)
TIMESTAMPS = Field(_put_timestamps, _get_timestamps)
SHARDS = _many(TEXT)
OUTSTANDING = _record(
    OutstandingCommit,
    start_ts=U64,
    commit_ts=U64,
    participants=SHARDS,
    age_ms=F64,
    outcome=optional(OUTCOME),
    orphaned=FLAG,
)
STATISTICS = _record(
    TsoStatistics,
    epoch=U64,
    now=U64,
    active=TIMESTAMPS,
    outstanding=_many(OUTSTANDING),
    rollbacks=_many(_pair(TEXT, U64)),
    safe_point=U64,
    timestamps_served=U64,
)
ORPHAN = _record(Orphan, start_ts=U64, commit_ts=U64, participants=SHARDS)
