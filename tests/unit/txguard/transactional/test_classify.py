"""No error that leaves the outcome open may ever look retryable."""

from __future__ import annotations

import pymysql.err
import pytest
import sqlalchemy.exc

from txguard.errors import Conflict, OutcomeUndetermined
from txguard.transactional.classify import (
    Failure,
    classify,
    classify_commit,
    classify_connect,
    errno_of,
    start_ts_of,
)


def error(errno: int) -> Exception:
    return pymysql.err.OperationalError(errno, "text")


@pytest.mark.parametrize(
    ("errno", "before_commit", "at_commit"),
    [
        (1213, Failure.CONFLICT, Failure.CONFLICT),
        (1205, Failure.CONFLICT, Failure.CONFLICT),
        (9104, Failure.CONFLICT, Failure.CONFLICT),
        (9103, Failure.LOST, Failure.LOST),
        (9105, Failure.LOST, Failure.LOST),
        (9102, Failure.LOST, Failure.UNDETERMINED),
        (2006, Failure.LOST, Failure.UNDETERMINED),
        (2013, Failure.LOST, Failure.UNDETERMINED),
        (1927, Failure.LOST, Failure.UNDETERMINED),
        (1053, Failure.LOST, Failure.UNDETERMINED),
        (9101, Failure.UNDETERMINED, Failure.UNDETERMINED),
        (1180, Failure.FATAL, Failure.UNDETERMINED),
        (1062, Failure.FATAL, Failure.UNDETERMINED),
        (1064, Failure.FATAL, Failure.UNDETERMINED),
    ],
)
def test_each_errno_before_and_at_commit(errno: int, before_commit: Failure, at_commit: Failure) -> None:
    assert classify(error(errno)) is before_commit
    assert classify_commit(error(errno)) is at_commit


def test_a_connection_closed_before_commit_was_sent_is_lost() -> None:
    closed = pymysql.err.InterfaceError(0, "")
    assert classify(closed) is Failure.LOST
    assert classify_commit(closed) is Failure.LOST


@pytest.mark.parametrize("program_error", [KeyError(1213), ValueError(2013), ConnectionResetError(104, "x")])
def test_numbers_in_errors_of_the_program_mean_nothing(program_error: Exception) -> None:
    assert errno_of(program_error) is None
    assert classify(program_error) is Failure.FATAL
    assert classify_commit(program_error) is Failure.UNDETERMINED


def test_what_is_not_an_exception_is_never_retried() -> None:
    assert classify(KeyboardInterrupt()) is Failure.FATAL


def test_sqlalchemy_wraps_the_drivers_error() -> None:
    wrapped = sqlalchemy.exc.OperationalError("UPDATE t", {}, error(1213))
    assert errno_of(wrapped) == 1213
    assert classify(wrapped) is Failure.CONFLICT
    pending = sqlalchemy.exc.PendingRollbackError("Can't reconnect until invalid transaction is rolled back")
    assert classify_commit(pending) is Failure.LOST


def test_txguards_own_errors_count_as_database_errors() -> None:
    assert classify(Conflict("lost")) is Failure.CONFLICT
    assert classify(OutcomeUndetermined("unknown")) is Failure.UNDETERMINED


@pytest.mark.parametrize("errno", [2003, 2013, 1040, 9102])
def test_no_connection_yet_is_lost(errno: int) -> None:
    assert classify_connect(error(errno)) is Failure.LOST
    assert classify_connect(ConnectionRefusedError()) is Failure.LOST


@pytest.mark.parametrize("errno", [1045, 1049])
def test_a_refused_login_would_be_refused_again(errno: int) -> None:
    assert classify_connect(error(errno)) is Failure.FATAL


@pytest.mark.parametrize(
    ("text", "start_ts"),
    [
        ("the outcome of start_ts 460123456789012345 is not known", 460123456789012345),
        ("outcome undetermined (start_ts=460123456789012345)", 460123456789012345),
        ("transaction 460123456789012345 was not settled within 2000 ms", 460123456789012345),
        ("Lost connection after 2000 ms", None),
    ],
)
def test_start_ts_is_read_from_the_proxys_text(text: str, start_ts: int | None) -> None:
    assert start_ts_of(pymysql.err.OperationalError(9101, text)) == start_ts
