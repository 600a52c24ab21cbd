"""Exchanges as scripts: what goes out, what comes in, what it means."""

from __future__ import annotations

import pytest

from proxy.backend.exchange import (
    ControlExchange,
    Leading,
    LedTextRelay,
    TextRelay,
)
from proxy.backend.prepared_exchange import PreparedExchange, make_close
from proxy.backend.reply import RelayReply
from proxy.backend.statement_cache import CachedStatement, StatementCache
from proxy.backend.statements import PreparedStatement, TextStatement
from proxy.errors import MalformedPacket
from proxy.wire.capabilities import Status
from proxy.wire.columns import integer_column, text_column
from proxy.wire.packets import frame, split_packets
from proxy.wire.responses import ErrPacket, OkPacket, make_err, make_ok
from proxy.wire.resultsets import make_resultset
from proxy.wire.statements import bound_types, make_execute, make_prepare_ok
from proxy.wire.text_rows import make_text_row
from txguard.engine.shard import Rows

MORE = 2 | int(Status.MORE_RESULTS_EXISTS)
TWO = Leading((b"SET @a=1", b"SELECT 5"), 1)


def ok(sequence: int = 1, status: int = 2) -> bytes:
    return frame(make_ok(OkPacket(4, 0, status)), sequence)


def err(sequence: int = 1, errno: int = 1146) -> bytes:
    return frame(make_err(ErrPacket(errno, "42S02", "no such table")), sequence)


def five(sequence: int, status: int) -> tuple[bytes, int]:
    return make_resultset([integer_column("5")], [make_text_row([b"5"])], status=status, sequence=sequence)


def one_row(sequence: int = 1) -> bytes:
    return make_resultset([text_column("a")], [make_text_row([b"x"])], sequence=sequence)[0]


def payloads(written: bytes) -> list[bytes]:
    return list(split_packets(written))


def test_a_statement_alone_is_passed_on_as_it_is() -> None:
    exchange = TextRelay(TextStatement(b"SELECT a"))
    assert exchange.request == frame(b"\x03SELECT a")
    answer = one_row()
    assert exchange.feed(answer)
    assert exchange.end == len(answer)


def test_leading_statements_share_its_packet() -> None:
    exchange = LedTextRelay(TextStatement(b"SELECT a"), TWO)
    assert exchange.request == frame(b"\x03SET @a=1;SELECT 5;SELECT a")
    middle, sequence = five(2, MORE)
    data = bytearray(ok(1, MORE) + middle + one_row(sequence))
    assert exchange.feed(data)
    assert exchange.rows == [Rows([[5]])]
    assert data[exchange.body_start :] == one_row()
    assert exchange.failure is None


@pytest.mark.parametrize("failing", [0, 1])
def test_a_failing_leading_statement_is_told_apart(failing: int) -> None:
    exchange = LedTextRelay(TextStatement(b"SELECT a"), TWO)
    data = bytearray(err() if failing == 0 else ok(1, MORE) + err(2))
    assert exchange.feed(data)
    assert exchange.failure is not None
    assert exchange.failed_at == failing


def test_the_clients_own_error_is_no_failure() -> None:
    exchange = LedTextRelay(TextStatement(b"SELECT a"), TWO)
    middle, sequence = five(2, MORE)
    data = bytearray(ok(1, MORE) + middle + err(sequence))
    assert exchange.feed(data)
    assert exchange.failure is None
    assert data[exchange.body_start :] == err(1)


def test_fewer_answers_than_statements_are_malformed() -> None:
    exchange = LedTextRelay(TextStatement(b"SELECT a"), TWO)
    with pytest.raises(MalformedPacket):
        exchange.feed(bytearray(ok(1)))


def test_control_statements_are_decoded() -> None:
    exchange = ControlExchange(Leading((b"SELECT 5", b"DELETE FROM t")))
    first, sequence = five(1, MORE)
    assert exchange.feed(first + ok(sequence))
    assert exchange.rows == [Rows([[5]]), Rows((), 4)]


# ---------------------------------------------------------------- prepared statements

SQL = b"SELECT ?"
PAYLOAD = make_execute(77, [5])
TYPES = bound_types(PAYLOAD, 1) or b""


def execute(payload: bytes = PAYLOAD, **kwargs: object) -> PreparedStatement:
    return PreparedStatement(SQL, payload, 1, TYPES, **kwargs)  # type: ignore[arg-type]


def prepared(leading: Leading, cache: StatementCache, statement: PreparedStatement) -> PreparedExchange:
    return PreparedExchange(SQL, statement, leading, cache, None)


def with_id(statement_id: int, payload: bytes = PAYLOAD) -> bytes:
    return payload[:1] + statement_id.to_bytes(4, "little") + payload[5:]


def test_an_unknown_statement_is_prepared_first() -> None:
    cache = StatementCache()
    exchange = prepared(Leading(), cache, execute())
    assert exchange.request == frame(b"\x16" + SQL)
    data = make_prepare_ok(3, [text_column("?")], [text_column("?")])
    assert not exchange.feed(data)
    assert exchange.take_output() == frame(with_id(3))
    assert exchange.feed(data + one_row())
    assert (data + one_row())[exchange.body_start :] == one_row()
    assert cache.get(SQL, None) is not None


