"""Length-encoded integers and strings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import MalformedPacket
from proxy.wire.lenenc import PayloadReader, lenenc_bytes, lenenc_int, read_lenenc_bytes, read_lenenc_int


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, b"\x00"),
        (250, b"\xfa"),
        (251, b"\xfc\xfb\x00"),
        (0xFFFF, b"\xfc\xff\xff"),
        (0x10000, b"\xfd\x00\x00\x01"),
        (0xFFFFFF, b"\xfd\xff\xff\xff"),
        (0x1000000, b"\xfe\x00\x00\x00\x01\x00\x00\x00\x00"),
        (2**64 - 1, b"\xfe" + b"\xff" * 8),
    ],
)
def test_integers_at_the_edges_of_each_width(value: int, encoded: bytes) -> None:
    assert lenenc_int(value) == encoded
    assert read_lenenc_int(b"?" + encoded, 1) == (value, 1 + len(encoded))


@given(st.integers(0, 2**64 - 1))
def test_every_integer_comes_back(value: int) -> None:
    assert read_lenenc_int(lenenc_int(value), 0)[0] == value


@given(st.binary(max_size=300))
def test_every_string_comes_back(value: bytes) -> None:
    assert read_lenenc_bytes(lenenc_bytes(value), 0) == (value, len(lenenc_bytes(value)))


@pytest.mark.parametrize("data", [b"", b"\xfb", b"\xff", b"\xfc\x01", b"\xfd\x01\x02", b"\xfe" + b"\0" * 7])
def test_what_is_cut_off_or_no_length_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        read_lenenc_int(data, 0)


def test_a_string_longer_than_the_packet_is_malformed() -> None:
    with pytest.raises(MalformedPacket):
        read_lenenc_bytes(b"\x05abcd", 0)


def test_the_reader_stops_at_the_end() -> None:
    reader = PayloadReader(b"ab\0cd")
    assert reader.null_terminated() == b"ab"
    assert reader.take(1) == b"c"
    with pytest.raises(MalformedPacket):
        reader.take(2)
    assert reader.rest() == b"d"
    assert reader.remaining == 0
