"""What a write only looked at may be undecided, too: its WHERE, a unique key, a duplicate, a row that is not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.fakes.ledger import Ledger
from tests.isolation.scenes import commit_that_will_be_rolled_back, set_balance, stored_balance
from tso.errors import TsoUnavailable
from tso.types import ShardName, Timestamp
from txguard.engine import failpoints, read_committed
from txguard.engine.branch import Branch, Isolation
from txguard.engine.conflicts import ConflictCheck
from txguard.engine.managed import manage, unmanage
from txguard.engine.transaction import Transaction
from txguard.errors import Conflict, TransactionLost, TxGuardError

S0, S1 = ShardName("s0"), ShardName("s1")
ISOLATIONS = pytest.mark.parametrize("isolation", list(Isolation))


def account_check(ledger: Ledger) -> list[ConflictCheck]:
    return [ConflictCheck(ledger.schema, "account", None)]


@ISOLATIONS
async def test_a_condition_on_an_undecided_row(ledger: Ledger, isolation: Isolation) -> None:
    """Account 0 shows 93, which never will have been: a rise for all who have 100 must not leave it out."""
    statement = (
        f"UPDATE {ledger.schema}.account SET balance = balance + 1000 WHERE id IN (0, 3) AND balance = 100"
    )
    async with commit_that_will_be_rolled_back(ledger):
        txn = ledger.begin(isolation)
        with suppress(TxGuardError):
            await txn.write([S0], lambda _: statement, checks=account_check(ledger))
            await txn.commit()
        await txn.rollback()
    rich = [await stored_balance(ledger, account) for account in (0, 3)]
    assert rich in ([100, 100], [1100, 1100])


@ISOLATIONS
async def test_a_write_that_finds_nothing_has_read(ledger: Ledger, isolation: Isolation) -> None:
    """A withdrawal of 95 from an account that always had 100 must not hear that there is too little."""
    statement = f"UPDATE {ledger.schema}.account SET balance = balance - 95 WHERE id = 0 AND balance >= 95"
    async with commit_that_will_be_rolled_back(ledger):
        txn = ledger.begin(isolation)
        try:
            [reply] = await txn.write(
                [S0], lambda _: statement, checks=account_check(ledger), expected_rows=1
            )
            await txn.commit()
        except Conflict:
            await txn.rollback()
        else:
            assert reply.affected_rows == 1


async def test_a_duplicate_of_an_undecided_row(ledger: Ledger) -> None:
    other = ledger.begin()
    await ledger.enter(other, 1, 0, 5)
    await ledger.enter(other, 1, 1, 5)
    other.branches[S1].connection.abort()
    failpoints.enable("prewrite_before_send", "sleep:0.4@2*1")
    async with asyncio.TaskGroup() as group:

        async def commit() -> None:
            with pytest.raises(TxGuardError):
                await other.commit()

        group.create_task(commit())
        while not (await ledger.entries()).get(1):
            await asyncio.sleep(0.005)
        txn = ledger.begin()
        try:
            await ledger.enter(txn, 1, 0, 6)  # Raises 1062 if it meets a row that never was.
            await txn.commit()
        except Conflict:
            pass
        finally:
            await txn.rollback()


@asynccontextmanager
async def codes(ledger: Ledger) -> AsyncIterator[str]:
    """A table with a unique key beside its primary key, on s0: (0, 1), (3, 2)."""
    table = f"{ledger.schema}.code"
    async with ledger.shards[S0].connection() as connection:
        await unmanage(connection, ledger.schema, "code")
        await connection.run(
            [
                f"DROP TABLE IF EXISTS {table}",
                f"CREATE TABLE {table} (id INT PRIMARY KEY, code INT NOT NULL UNIQUE)",
                f"INSERT INTO {table} VALUES (0, 1), (3, 2)",
            ],
            10,
        )
        await manage(connection, ledger.schema, "code")
    yield table


async def test_a_unique_key_that_an_undecided_update_freed(ledger: Ledger) -> None:
    async with codes(ledger) as table:
        other = ledger.begin()
        await ledger.write(other, S0, f"UPDATE {table} SET code = 9 WHERE id = 0")
        await ledger.add(other, 1, 7)
        other.branches[S1].connection.abort()
        failpoints.enable("prewrite_before_send", "sleep:0.4@2*1")

        async def commit() -> None:
            with pytest.raises(TxGuardError):
                await other.commit()

        async with asyncio.TaskGroup() as group:
            group.create_task(commit())
            await asyncio.sleep(0.2)
            txn = ledger.begin()
            await txn.write(
                [S0],
                lambda _: f"UPDATE {table} SET code = 1 WHERE id = 3",
                checks=[ConflictCheck(ledger.schema, "code", "id = 3")],
                expected_rows=1,
            )
            with pytest.raises(Conflict):
                await txn.commit()
            await txn.rollback()
        assert await ledger.locks_left(3) == 0


async def test_too_many_dependencies_to_list_are_all(ledger: Ledger) -> None:
    async with commit_that_will_be_rolled_back(ledger):
        txn = ledger.begin()
        await ledger.add(txn, 3, 1)
        await txn.branches[S0].connection.run(["SET @txg_deps = '*'"], 5)
        with pytest.raises(TxGuardError) as caught:
            await txn.commit()
        assert caught.value.retry_safe
        await txn.rollback()
    assert await stored_balance(ledger, 3) == 100


async def test_read_committed_over_shards_shows_nothing_that_was_undone_since(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The roll-back is through before the statement's views are compared."""
    wait_barrier, anything_newer = ledger.tso.wait_barrier, read_committed._anything_newer
    scene = commit_that_will_be_rolled_back(ledger)
    steps = iter(["barrier", "compare"])

    async def barrier(shards: list[ShardName], read_ts: Timestamp, timeout_s: float) -> None:
        await wait_barrier(shards, read_ts, timeout_s)
        if next(steps, "") == "barrier":
            await scene.__aenter__()

    async def compare(txn: Transaction, branches: list[Branch], read_ts: Timestamp) -> bool:
        if next(steps, "") == "compare":
            await scene.__aexit__(None, None, None)
        return await anything_newer(txn, branches, read_ts)

    monkeypatch.setattr(ledger.tso, "wait_barrier", barrier)
    monkeypatch.setattr(read_committed, "_anything_newer", compare)
    txn = ledger.begin(Isolation.READ_COMMITTED)
    assert sum((await ledger.balances(txn, [S0, S1])).values()) == 800
    await txn.rollback()


