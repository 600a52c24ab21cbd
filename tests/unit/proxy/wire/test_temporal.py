"""Dates and times, in binary and as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import MalformedPacket
from proxy.wire.temporal import (
    MysqlDateTime,
    MysqlTime,
    decode_datetime,
    decode_time,
    encode_datetime,
    encode_time,
    parse_datetime,
    parse_time,
)

datetimes = st.builds(
    MysqlDateTime,
    st.integers(0, 9999),
    st.integers(0, 12),
    st.integers(0, 31),
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 59),
    st.integers(0, 999_999),
)
times = st.builds(
    MysqlTime,
    st.booleans(),
    st.integers(0, 838),
    st.integers(0, 59),
    st.integers(0, 59),
    st.integers(0, 999_999),
).filter(lambda t: not t.negative or bool(t.hours or t.minutes or t.seconds or t.microseconds))


@given(datetimes)
def test_every_datetime_comes_back(value: MysqlDateTime) -> None:
    encoded = encode_datetime(value)
    assert encoded[0] == len(encoded) - 1
    assert decode_datetime(encoded[1:]) == value
    assert parse_datetime(value.text()) == value
    assert parse_datetime(value.text(6)) == value


@given(times)
def test_every_time_comes_back(value: MysqlTime) -> None:
    encoded = encode_time(value)
    assert encoded[0] == len(encoded) - 1
    assert decode_time(encoded[1:]) == value
    assert parse_time(value.text()) == value


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (MysqlDateTime(), b"\x00"),
        (MysqlDateTime(2010, 10, 17), b"\x04\xda\x07\x0a\x11"),
        (MysqlDateTime(2010, 10, 17, 19, 27, 30), b"\x07\xda\x07\x0a\x11\x13\x1b\x1e"),
        (MysqlDateTime(2010, 10, 17, 19, 27, 30, 1), b"\x0b\xda\x07\x0a\x11\x13\x1b\x1e\x01\x00\x00\x00"),
    ],
)
def test_the_shortest_form_is_taken(value: MysqlDateTime, encoded: bytes) -> None:
    """The examples of the manual."""
    assert encode_datetime(value) == encoded


def test_a_time_over_a_day_has_days() -> None:
    """The manual's example: -120d 19:27:30.000001, which is past what TIME holds, shortened to 34 days."""
    value = MysqlTime(True, 34 * 24 + 19, 27, 30, 1)
    assert encode_time(value) == b"\x0c\x01\x22\x00\x00\x00\x13\x1b\x1e\x01\x00\x00\x00"
    assert value.text() == b"-835:27:30.000001"


def test_text_has_the_columns_decimals() -> None:
    assert MysqlDateTime(2024, 2, 3, 4, 5, 6, 120_000).text(2) == b"2024-02-03 04:05:06.12"
    assert MysqlDateTime(2024, 2, 3).text(0) == b"2024-02-03 00:00:00"
    assert MysqlTime(False, 1, 2, 3).text(3) == b"01:02:03.000"
    assert MysqlDateTime().date_text() == b"0000-00-00"


@pytest.mark.parametrize(
    "text", [b"", b"2024", b"2024-13-01", b"2024-01-01 24:00:00", b"2024-01-01x", b"1-1"]
)
def test_what_is_no_date_is_malformed(text: bytes) -> None:
    with pytest.raises(MalformedPacket):
        parse_datetime(text)


@pytest.mark.parametrize("text", [b"", b"12", b"839:00:00", b"00:60:00", b"--1:00:00", b"12:00:00.1234567"])
def test_what_is_no_time_is_malformed(text: bytes) -> None:
    with pytest.raises(MalformedPacket):
        parse_time(text)


@pytest.mark.parametrize("body", [b"\x01", b"\xda\x07\x0d\x01", b"\xda\x07\x01\x01\x18\x00\x00"])
def test_binary_dates_out_of_range_are_malformed(body: bytes) -> None:
    with pytest.raises(MalformedPacket):
        decode_datetime(body)
