"""Transactions inside transactions: joined, nested, separate, required and forbidden."""

from __future__ import annotations

from typing import Any

import pytest

from txguard.transactional import (
    Isolation,
    Propagation,
    TransactionForbidden,
    TransactionMisused,
    TransactionRequired,
    UnexpectedRollback,
    current_connection,
    transactional,
)


class Bank:
    """Functions of each propagation over one scripted server; `inner_error` is what the inner ones raise."""

    def __init__(self, server: Any, clock: Any) -> None:
        self.inner_error: BaseException | None = None
        self.outer_runs = 0

        def inner(connection: Any) -> int:
            connection.run("INNER")
            if self.inner_error is not None:
                raise self.inner_error
            return int(connection.number)

        def decorated(propagation: Propagation, **options: Any) -> Any:
            return transactional(server, propagation=propagation, clock=clock, **options)(inner)

        self.inner = {propagation: decorated(propagation) for propagation in Propagation}
        self.inner_serializable = decorated(Propagation.REQUIRED, isolation=Isolation.SERIALIZABLE)

        @transactional(server, clock=clock)
        def outer(connection: Any, propagation: Propagation) -> Any:
            self.outer_runs += 1
            value = self.inner[propagation]()
            connection.run("AFTER")
            return value

        @transactional(server, clock=clock)
        def swallowing(connection: Any, propagation: Propagation) -> str:
            self.outer_runs += 1
            try:
                self.inner[propagation]()
            except Exception:
                if self.outer_runs == 1:
                    connection.run("AFTER")
                self.inner_error = None
            return "done"

        self.outer, self.swallowing = outer, swallowing


@pytest.fixture
def bank(server: Any, clock: Any) -> Bank:
    return Bank(server, clock)


@pytest.mark.parametrize("propagation", [Propagation.REQUIRED, Propagation.MANDATORY])
def test_joining_uses_the_same_transaction(server: Any, bank: Bank, propagation: Propagation) -> None:
    assert bank.outer(propagation) == 1
    assert server.log == ["1:START TRANSACTION", "1:INNER", "1:AFTER", "1:COMMIT", "1:returned"]


def test_requires_new_has_a_connection_of_its_own(server: Any, bank: Bank) -> None:
    assert bank.outer(Propagation.REQUIRES_NEW) == 2
    assert server.log == [
        "1:START TRANSACTION",
        *("2:START TRANSACTION", "2:INNER", "2:COMMIT", "2:returned"),
        *("1:AFTER", "1:COMMIT", "1:returned"),
    ]


def test_requires_new_retries_by_itself(server: Any, bank: Bank, mysql_error: Any) -> None:
    server.failures["INNER"] = [mysql_error(1213)]
    assert bank.outer(Propagation.REQUIRES_NEW) == 3
    assert bank.outer_runs == 1


def test_nested_is_a_savepoint(server: Any, bank: Bank) -> None:
    assert bank.outer(Propagation.NESTED) == 1
    assert server.log[1:5] == ["1:SAVEPOINT txg_1", "1:INNER", "1:RELEASE SAVEPOINT txg_1", "1:AFTER"]


def test_outside_nested_and_required_begin_a_transaction(server: Any, bank: Bank) -> None:
    for propagation in (Propagation.NESTED, Propagation.REQUIRED, Propagation.REQUIRES_NEW):
        bank.inner[propagation]()
    assert [line for line in server.log if "START" in line] == [f"{n}:START TRANSACTION" for n in (1, 2, 3)]


def test_mandatory_and_never(server: Any, bank: Bank) -> None:
    with pytest.raises(TransactionRequired, match="inner"):
        bank.inner[Propagation.MANDATORY]()
    assert server.log == []
    with pytest.raises(TransactionForbidden, match="inner"):
        bank.outer(Propagation.NEVER)
    assert "1:INNER" not in server.log


def test_never_runs_in_autocommit_and_restores_it(server: Any, bank: Bank) -> None:
    assert bank.inner[Propagation.NEVER]() == 1
    assert server.log == ["1:SET autocommit = 1", "1:INNER", "1:SET autocommit = 0", "1:returned"]


