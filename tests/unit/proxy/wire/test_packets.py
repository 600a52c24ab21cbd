"""Framing: headers, sequence ids, payloads of 16 MiB and more, limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import MalformedPacket, PacketTooLarge
from proxy.wire.packets import (
    MAX_PAYLOAD_BYTES,
    PacketReader,
    frame,
    frame_all,
    packet_count,
    renumber,
    split_packets,
)


def test_a_small_payload_has_one_header() -> None:
    assert frame(b"abc", 7) == b"\x03\x00\x00\x07abc"


@pytest.mark.parametrize(
    ("size", "packets"),
    [
        (MAX_PAYLOAD_BYTES - 1, 1),
        (MAX_PAYLOAD_BYTES, 2),
        (MAX_PAYLOAD_BYTES + 1, 2),
        (2 * MAX_PAYLOAD_BYTES, 3),
    ],
)
def test_large_payloads_are_split_and_joined(size: int, packets: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    payload = payload[:size]
    framed = frame(payload, 254)
    assert len(framed) == size + 4 * packets
    assert packet_count(payload) == packets
    reader = PacketReader(size)
    reader.expected = 254
    reader.feed(framed)
    packet = reader.next_packet()
    assert packet is not None
    assert packet.payload == payload
    assert packet.sequence == (254 + packets - 1) % 256
    assert list(split_packets(framed)) == [payload]


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6), st.integers(1, 11))
def test_any_cut_of_the_stream_gives_the_same_packets(payloads: list[bytes], step: int) -> None:
    stream = b"".join(frame(payload) for payload in payloads)
    reader = PacketReader(100)
    got: list[bytes] = []
    for start in range(0, len(stream), step):
        reader.feed(stream[start : start + step])
        while (packet := reader.next_packet()) is not None:
            got.append(packet.payload)
    assert got == payloads
    assert not reader.buffer


def test_a_wrong_number_is_malformed_before_the_payload_is_here() -> None:
    reader = PacketReader(100)
    reader.feed(b"\x50\x00\x00\x01")
    with pytest.raises(MalformedPacket):
        reader.next_packet()


def test_a_continuation_must_count_on() -> None:
    reader = PacketReader(2 * MAX_PAYLOAD_BYTES)
    reader.feed(frame(bytes(MAX_PAYLOAD_BYTES))[: 4 + MAX_PAYLOAD_BYTES] + b"\x01\x00\x00\x02x")
    with pytest.raises(MalformedPacket):
        reader.next_packet()


def test_too_large_is_seen_in_the_header() -> None:
    reader = PacketReader(9)
    reader.feed(b"\x0a\x00\x00\x00")
    with pytest.raises(PacketTooLarge):
        reader.next_packet()


def test_too_large_is_seen_over_several_packets() -> None:
    reader = PacketReader(MAX_PAYLOAD_BYTES + 4)
    reader.feed(b"\xff\xff\xff\x00" + bytes(MAX_PAYLOAD_BYTES) + b"\x05\x00\x00\x01")
    with pytest.raises(PacketTooLarge):
        reader.next_packet()


def test_frame_all_counts_on() -> None:
    assert frame_all([b"a", b"", b"b"], 255) == (b"\x01\0\0\xffa\0\0\0\0\x01\0\0\x01b", 2)


def test_renumber_walks_whole_packets_and_a_last_cut_one() -> None:
    packets = bytearray(frame(b"one", 9) + frame(b"two", 10) + frame(b"three", 11)[:6])
    renumber(packets, 255)
    assert packets == frame(b"one", 255) + frame(b"two", 0) + frame(b"three", 1)[:6]


def test_split_refuses_a_cut_packet() -> None:
    with pytest.raises(MalformedPacket):
        list(split_packets(frame(b"abc")[:-1]))


def test_what_is_left_can_be_taken() -> None:
    reader = PacketReader(100)
    reader.feed(frame(b"ssl request") + b"\x16\x03\x01")
    assert reader.next_packet() is not None
    assert reader.take_rest() == b"\x16\x03\x01"
    assert reader.next_packet() is None
