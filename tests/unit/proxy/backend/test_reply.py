"""What of a shard's answer reaches the client, and how it is read where it must be merged."""

from __future__ import annotations

import pytest

from proxy.backend.reply import Chunk, PrepareReply, RelayReply
from proxy.wire.binary_rows import make_binary_row
from proxy.wire.capabilities import Status
from proxy.wire.columns import ColumnDefinition, integer_column, text_column
from proxy.wire.field_types import FieldType
from proxy.wire.packets import frame, split_packets
from proxy.wire.response_scanner import PrepareScanner, ResponseScanner
from proxy.wire.responses import ErrPacket, OkPacket, make_err, make_ok, parse_eof, parse_ok
from proxy.wire.resultsets import make_resultset
from proxy.wire.statements import make_prepare_ok
from proxy.wire.temporal import MysqlDateTime
from proxy.wire.text_rows import make_text_row

AUTOCOMMIT, IN_TRANS, MORE = int(Status.AUTOCOMMIT), int(Status.IN_TRANS), int(Status.MORE_RESULTS_EXISTS)
NO_INDEX = int(Status.NO_INDEX_USED)


def reply_of(packets: bytes, *, binary: bool = False) -> RelayReply:
    scanner = ResponseScanner()
    assert scanner.scan(packets)
    return RelayReply(scanner, packets, 0, binary)


def rows(status: int = AUTOCOMMIT) -> bytes:
    return make_resultset(
        [text_column("a"), integer_column("b")],
        [make_text_row([b"x", b"1"]), make_text_row([None, b"2"])],
        status=status,
        warnings=1,
    )[0]


def statuses(packets: bytes | bytearray) -> list[int]:
    return [parse_eof(payload).status for payload in split_packets(packets) if payload[0] == 0xFE]


def test_an_answer_with_the_sessions_own_status_is_not_touched() -> None:
    reply = reply_of(rows())
    assert reply.to_client(AUTOCOMMIT) is reply.packets


@pytest.mark.parametrize("status", [0, IN_TRANS, IN_TRANS | AUTOCOMMIT])
def test_the_sessions_status_goes_out_and_other_flags_stay(status: int) -> None:
    reply = reply_of(rows(AUTOCOMMIT | NO_INDEX))
    assert statuses(reply.to_client(status)) == [status | NO_INDEX] * 2
    assert statuses(reply.packets) == [AUTOCOMMIT | NO_INDEX] * 2


def test_more_results_can_be_promised() -> None:
    assert statuses(reply_of(rows()).to_client(AUTOCOMMIT | MORE)) == [AUTOCOMMIT | MORE] * 2


def test_an_ok_is_patched_too() -> None:
    reply = reply_of(frame(make_ok(OkPacket(1, 2, AUTOCOMMIT | IN_TRANS)), 1))
    assert parse_ok(bytes(reply.to_client(AUTOCOMMIT)[4:])).status == AUTOCOMMIT
    assert (reply.affected_rows, reply.last_insert_id, reply.has_rows) == (1, 2, False)


def test_an_error_is_passed_on() -> None:
    packets = frame(make_err(ErrPacket(1062, "23000", "Duplicate")), 1)
    reply = reply_of(packets)
    assert reply.error is not None
    assert (reply.error.errno, reply.error.sqlstate, reply.error.message) == (1062, "23000", "Duplicate")
    assert reply.to_client(IN_TRANS) is packets
    assert reply.columns() == []
    assert reply.rows() == []


def test_answers_of_several_statements_count_on() -> None:
    reply = reply_of(rows())
    packets = reply.to_client(AUTOCOMMIT, 254)
    numbers = []
    position = 0
    while position < len(packets):
        numbers.append(packets[position + 3])
        position += 4 + int.from_bytes(packets[position : position + 3], "little")
    assert numbers == [254, 255, 0, 1, 2, 3, 4]
    assert reply.next_sequence == 5