def test_a_conflict_in_a_joined_function_repeats_the_outermost(
    server: Any, bank: Bank, mysql_error: Any
) -> None:
    server.failures["INNER"] = [mysql_error(1213)]
    assert bank.outer(Propagation.REQUIRED) == 2
    assert bank.outer_runs == 2


def test_a_swallowed_failure_of_a_joined_function_is_not_committed(server: Any, bank: Bank) -> None:
    bank.inner_error = KeyError("lost")
    with pytest.raises(UnexpectedRollback) as caught:
        bank.swallowing(Propagation.REQUIRED)
    assert isinstance(caught.value.__cause__, KeyError)
    assert server.log[-3:] == ["1:AFTER", "1:ROLLBACK", "1:returned"]


def test_a_swallowed_conflict_is_retried_and_what_came_after_it_is_rolled_back(
    server: Any, bank: Bank, mysql_error: Any
) -> None:
    """The server ended the transaction at the conflict: AFTER must not run in autocommit."""
    bank.inner_error = mysql_error(1213)
    assert bank.swallowing(Propagation.REQUIRED) == "done"
    assert server.log[:7] == [
        *("1:START TRANSACTION", "1:INNER"),
        *("1:ROLLBACK", "1:START TRANSACTION", "1:AFTER", "1:ROLLBACK", "1:returned"),
    ]
    assert server.log[7:] == ["2:START TRANSACTION", "2:INNER", "2:COMMIT", "2:returned"]


def test_a_swallowed_failure_of_a_nested_function_undoes_only_that(server: Any, bank: Bank) -> None:
    bank.inner_error = KeyError("lost")
    assert bank.swallowing(Propagation.NESTED) == "done"
    assert server.log[1:] == [
        *("1:SAVEPOINT txg_1", "1:INNER", "1:ROLLBACK TO SAVEPOINT txg_1"),
        *("1:AFTER", "1:COMMIT", "1:returned"),
    ]


def test_a_swallowed_conflict_of_a_nested_function_ended_the_whole_transaction(
    server: Any, bank: Bank, mysql_error: Any
) -> None:
    bank.inner_error = mysql_error(1213)
    server.failures["ROLLBACK TO SAVEPOINT txg_1"] = [mysql_error(1305)]
    assert bank.swallowing(Propagation.NESTED) == "done"
    assert bank.outer_runs == 2
    assert "1:COMMIT" not in server.log
    assert server.log[-2:] == ["2:COMMIT", "2:returned"]


def test_a_join_that_fails_inside_nested_dooms_only_the_savepoint(server: Any, clock: Any) -> None:
    @transactional(server, clock=clock)
    def third(connection: Any) -> None:
        raise KeyError

    @transactional(server, propagation=Propagation.NESTED, clock=clock)
    def second(connection: Any) -> None:
        with pytest.raises(KeyError):
            third()

    @transactional(server, clock=clock)
    def first(connection: Any) -> str:
        with pytest.raises(UnexpectedRollback):
            second()
        return "kept"

    assert first() == "kept"
    assert server.log[-3:] == ["1:ROLLBACK TO SAVEPOINT txg_1", "1:COMMIT", "1:returned"]


def test_a_stated_isolation_must_be_the_transactions(server: Any, bank: Bank, clock: Any) -> None:
    @transactional(server, clock=clock)
    def plain(connection: Any) -> None:
        bank.inner_serializable()

    @transactional(server, isolation=Isolation.SERIALIZABLE, clock=clock)
    def serializable(connection: Any) -> None:
        bank.inner_serializable()

    with pytest.raises(TransactionMisused, match="SERIALIZABLE"):
        plain()
    serializable()


def test_another_source_is_another_transaction(server: Any, clock: Any) -> None:
    other = type(server)()

    @transactional(other, clock=clock)
    def inner(connection: Any) -> None:
        assert current_connection().server is other
        assert current_connection(server).server is server

    @transactional(server, clock=clock)
    def outer(connection: Any) -> None:
        inner()

    outer()
    assert other.log == ["1:START TRANSACTION", "1:COMMIT", "1:returned"]


def test_current_connection_ends_with_the_transaction(server: Any, clock: Any) -> None:
    @transactional(server, clock=clock)
    def function() -> Any:
        return current_connection()

    assert function().number == 1
    with pytest.raises(LookupError):
        current_connection()
