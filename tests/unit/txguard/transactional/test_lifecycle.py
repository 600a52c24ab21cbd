"""The steps of a transaction, as the server sees them: what is repeated, what is not, and on which
connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from txguard.transactional import (
    Isolation,
    OutcomeUndetermined,
    RetriesExhausted,
    TransactionEnded,
    transactional,
)

Work = Callable[[Any], Any]


def failing(*errors: BaseException | None) -> Work:
    """A function that runs WORK, then raises the next of `errors`; None: returns how often it has run."""
    runs: list[int] = []

    def work(connection: Any) -> int:
        connection.run("WORK")
        runs.append(1)
        error = errors[len(runs) - 1] if len(runs) <= len(errors) else None
        if error is not None:
            raise error
        return len(runs)

    return work


ONE_RUN = ["1:START TRANSACTION", "1:WORK", "1:COMMIT", "1:returned"]


def test_begin_call_commit(server: Any, clock: Any) -> None:
    assert transactional(server, clock=clock)(failing())() == 1
    assert server.log == ONE_RUN


def test_isolation_and_read_only_are_set_for_this_transaction_alone(server: Any, clock: Any) -> None:
    decorate = transactional(server, isolation=Isolation.SERIALIZABLE, read_only=True, clock=clock)
    decorate(failing())()
    assert server.log[:2] == [
        "1:SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "1:START TRANSACTION READ ONLY",
    ]


def test_an_error_of_the_function_rolls_back_and_comes_through(server: Any, clock: Any) -> None:
    with pytest.raises(KeyError, match="mine"):
        transactional(server, clock=clock)(failing(KeyError("mine")))()
    assert server.log == ["1:START TRANSACTION", "1:WORK", "1:ROLLBACK", "1:returned"]
    assert clock.slept == []


@pytest.mark.parametrize("errno", [1213, 1205])
def test_a_conflict_is_rolled_back_and_the_whole_function_run_again(
    server: Any, clock: Any, mysql_error: Any, errno: int
) -> None:
    assert transactional(server, clock=clock)(failing(mysql_error(errno)))() == 2
    assert server.log == [
        *("1:START TRANSACTION", "1:WORK", "1:ROLLBACK", "1:returned"),
        *("2:START TRANSACTION", "2:WORK", "2:COMMIT", "2:returned"),
    ]
    assert clock.slept == [0.005]


@pytest.mark.parametrize("errno", [2013, 2006, 9102, 9103, 0])
def test_a_lost_connection_is_thrown_away(server: Any, clock: Any, mysql_error: Any, errno: int) -> None:
    assert transactional(server, clock=clock)(failing(mysql_error(errno)))() == 2
    assert server.log[:4] == ["1:START TRANSACTION", "1:WORK", "1:closed", "1:discarded"]
    assert server.log[4:] == [line.replace("1:", "2:") for line in ONE_RUN]


def test_a_connection_lost_while_beginning_is_replaced(server: Any, clock: Any, mysql_error: Any) -> None:
    server.failures["START TRANSACTION"] = [mysql_error(2006)]
    assert transactional(server, clock=clock)(failing())() == 1
    assert server.opened == 2


def test_a_server_that_is_away_is_tried_again(server: Any, clock: Any, mysql_error: Any) -> None:
    server.failures["OPEN"] = [mysql_error(2003), ConnectionRefusedError(), mysql_error(1040)]
    assert transactional(server, clock=clock)(failing())() == 1
    assert server.log == ONE_RUN
    assert len(clock.slept) == 3


def test_a_refused_login_is_not_tried_again(server: Any, clock: Any, mysql_error: Any) -> None:
    server.failures["OPEN"] = [mysql_error(1045)]
    with pytest.raises(type(mysql_error(1045)), match="1045"):
        transactional(server, clock=clock)(failing())()
    assert clock.slept == []


@pytest.mark.parametrize("errno", [2013, 2006, 9101, 9102, 1180])
def test_a_commit_without_a_clear_answer_is_never_repeated(
    server: Any, clock: Any, mysql_error: Any, errno: int
) -> None:
    server.failures["COMMIT"] = [mysql_error(errno, "start_ts 460123456789012345")]
    with pytest.raises(OutcomeUndetermined) as caught:
        transactional(server, clock=clock)(failing())()
    assert caught.value.start_ts == 460123456789012345
    assert not caught.value.retry_safe
    assert server.log == ["1:START TRANSACTION", "1:WORK", "1:COMMIT", "1:closed", "1:discarded"]


def test_who_only_read_may_read_again_after_a_lost_commit(server: Any, clock: Any, mysql_error: Any) -> None:
    server.failures["COMMIT"] = [mysql_error(2013)]
    assert transactional(server, read_only=True, clock=clock)(failing())() == 2


def test_a_conflict_at_commit_is_a_conflict(server: Any, clock: Any, mysql_error: Any) -> None:
    server.failures["COMMIT"] = [mysql_error(1213)]
    assert transactional(server, clock=clock)(failing())() == 2


def test_9101_inside_the_function_is_not_retried(server: Any, clock: Any, mysql_error: Any) -> None:
    with pytest.raises(OutcomeUndetermined):
        transactional(server, clock=clock)(failing(mysql_error(9101)))()
    assert server.log == ["1:START TRANSACTION", "1:WORK", "1:ROLLBACK", "1:returned"]


def test_retries_end_with_the_last_error_as_cause(server: Any, clock: Any, mysql_error: Any) -> None:
    errors = [mysql_error(1213, f"number {n}") for n in range(3)]
    with pytest.raises(RetriesExhausted, match="3 attempts") as caught:
        transactional(server, retries=2, clock=clock)(failing(*errors))()
    assert caught.value.attempts == 3
    assert caught.value.__cause__ is errors[2]
    assert caught.value.elapsed_s == pytest.approx(sum(clock.slept))


def test_retries_end_at_the_deadline(server: Any, clock: Any, mysql_error: Any) -> None:
    errors = [mysql_error(1213)] * 100
    with pytest.raises(RetriesExhausted) as caught:
        transactional(server, retries=99, deadline_s=2.0, clock=clock)(failing(*errors))()
    assert caught.value.elapsed_s < 2.0
    assert 5 < caught.value.attempts < 99


def test_a_failed_rollback_costs_the_connection_not_the_error(
    server: Any, clock: Any, mysql_error: Any
) -> None:
    server.failures["ROLLBACK"] = [mysql_error(2013)]
    with pytest.raises(KeyError):
        transactional(server, clock=clock)(failing(KeyError()))()
    assert server.log[-2:] == ["1:closed", "1:discarded"]


def test_an_interrupt_throws_the_connection_away(server: Any, clock: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        transactional(server, clock=clock)(failing(KeyboardInterrupt()))()
    assert server.log == ["1:START TRANSACTION", "1:WORK", "1:closed", "1:discarded"]


def test_an_interrupt_during_commit_says_so(server: Any, clock: Any) -> None:
    server.failures["COMMIT"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt) as caught:
        transactional(server, clock=clock)(failing())()
    assert "may have committed" in caught.value.__notes__[0]


def test_a_transaction_that_ended_inside_the_function_is_not_taken_for_committed(
    server: Any, clock: Any
) -> None:
    @transactional(server, clock=clock)
    def alter(connection: Any) -> None:
        connection.run("DDL")

    with pytest.raises(TransactionEnded, match="alter"):
        alter()
    assert "1:COMMIT" not in server.log


def test_nothing_of_an_earlier_attempt_is_returned(server: Any, clock: Any, mysql_error: Any) -> None:
    """Jepsen's lesson: the result is that of the attempt that committed."""
    seen: list[int] = []

    @transactional(server, clock=clock)
    def read(connection: Any) -> list[int]:
        rows = [connection.number]
        seen.append(connection.number)
        if len(seen) < 3:
            raise mysql_error(1213)
        return rows

    assert read() == [3]
    assert seen == [1, 2, 3]