def test_a_known_one_goes_out_at_once_under_its_own_id() -> None:
    cache = StatementCache()
    cache.put(SQL, None, CachedStatement(9, 1))
    exchange = prepared(TWO, cache, execute())
    assert payloads(exchange.request) == [b"\x03SET @a=1;SELECT 5", with_id(9)]
    middle, _ = five(2, 2)
    data = ok(1, MORE) + middle + one_row()
    assert exchange.feed(data)
    assert exchange.rows == [Rows([[5]])]
    assert data[exchange.body_start :] == one_row()


def test_leading_statements_and_prepare_travel_together() -> None:
    exchange = prepared(TWO, StatementCache(), execute())
    assert payloads(exchange.request) == [b"\x03SET @a=1;SELECT 5", b"\x16" + SQL]


def test_behind_a_failed_leading_statement_nothing_counts() -> None:
    cache = StatementCache()
    cache.put(SQL, None, CachedStatement(9, 1))
    exchange = prepared(TWO, cache, execute())
    assert exchange.feed(err())
    assert exchange.failure is not None
    assert exchange.must_abort


def test_a_statement_that_cannot_be_prepared_is_the_clients_error() -> None:
    cache = StatementCache()
    exchange = prepared(Leading(), cache, execute())
    assert exchange.feed(err())
    assert exchange.failure is None
    assert exchange.scanner.error is not None
    assert len(cache) == 0


def test_types_are_put_in_where_the_shard_has_not_had_them() -> None:
    later = make_execute(77, [6], bind=False)
    cache = StatementCache()
    cache.put(SQL, None, CachedStatement(9, 1))
    assert payloads(prepared(Leading(), cache, execute(later)).request) == [with_id(9, make_execute(0, [6]))]
    assert payloads(prepared(Leading(), cache, execute(later)).request) == [with_id(9, later)]
    other = execute(later)._replace(param_types=b"\x01\x00")
    assert b"\x01\x01\x00" in prepared(Leading(), cache, other).request


def test_a_cursor_is_never_asked_for() -> None:
    cache = StatementCache()
    cache.put(SQL, None, CachedStatement(9, 1))
    exchange = prepared(Leading(), cache, execute(make_execute(77, [5], cursor_flags=1)))
    assert payloads(exchange.request) == [with_id(9)]


def test_long_data_goes_ahead() -> None:
    cache = StatementCache()
    cache.put(SQL, None, CachedStatement(9, 1))
    exchange = prepared(Leading(), cache, execute(long_data=((0, b"abc"),)))
    assert payloads(exchange.request) == [b"\x18\x09\0\0\0\0\0abc", with_id(9)]


def test_room_is_made_before_preparing() -> None:
    cache = StatementCache(limit=1)
    cache.put(b"other", None, CachedStatement(4, 0))
    exchange = prepared(Leading(), cache, execute())
    assert payloads(exchange.request) == [make_close(4), b"\x16" + SQL]


def test_a_server_that_is_out_of_statements_gets_ours_back() -> None:
    cache = StatementCache()
    cache.put(b"other", None, CachedStatement(4, 0))
    exchange = prepared(Leading(), cache, execute())
    assert exchange.feed(err(errno=1461))
    assert payloads(exchange.take_output()) == [make_close(4)]


@pytest.mark.parametrize("errno", [1243, 1615])
def test_a_stale_statement_is_forgotten(errno: int) -> None:
    cache = StatementCache()
    cache.put(SQL, None, CachedStatement(9, 1))
    exchange = prepared(Leading(), cache, execute())
    assert exchange.feed(err(errno=errno))
    assert cache.get(SQL, None) is None


def test_preparing_again_closes_the_old_one() -> None:
    cache = StatementCache()
    cache.put(SQL, None, CachedStatement(9, 1))
    exchange = PreparedExchange(SQL, None, Leading(), cache, None)
    assert exchange.feed(make_prepare_ok(10, [], [text_column("a")]))
    assert payloads(exchange.take_output()) == [make_close(9)]
    assert exchange.definitions is not None
    assert [column.name for column in exchange.definitions.columns()] == [b"a"]


def test_a_short_execute_is_refused_before_anything_is_sent() -> None:
    cache = StatementCache()
    cache.put(SQL, None, CachedStatement(9, 1))
    with pytest.raises(MalformedPacket):
        prepared(Leading(), cache, execute(b"\x17\x01\x00"))


def test_the_status_after_a_failed_execute_is_that_of_the_leading_statements() -> None:
    """START TRANSACTION in front: the connection is in a transaction though the ERR does not say so."""
    cache = StatementCache()
    cache.put(SQL, None, CachedStatement(9, 1))
    exchange = prepared(Leading((b"START TRANSACTION",)), cache, execute())
    assert exchange.feed(ok(1, 3) + err())
    assert exchange.scanner.status == 3


def test_replies_are_made_of_the_body() -> None:
    exchange = LedTextRelay(TextStatement(b"SELECT a"), Leading((b"SET @a=1",)))
    data = bytearray(ok(1, MORE) + one_row(2))
    exchange.feed(data)
    reply = RelayReply(exchange.scanner, data[exchange.body_start :], exchange.body_start)
    assert reply.rows() == [[b"x"]]
    assert reply.to_client(3) != reply.packets
    assert bytes(reply.to_client(3)) == one_row().replace(b"\xfe\0\0\x02\0", b"\xfe\0\0\x03\0")