async def test_read_committed_over_shards_under_constant_commits(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is always something newer: a snapshot of the statement's own serves it."""
    anything_newer = read_committed._anything_newer

    async def compare(txn: Transaction, branches: list[Branch], read_ts: Timestamp) -> bool:
        await set_balance(ledger, 3, await stored_balance(ledger, 3) + 1)
        return await anything_newer(txn, branches, read_ts)

    monkeypatch.setattr(read_committed, "_anything_newer", compare)
    txn = ledger.begin(Isolation.READ_COMMITTED)
    assert sum((await ledger.balances(txn, [S0, S1])).values()) == 803
    await txn.commit()


async def test_a_check_that_cannot_be_made_costs_the_transaction(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write is in: "it did nothing, try again" would have it done twice."""
    txn = ledger.begin()
    assert (await ledger.balances(txn, [S0]))[0] == 100

    def unreachable(*_: object, **__: object) -> None:
        raise TsoUnavailable("anything that goes wrong")

    monkeypatch.setattr("txguard.engine.writing._check_conflicts", unreachable)
    statement = f"UPDATE {ledger.schema}.account SET balance = balance - 10 WHERE id = 0"
    with pytest.raises(TransactionLost):
        await txn.write([S0], lambda _: statement, checks=account_check(ledger))
    with pytest.raises(TransactionLost):
        await txn.commit()
    await txn.rollback()
    assert await stored_balance(ledger, 0) == 100
