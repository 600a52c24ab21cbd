"""OK, ERR, EOF and column definitions, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import MalformedPacket
from proxy.wire.capabilities import Capability, Status
from proxy.wire.columns import (
    ColumnDefinition,
    integer_column,
    make_column_definition,
    parse_column_definition,
    text_column,
)
from proxy.wire.responses import (
    EofPacket,
    ErrPacket,
    OkPacket,
    is_eof,
    make_eof,
    make_err,
    make_ok,
    make_variable_change,
    parse_eof,
    parse_err,
    parse_ok,
)

TRACKED = int(Capability.SESSION_TRACK)


def test_ok_as_the_manual_has_it() -> None:
    assert make_ok(OkPacket()) == b"\x00\x00\x00\x02\x00\x00\x00"


@given(
    st.builds(
        OkPacket,
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**64 - 1),
        st.integers(0, 0x3FFF),
        st.integers(0, 0xFFFF),
        st.binary(max_size=20),
    )
)
def test_ok_comes_back(ok: OkPacket) -> None:
    assert parse_ok(make_ok(ok)) == ok
    assert parse_ok(make_ok(ok, TRACKED), TRACKED) == ok


def test_session_state_is_read_where_it_was_agreed() -> None:
    status = int(Status.AUTOCOMMIT | Status.SESSION_STATE_CHANGED)
    ok = OkPacket(1, 2, status, 0, b"info", b"\x00\x03abc")
    assert parse_ok(make_ok(ok, TRACKED), TRACKED) == ok


def test_an_ok_that_ends_rows_has_the_header_of_an_eof() -> None:
    payload = make_ok(OkPacket(3), int(Capability.DEPRECATE_EOF), ends_rows=True)
    assert payload[0] == 0xFE
    assert parse_ok(payload).affected_rows == 3


def test_err_comes_back() -> None:
    error = ErrPacket(1049, "42000", "Unknown database 'nöpe'")
    assert parse_err(make_err(error)) == error


def test_err_before_the_greeting_has_no_sqlstate() -> None:
    payload = make_err(ErrPacket(1040, "08004", "Too many connections"), greeted=False)
    assert payload == b"\xff\x10\x04Too many connections"
    assert parse_err(payload) == ErrPacket(1040, "HY000", "Too many connections")


def test_eof_comes_back_and_a_long_0xfe_is_a_row() -> None:
    assert parse_eof(make_eof(EofPacket(0x22, 3))) == EofPacket(0x22, 3)
    assert is_eof(make_eof(EofPacket()))
    assert not is_eof(b"\xfe" + bytes(8))


@pytest.mark.parametrize(
    ("parse", "payload"), [(parse_ok, b"\x01"), (parse_err, b"\x00"), (parse_eof, b"\x00")]
)
def test_another_packet_is_refused(parse: object, payload: bytes) -> None:
    with pytest.raises(MalformedPacket):
        parse(payload)  # type: ignore[operator]


@pytest.mark.parametrize(
    "column",
    [
        text_column("größe"),
        integer_column("n", unsigned=True),
        ColumnDefinition(b"a", 0xF6, 63, 12, 1, 4, b"db", b"t", b"org", b"org_a"),
    ],
)
def test_columns_come_back(column: ColumnDefinition) -> None:
    assert parse_column_definition(make_column_definition(column)) == column


def test_a_cut_column_is_malformed() -> None:
    payload = make_column_definition(text_column("abc"))
    for size in range(len(payload) - 2):
        with pytest.raises(MalformedPacket):
            parse_column_definition(payload[:size])


def test_a_variable_change_is_type_length_name_value() -> None:
    assert make_variable_change("ab", "17") == b"\x00\x06\x02ab\x0217"
