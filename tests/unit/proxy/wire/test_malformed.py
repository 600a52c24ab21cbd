"""Whatever bytes come, the codec raises MalformedPacket or HandshakeError and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import HandshakeError, MalformedPacket, PacketTooLarge
from proxy.wire.binary_rows import parse_binary_row
from proxy.wire.columns import ColumnDefinition, make_column_definition, parse_column_definition, text_column
from proxy.wire.convert import from_text
from proxy.wire.field_types import FieldType
from proxy.wire.handshake import (
    parse_auth_switch,
    parse_change_user,
    parse_handshake,
    parse_handshake_response,
)
from proxy.wire.packets import PacketReader
from proxy.wire.response_scanner import PrepareScanner
from proxy.wire.responses import parse_eof, parse_err, parse_ok
from proxy.wire.statements import bound_types, make_execute, parse_execute
from proxy.wire.text_rows import parse_text_row

COLUMNS = [ColumnDefinition(b"c", kind) for kind in FieldType]


def read_packets(data: bytes) -> None:
    reader = PacketReader(64)
    reader.feed(data)
    while reader.next_packet() is not None:
        pass


def convert_all(data: bytes) -> None:
    for column in COLUMNS:
        from_text(data, column)


PARSERS: dict[str, Callable[[bytes], object]] = {
    "handshake": parse_handshake,
    "handshake response": parse_handshake_response,
    "auth switch": parse_auth_switch,
    "change user": lambda data: parse_change_user(data, 0xFFFFFFFF),
    "ok": lambda data: parse_ok(data, 1 << 23),
    "err": parse_err,
    "eof": parse_eof,
    "column": parse_column_definition,
    "text row": lambda data: parse_text_row(data, 3),
    "binary row": lambda data: parse_binary_row(data, COLUMNS),
    "execute": lambda data: parse_execute(data, 5, None),
    "execute, remembered": lambda data: parse_execute(data, 5, b"\x01\x00\x0c\x00\x0b\x80\xfe\x00\x05\x00"),
    "bound types": lambda data: bound_types(data, 5),
    "prepare": lambda data: PrepareScanner().scan(data),
    "packets": read_packets,
    "text": convert_all,
}


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
def test_noise(name: str, data: bytes) -> None:
    try:
        PARSERS[name](data)
    except (MalformedPacket, HandshakeError, PacketTooLarge):
        pass


VALID = {
    "execute": make_execute(3, [1, b"abc", None, 2.5, b"x" * 300]),
    "column": make_column_definition(text_column("name")),
    "handshake response": (
        b"\x8d\xa6\xbf\x20" + b"\0\0\0\1\x2d" + bytes(23) + b"app\0\x20" + b"x" * 32 + b"shop\0"
        b"caching_sha2_password\0\x0a\x04_pid\x0412"
    ),
    "handshake": b"\x0a8.0.36\0\1\0\0\0abcdefgh\0\xff\xff\x2d\x02\0\xff\xdf\x15"
    + bytes(10)
    + b"ijklmnopqrst\0sha\0",
}


@pytest.mark.parametrize("name", VALID)
@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_valid_packets_with_bytes_changed(name: str, data: st.DataObject) -> None:
    payload = bytearray(VALID[name])
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    payload = payload[: data.draw(st.integers(0, len(payload)))]
    try:
        PARSERS[name](bytes(payload))
    except (MalformedPacket, HandshakeError):
        pass
