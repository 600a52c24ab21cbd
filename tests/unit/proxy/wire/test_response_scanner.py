"""Finding the end of an answer, whichever way it arrives and whatever it holds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import MalformedPacket
from proxy.wire.capabilities import Status
from proxy.wire.columns import make_column_definition, text_column
from proxy.wire.lenenc import lenenc_int
from proxy.wire.packets import MAX_PAYLOAD_BYTES, frame, frame_all
from proxy.wire.response_scanner import ResponseScanner
from proxy.wire.responses import EofPacket, ErrPacket, OkPacket, make_eof, make_err, make_ok
from proxy.wire.text_rows import make_text_row

MORE = int(Status.MORE_RESULTS_EXISTS)
IN_TRANS = int(Status.IN_TRANS)
AUTOCOMMIT = int(Status.AUTOCOMMIT)


def resultset(columns: int, rows: int, status: int = AUTOCOMMIT, size: int = 5) -> list[bytes]:
    return [
        lenenc_int(columns),
        *[make_column_definition(text_column(f"c{index}")) for index in range(columns)],
        make_eof(EofPacket(status)),
        *[make_text_row([b"x" * size] * columns) for _ in range(rows)],
        make_eof(EofPacket(status, 7)),
    ]


def ok(status: int = AUTOCOMMIT) -> list[bytes]:
    return [make_ok(OkPacket(3, 300, status, 2))]


def err() -> list[bytes]:
    return [make_err(ErrPacket(1062, "23000", "Duplicate entry"))]


def framed(*results: list[bytes]) -> bytes:
    return frame_all([payload for result in results for payload in result])[0]


def scan_in_pieces(data: bytes, step: int, leading: int = 0) -> tuple[ResponseScanner, bytearray]:
    scanner, buffer = ResponseScanner(0, leading), bytearray()
    for start in range(0, len(data), step):
        buffer += data[start : start + step]
        done = scanner.scan(buffer)
        assert done == (start + step >= len(data)), "complete at its end and not before"
    return scanner, buffer


ANSWERS = {
    "ok": framed(ok()),
    "err": framed(err()),
    "one row": framed(resultset(1, 1)),
    "no rows": framed(resultset(3, 0)),
    "many rows": framed(resultset(2, 300)),
    "many columns": framed(resultset(300, 2)),
    "values of 251 to 254 bytes": framed(resultset(1, 3, size=253)),
    "large values": framed(resultset(1, 2, size=70_000)),
    "rows, then an ERR": framed([*resultset(1, 3)[:-1], *err()]),
    "two result sets": framed(resultset(1, 1, AUTOCOMMIT | MORE), resultset(2, 2)),
    "a procedure's": framed(resultset(1, 1, AUTOCOMMIT | MORE), ok()),
    "ok, then an ERR": framed(ok(AUTOCOMMIT | MORE), err()),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 1 << 30])
def test_the_end_is_found_however_it_is_cut(name: str, step: int) -> None:
    data = ANSWERS[name]
    if len(data) > 20_000 and step < 64:
        step = 64
    scanner, _ = scan_in_pieces(data, step)
    assert scanner.position == len(data)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 300)), min_size=1, max_size=4),
    st.booleans(),
    st.integers(1, 2000),
)
@settings(max_examples=300, deadline=None)
def test_at_once_and_in_pieces_agree(shapes: list[tuple[int, int, int]], fails: bool, step: int) -> None:
    results = []
    for index, (columns, rows, size) in enumerate(shapes):
        more = MORE if index < len(shapes) - 1 or fails else 0
        status = AUTOCOMMIT | more
        results.append(resultset(columns, rows, status, size) if columns else ok(status))
    if fails:
        results.append(err())
    data = framed(*results)
    at_once = ResponseScanner()
    assert at_once.scan(data)
    pieces, _ = scan_in_pieces(data, step)
    for name in ResponseScanner.__slots__:
        if not name.startswith("_"):
            assert getattr(at_once, name) == getattr(pieces, name), name


def test_what_an_ok_says() -> None:
    scanner = ResponseScanner()
    assert scanner.scan(framed(ok(AUTOCOMMIT | IN_TRANS)))
    assert (scanner.affected_rows, scanner.last_insert_id, scanner.warnings) == (3, 300, 2)
    assert scanner.status == AUTOCOMMIT | IN_TRANS
    assert scanner.column_count == 0
    assert scanner.sequence == 2


def test_what_an_err_says() -> None:
    scanner = ResponseScanner()
    assert scanner.scan(framed(err()))
    assert scanner.error == ErrPacket(1062, "23000", "Duplicate entry")


def test_the_marks_are_the_status_words() -> None:
    for rows in (1, 400):
        data = framed(resultset(2, rows, 0x1234 & ~MORE))
        scanner = ResponseScanner()
        assert scanner.scan(data)
        words = [int.from_bytes(data[mark : mark + 2], "little") for mark in scanner.marks]
        assert words == [0x1234 & ~MORE] * 2


def test_differing_session_bits_are_noticed() -> None:
    payloads = resultset(1, 1)
    payloads[2] = make_eof(EofPacket(AUTOCOMMIT | IN_TRANS))
    scanner = ResponseScanner()
    assert scanner.scan(framed(payloads))
    assert scanner.mixed_status
    pieces, _ = scan_in_pieces(framed(payloads), 3)
    assert pieces.mixed_status


@pytest.mark.parametrize("body", ["one row", "many rows", "ok", "err", "a procedure's", "large values"])
@pytest.mark.parametrize("step", [5, 1 << 30])
def test_what_follows_leading_statements_is_numbered_as_if_alone(body: str, step: int) -> None:
    lead = framed(ok(AUTOCOMMIT | MORE), resultset(1, 2, AUTOCOMMIT | MORE))
    alone = ANSWERS[body]
    packets = bytearray(alone)
    position, sequence = 0, 9
    while position < len(packets):
        packets[position + 3] = sequence & 0xFF
        position += 4 + int.from_bytes(packets[position : position + 3], "little")
        sequence += 1
    scanner, buffer = scan_in_pieces(lead + bytes(packets), step if len(alone) < 9000 else 1 << 30, leading=2)
    assert buffer[scanner.body_start :] == alone
    assert scanner.body_start == len(lead)
    bare = ResponseScanner()
    bare.scan(alone)
    assert [mark - scanner.body_start for mark in scanner.marks] == bare.marks
    assert scanner.sequence == bare.sequence


def test_a_leading_statement_that_fails_ends_the_answer() -> None:
    data = bytearray(framed(ok(AUTOCOMMIT | MORE), err()))
    scanner = ResponseScanner(0, 2)
    assert scanner.scan(data)
    assert scanner.error is not None
    assert scanner.results == 2
    assert not scanner.marks


@pytest.mark.parametrize("filling", [b"\xfe", b"\xff"])
def test_rows_of_16_mib_and_more_are_one_row(filling: bytes) -> None:
    """Their continuation may look like an EOF or an ERR, and may be empty."""
    for size in (MAX_PAYLOAD_BYTES, MAX_PAYLOAD_BYTES + 5, MAX_PAYLOAD_BYTES + 100, 2 * MAX_PAYLOAD_BYTES):
        row = b"\xfe" + (size - 9).to_bytes(8, "little") + filling * (size - 9)
        columns = [lenenc_int(1), make_column_definition(text_column("c")), make_eof(EofPacket())]
        data = framed([*columns, row, make_eof(EofPacket())])
        scanner = ResponseScanner()
        assert scanner.scan(data)
        assert scanner.position == len(data)
        assert scanner.results == 1


def test_a_first_result_that_fills_a_chunk_is_not_the_end() -> None:
    first = framed(resultset(1, 1, AUTOCOMMIT | MORE))
    scanner = ResponseScanner()
    assert not scanner.scan(first)
    assert scanner.results == 1


@pytest.mark.parametrize("payload", [b"\xfb/etc/passwd", b"\x00\x01", b"\x00\x01\x02\x03", b"\xff\x01"])
def test_what_is_no_answer_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedPacket):
        ResponseScanner().scan(frame(payload, 1))


def test_rows_without_the_eof_of_their_columns_are_malformed() -> None:
    payloads = resultset(1, 1)
    del payloads[2]
    with pytest.raises(MalformedPacket):
        ResponseScanner().scan(framed(payloads))


@given(st.binary(max_size=200))
@settings(max_examples=400)
def test_noise_raises_nothing_else(data: bytes) -> None:
    for leading in (0, 1):
        try:
            ResponseScanner(0, leading).scan(bytearray(data))
        except MalformedPacket:
            pass


def test_a_stream_goes_on_after_a_part_was_handed_over() -> None:
    data = framed(resultset(1, 400))
    scanner = ResponseScanner()
    buffer = bytearray(data[:3000])
    assert not scanner.scan(buffer)
    taken = min(scanner.position, len(buffer))
    scanner.forget(taken)
    rest = buffer[taken:] + data[3000:]
    assert scanner.scan(rest)
    assert taken + scanner.position == len(data)
    assert rest[scanner.marks[0]] == AUTOCOMMIT
