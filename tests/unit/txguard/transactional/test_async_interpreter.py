"""Cancellation at every point, and tasks that share a transaction, on scripted asyncio connections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from txguard.transactional import OutcomeUndetermined, Propagation, TransactionMisused, transactional


class AsyncScripted:
    """A scripted connection whose statements take a turn of the loop; `gates` hold one back until it is set."""

    def __init__(self, source: AsyncSource) -> None:
        self._source = source
        self.server_status = 0

    async def run(self, statement: str) -> None:
        log, gate = self._source.log, self._source.gates.get(statement)
        log.append(statement)
        if gate is not None:
            await gate.wait()
        await asyncio.sleep(0)
        error = self._source.failures.pop(statement, None)
        if error is not None:
            raise error
        self.server_status = 0 if statement in ("COMMIT", "ROLLBACK") else 1
        log.append(f"{statement} done")

    def cursor(self) -> AsyncScriptedCursor:
        return AsyncScriptedCursor(self)

    async def commit(self) -> None:
        await self.run("COMMIT")

    async def rollback(self) -> None:
        await self.run("ROLLBACK")

    def close(self) -> None:
        self._source.log.append("closed")

    async def __aenter__(self) -> AsyncScripted:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._source.log.append("returned")


class AsyncScriptedCursor:
    def __init__(self, connection: AsyncScripted) -> None:
        self._connection = connection

    async def __aenter__(self) -> AsyncScriptedCursor:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def execute(self, statement: str) -> None:
        await self._connection.run(statement)


class AsyncSource:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.failures: dict[str, BaseException] = {}

    def __call__(self) -> AsyncScripted:
        return AsyncScripted(self)

    async def until(self, line: str) -> None:
        async with asyncio.timeout(5):
            while line not in self.log:
                await asyncio.sleep(0)


@pytest.fixture
def source() -> AsyncSource:
    return AsyncSource()


@pytest.fixture
def transfer(source: AsyncSource, clock: Any) -> Any:
    @transactional(source, clock=clock)
    async def work(connection: Any) -> str:
        await connection.run("WORK")
        return "value"

    return work


async def cancelled_at(source: AsyncSource, statement: str, work: Any) -> asyncio.CancelledError:
    """Cancel `work` while `statement` waits; then let the statement go on."""
    gate = source.gates[statement] = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work())
        await source.until(statement)
        task.cancel()
        await asyncio.sleep(0.01)
        gate.set()
    with pytest.raises(asyncio.CancelledError) as caught:
        task.result()
    return caught.value


async def test_begin_call_commit(source: AsyncSource, transfer: Any) -> None:
    assert await transfer() == "value"
    assert [line for line in source.log if not line.endswith("done")] == [
        *("START TRANSACTION", "WORK", "COMMIT", "returned")
    ]


@pytest.mark.parametrize("statement", ["START TRANSACTION", "WORK"])
async def test_cancelled_before_commit_the_connection_is_thrown_away(
    source: AsyncSource, transfer: Any, statement: str
) -> None:
    await cancelled_at(source, statement, transfer)
    assert f"{statement} done" not in source.log
    assert source.log[-2:] == ["closed", "returned"]


async def test_cancelled_during_commit_the_commit_ends_and_the_error_tells(
    source: AsyncSource, transfer: Any
) -> None:
    error = await cancelled_at(source, "COMMIT", transfer)
    assert error.__notes__ == ["txguard: the transaction had been committed"]
    assert source.log[-2:] == ["COMMIT done", "returned"]


async def test_cancelled_during_a_commit_that_fails(
    source: AsyncSource, transfer: Any, mysql_error: Any
) -> None:
    source.failures["COMMIT"] = mysql_error(2013)
    error = await cancelled_at(source, "COMMIT", transfer)
    assert isinstance(error.__cause__, OutcomeUndetermined)
    assert "may have committed" in error.__notes__[0]


async def test_cancelled_during_a_commit_that_meets_a_conflict_is_not_retried(
    source: AsyncSource, transfer: Any, mysql_error: Any
) -> None:
    source.failures["COMMIT"] = mysql_error(1213)
    await cancelled_at(source, "COMMIT", transfer)
    assert source.log.count("WORK") == 1
    assert "ROLLBACK done" in source.log


async def test_a_timeout_around_it_works(source: AsyncSource, transfer: Any) -> None:
    source.gates["WORK"] = asyncio.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await transfer()


async def test_conflicts_are_retried(source: AsyncSource, transfer: Any, mysql_error: Any) -> None:
    source.failures["WORK"] = mysql_error(1213)
    assert await transfer() == "value"
    assert source.log.count("WORK") == 2


async def test_two_tasks_must_not_work_in_one_transaction(
    source: AsyncSource, transfer: Any, clock: Any
) -> None:
    source.gates["WORK"] = asyncio.Event()
    refused: list[BaseException] = []

    @transactional(source, clock=clock)
    async def outer(connection: Any) -> None:
        async def second() -> None:
            await source.until("WORK")
            try:
                await transfer()
            except TransactionMisused as error:
                refused.append(error)
            source.gates["WORK"].set()

        async with asyncio.TaskGroup() as group:
            group.create_task(transfer())
            group.create_task(second())

    await outer()
    assert len(refused) == 1
    assert source.log.count("WORK") == 1


async def test_one_task_at_a_time_may(source: AsyncSource, transfer: Any, clock: Any) -> None:
    """asyncio.wait_for runs what it waits for in a task of its own on Python 3.11."""

    @transactional(source, clock=clock)
    async def outer(connection: Any) -> str:
        await asyncio.wait_for(transfer(), 5)
        return str(await asyncio.wait_for(transfer(), 5))

    assert await outer() == "value"
    assert source.log.count("START TRANSACTION") == 1


async def test_a_task_that_outlives_the_transaction_does_not_join_its_corpse(
    source: AsyncSource, transfer: Any, clock: Any
) -> None:
    go = asyncio.Event()

    async with asyncio.TaskGroup() as group:

        @transactional(source, clock=clock)
        async def outer(connection: Any) -> asyncio.Task[str]:
            async def later() -> str:
                await go.wait()
                return str(await transfer())

            return group.create_task(later())

        task = await outer()
        go.set()
    assert task.result() == "value"
    assert source.log.count("START TRANSACTION") == 2


async def test_a_task_still_in_the_transaction_at_its_end_prevents_the_commit(
    source: AsyncSource, transfer: Any, clock: Any
) -> None:
    gate = source.gates["WORK"] = asyncio.Event()
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:

            @transactional(source, clock=clock)
            async def outer(connection: Any) -> None:
                group.create_task(transfer())
                await source.until("WORK")

            try:
                await outer()
            finally:
                gate.set()
    assert caught.group_contains(TransactionMisused)
    assert "COMMIT" not in source.log


async def test_requires_new_in_parallel_is_fine(source: AsyncSource, clock: Any) -> None:
    @transactional(source, propagation=Propagation.REQUIRES_NEW, clock=clock)
    async def separate(connection: Any) -> None:
        await connection.run("WORK")

    @transactional(source, clock=clock)
    async def outer(connection: Any) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(separate())
            group.create_task(separate())

    await outer()
    assert source.log.count("COMMIT done") == 3
