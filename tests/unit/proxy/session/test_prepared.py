"""Prepared statements of a session, as scripts of what a client sends."""

from __future__ import annotations

import pytest

from proxy.errors import PacketTooLarge
from proxy.session import prepared as module
from proxy.session.errors import TooManyStatements, UnknownStatement, WrongParameters
from proxy.session.prepared import PreparedStatements
from proxy.wire.statements import make_execute


def test_an_execute_finds_its_statement_and_values() -> None:
    statements = PreparedStatements(1024)
    entry = statements.add(b"SELECT ?, ?", 2)
    _, bound = statements.bind(make_execute(entry.statement_id, [5, b"x"]))
    assert bound.sql == b"SELECT ?, ?"
    assert bound.request.values == (5, b"x")


def test_types_are_remembered_between_executes() -> None:
    statements = PreparedStatements(1024)
    entry = statements.add(b"SELECT ?", 1)
    statements.bind(make_execute(entry.statement_id, [5]))
    _, bound = statements.bind(make_execute(entry.statement_id, [7], bind=False))
    assert bound.request.values == (7,)


def test_a_first_execute_without_types_is_refused() -> None:
    statements = PreparedStatements(1024)
    entry = statements.add(b"SELECT ?", 1)
    with pytest.raises(WrongParameters):
        statements.bind(make_execute(entry.statement_id, [7], bind=False))


def test_unknown_and_closed_statements_are_1243() -> None:
    statements = PreparedStatements(1024)
    entry = statements.add(b"SELECT 1", 0)
    statements.close(entry.statement_id)
    statements.close(entry.statement_id)
    with pytest.raises(UnknownStatement, match=r"\(1\) given to mysqld_stmt_execute") as caught:
        statements.bind(make_execute(entry.statement_id, []))
    assert caught.value.errno == 1243


def test_a_cursor_is_not_asked_of_the_shard() -> None:
    statements = PreparedStatements(1024)
    entry = statements.add(b"SELECT ?", 1)
    _, bound = statements.bind(make_execute(entry.statement_id, [5], cursor_flags=1))
    assert bound.payload == make_execute(entry.statement_id, [5])


def test_long_data_is_collected_and_used_up_by_one_execute() -> None:
    statements = PreparedStatements(1024)
    entry = statements.add(b"SELECT ?", 1)
    statements.add_long_data(entry.statement_id, 0, b"ab")
    statements.add_long_data(entry.statement_id, 0, b"cd")
    statements.add_long_data(entry.statement_id, 9, b"no such parameter")
    payload = make_execute(entry.statement_id, [None])
    assert statements.bind(payload)[1].long_data == ((0, b"abcd"),)
    assert statements.bind(payload)[1].long_data == ()


def test_reset_forgets_long_data() -> None:
    statements = PreparedStatements(1024)
    entry = statements.add(b"SELECT ?", 1)
    statements.add_long_data(entry.statement_id, 0, b"ab")
    statements.reset(entry.statement_id)
    assert statements.bind(make_execute(entry.statement_id, [None]))[1].request.values == (None,)


def test_long_data_is_bounded_over_all_statements() -> None:
    statements = PreparedStatements(100)
    entry, other = statements.add(b"SELECT ?", 1), statements.add(b"SELECT ?, ?", 2)
    statements.add_long_data(entry.statement_id, 0, b"x" * 60)
    statements.add_long_data(other.statement_id, 1, b"x" * 60)
    assert other.long_data == {}
    with pytest.raises(PacketTooLarge):
        statements.bind(make_execute(other.statement_id, [None, None]))
    assert statements.bind(make_execute(entry.statement_id, [None]))[1].request.values == (b"x" * 60,)
    statements.add_long_data(other.statement_id, 1, b"x" * 60)
    assert statements.bind(make_execute(other.statement_id, [None, None]))[1].request.values == (
        None,
        b"x" * 60,
    )


def test_the_texts_of_a_session_s_statements_are_bounded() -> None:
    statements = PreparedStatements(100)
    entry = statements.add(b"x" * 60, 0)
    with pytest.raises(TooManyStatements):
        statements.add(b"x" * 60, 0)
    statements.close(entry.statement_id)
    statements.add(b"x" * 60, 0)
    statements.clear()
    statements.add(b"x" * 60, 0)


def test_a_session_may_hold_so_many_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STATEMENTS", 2)
    statements = PreparedStatements(1024)
    statements.add(b"SELECT 1", 0)
    statements.add(b"SELECT 1", 0)
    with pytest.raises(TooManyStatements):
        statements.add(b"SELECT 1", 0)