def test_text_rows_are_read_for_a_merge() -> None:
    reply = reply_of(rows())
    assert [column.name for column in reply.columns()] == [b"a", b"b"]
    assert reply.rows() == [[b"x", b"1"], [None, b"2"]]
    assert reply.column_count == 2
    assert reply.warnings == 1


def test_binary_rows_are_read_as_text() -> None:
    columns = [
        integer_column("n"),
        ColumnDefinition(b"d", FieldType.DATETIME, 63, 19, 0, 0),
        ColumnDefinition(b"x", FieldType.DOUBLE, 63, 22, 0, 31),
    ]
    row = make_binary_row(columns, [-5, MysqlDateTime(2024, 1, 2, 3, 4, 5), 0.25])
    reply = reply_of(make_resultset(columns, [row, make_binary_row(columns, [None] * 3)])[0], binary=True)
    assert reply.rows() == [[b"-5", b"2024-01-02 03:04:05", b"0.25"], [None, None, None]]


def test_a_row_that_looks_like_an_eof_is_a_row() -> None:
    """Eight bytes of length in front of 16 MiB: its first byte is 0xFE as well."""
    value = bytes(1 << 24)
    packets = make_resultset([text_column("a")], [make_text_row([value])])[0]
    assert reply_of(packets).rows() == [[value]]


class Source:
    """The rest of an answer, cut anywhere."""

    def __init__(self, scanner: ResponseScanner, rest: bytearray, chunk_bytes: int) -> None:
        self.scanner, self.rest, self.chunk_bytes = scanner, rest, chunk_bytes
        self.buffer = bytearray()

    async def next_chunk(self) -> Chunk | None:
        if not self.rest and not self.buffer:
            return None
        ready = 0
        while not ready:
            self.buffer += self.rest[: self.chunk_bytes]
            del self.rest[: self.chunk_bytes]
            self.scanner.scan(self.buffer)
            ready = min(self.scanner.position, len(self.buffer))
        chunk = Chunk(self.buffer[:ready], tuple(self.scanner.marks))
        del self.buffer[:ready]
        self.scanner.forget(ready)
        return chunk


@pytest.mark.parametrize("cut", [80, 200, 1000])
@pytest.mark.parametrize("chunk_bytes", [3, 50, 10_000])
@pytest.mark.parametrize("sequence", [1, 9])
async def test_a_streamed_answer_gets_the_same_treatment(cut: int, chunk_bytes: int, sequence: int) -> None:
    packets = make_resultset([text_column("a")], [make_text_row([b"x" * 20])] * 60, status=AUTOCOMMIT)[0]
    whole = reply_of(packets)
    expected = bytes(whole.to_client(IN_TRANS, sequence))
    scanner = ResponseScanner()
    first = bytearray(packets[:cut])
    assert not scanner.scan(first)
    ready = min(scanner.position, cut)
    source = Source(scanner, bytearray(packets[ready:]), chunk_bytes)
    reply = RelayReply(scanner, first[:ready], source=source)
    scanner.forget(ready)
    assert not reply.complete
    got = bytearray(reply.to_client(IN_TRANS, sequence))
    while (chunk := await reply.next_chunk()) is not None:
        got += chunk
    assert bytes(got) == expected
    assert reply.complete
    assert reply.next_sequence == whole.next_sequence


def test_the_answer_to_prepare_goes_out_under_the_proxys_id() -> None:
    packets = make_prepare_ok(1000, [text_column("?")], [text_column("a")], status=AUTOCOMMIT | IN_TRANS)
    scanner = PrepareScanner()
    assert scanner.scan(packets)
    reply = PrepareReply(scanner, packets, 0)
    assert reply.to_client(7, AUTOCOMMIT) == make_prepare_ok(7, [text_column("?")], [text_column("a")])
    assert (reply.num_params, reply.num_columns) == (1, 1)
    assert [column.name for column in reply.columns()] == [b"a"]
