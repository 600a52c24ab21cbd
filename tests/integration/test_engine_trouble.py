"""The engine when things go wrong around it: interruptions, lost transactions, poisoned locks, dropped tables.

What is looked for is what a client never sees at once: a connection that does not come back, a lock that stays, a
worker that died, a client that was told "nothing happened" when something had.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress

import pytest

from proxy.playground.servers import Server
from tests.fakes.ledger import (
    ACCOUNTS,
    OPENING_BALANCE,
    Address,
    Ledger,
    addresses_of,
    open_ledger,
    pick_transfer,
)
from tests.isolation.scenes import commit_that_will_be_rolled_back, stored_balance
from tso.errors import OutcomeContradiction, TsoUnavailable
from tso.types import Outcome, ShardName, Timestamp
from txguard.engine import failpoints
from txguard.engine.aiomysql_shard import AiomysqlConnections, AiomysqlShard
from txguard.engine.blockers import FRESH_AFTER_S, kill_transactions_of_own_user
from txguard.engine.engine import Engine
from txguard.engine.settings import EngineSettings
from txguard.engine.shard import ShardError
from txguard.engine.states import TransactionState
from txguard.errors import Conflict, OutcomeUndetermined, TransactionLost, TxGuardError

S0, S1 = ShardName("s0"), ShardName("s1")
TOTAL = ACCOUNTS * OPENING_BALANCE
SETTINGS = EngineSettings(orphan_scan_interval_s=0.2, orphan_age_ms=100)


@pytest.fixture(autouse=True)
def no_failpoints() -> Iterator[None]:
    yield
    failpoints.clear()


@pytest.fixture
async def ledger(shard_servers: Sequence[Server]) -> AsyncIterator[Ledger]:
    addresses = addresses_of(shard_servers)
    async with open_ledger(addresses, "engine_trouble", SETTINGS) as opened:
        await opened.create()
        yield opened


async def all_given_back(ledger: Ledger) -> bool:
    """Within five seconds: the workers take connections too, but give them back at once."""
    deadline = time.monotonic() + 5
    while any(shard._in_use for shard in ledger.shards.values()):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.001)
    return True


async def records(ledger: Ledger, shard: ShardName, start_ts: Timestamp | None) -> list[str]:
    async with ledger.shards[shard].connection() as connection:
        [rows] = await connection.run([f"SELECT state FROM _txguard.txn WHERE start_ts = {start_ts}"], 5)
    return [str(row[0]) for row in rows.rows]


# ---------------------------------------------------------------- interruptions


async def test_a_client_that_vanishes_anywhere_leaves_nothing_behind(ledger: Ledger) -> None:
    rng = random.Random()
    failpoints.enable("prewrite_before_send", "sleep:0.002%0.5")
    committed: list[int] = []

    async def client(number: int) -> None:
        try:
            async with asyncio.timeout(rng.uniform(0, 0.03)):
                await ledger.transfer(number, *pick_transfer(rng))
                committed.append(number)
        except (TimeoutError, TxGuardError):
            pass

    for first in range(1, 120, 6):
        async with asyncio.TaskGroup() as group:
            for number in range(first, first + 6):
                group.create_task(client(number))
    assert await ledger.locks_left(5) == 0
    assert await all_given_back(ledger)
    assert ledger.tso._window.active() == ()
    assert await ledger.total() == TOTAL
    entries = await ledger.entries()
    assert not [amounts for amounts in entries.values() if len(amounts) != 2 or sum(amounts)]
    assert not set(committed) - set(entries)


async def test_a_statement_that_was_interrupted_is_never_committed(ledger: Ledger) -> None:
    holder = ledger.begin()
    await ledger.add(holder, 1, 0 + 1)
    txn = ledger.begin()
    sql = f"UPDATE {ledger.schema}.account SET balance = balance - 1 WHERE id IN (0, 1)"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await txn.write([S0, S1], lambda _: sql)  # s0 has it done, s1 waits for a row lock
    with pytest.raises(TransactionLost):
        await txn.commit()
    await txn.rollback()
    await holder.rollback()
    assert await ledger.total() == TOTAL
    assert await all_given_back(ledger)


async def test_a_commit_whose_oracle_is_lost_is_not_safe_to_run_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object) -> None:
        raise TsoUnavailable("the connection to the oracle was lost")

    txn = ledger.begin()
    await ledger.add(txn, 0, -7)
    await ledger.add(txn, 1, +7)
    failpoints.enable("prewrite_one_done", "error*1")
    failpoints.enable("resolve_before_tombstone", "error*1")
    monkeypatch.setattr(ledger.tso, "orphan", lost)
    with pytest.raises(OutcomeUndetermined):
        await txn.commit()
    assert txn.state is TransactionState.UNDETERMINED
    await txn.rollback()
    monkeypatch.undo()
    await ledger.tso.orphan(txn.started())
    assert await ledger.locks_left(5) == 0
    assert await ledger.total() == TOTAL


async def test_a_defect_after_the_first_prewrite_is_an_unknown_outcome(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contradicts(*_: object) -> None:
        raise OutcomeContradiction("a defect")

    txn = ledger.begin()
    await ledger.add(txn, 0, -7)
    await ledger.add(txn, 1, +7)
    monkeypatch.setattr(ledger.tso, "end_commit_nowait", contradicts)
    with pytest.raises(OutcomeUndetermined):
        await txn.commit()
    monkeypatch.undo()
    assert await ledger.locks_left(5) == 0
    assert await stored_balance(ledger, 0) == 93


# ---------------------------------------------------------------- what the server does by itself


async def test_a_local_transaction_that_its_server_rolled_back(ledger: Ledger) -> None:
    """Otherwise the next statement runs, and commits, by itself."""
    txn = ledger.begin()
    await ledger.add(txn, 0, -7)
    await txn.branches[S0].connection.run(["ROLLBACK"], 5)  # as InnoDB does when its lock table is full
    with pytest.raises(TransactionLost):
        await txn.write([S0], lambda _: "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1206")
    await txn.rollback()
    assert await stored_balance(ledger, 0) == 100


@pytest.mark.mariadb_only
async def test_a_write_that_answers_with_rows_is_a_write(ledger: Ledger) -> None:
    txn = ledger.begin()
    sql = f"INSERT INTO {ledger.schema}.entry VALUES (1, 0, 5) RETURNING id"
    [reply] = await txn.write([S0], lambda _: sql, inserts=True)
    assert reply.error is None
    await txn.commit()
    assert await records(ledger, S0, txn.start_ts) == ["C"]


async def test_savepoints_have_no_case(ledger: Ledger) -> None:
    txn = ledger.begin()
    await ledger.add(txn, 0, -7)
    await txn.savepoint("Before")
    await ledger.add(txn, 0, -7)
    assert txn.has_savepoint("BEFORE")
    await txn.rollback_to("before")
    await txn.release_savepoint("BEFORE")
    await txn.commit()
    assert await stored_balance(ledger, 0) == 93


# ---------------------------------------------------------------- the workers


async def test_a_lock_that_nobody_can_resolve_does_not_stop_the_janitor(ledger: Ledger) -> None:
    txn = ledger.begin()
    await ledger.add(txn, 0, -7)
    await ledger.add(txn, 1, +7)
    failpoints.enable("decided_mark_before_rise", "error")  # the cleaner never deletes a lock record
    await txn.commit()
    poison = "INSERT INTO _txguard.txn_lock VALUES ({}, {}, '{}', NOW(3) - INTERVAL 1 HOUR)"
    async with ledger.shards[S0].connection() as connection:
        await connection.run([poison.format(4, 5, "nowhere,s0"), poison.format(5, 6, "nowhere")], 5)
    try:
        async with asyncio.timeout(5):
            while await locks(ledger, S0) != [5] or await locks(ledger, S1):
                await asyncio.sleep(0.05)
    finally:
        async with ledger.shards[S0].connection() as connection:
            await connection.run(["DELETE FROM _txguard.txn_lock WHERE start_ts < 10"], 5)
            await connection.run(["DELETE FROM _txguard.txn WHERE start_ts IN (4, 5)"], 5)
    failpoints.clear()
    assert await ledger.total() == TOTAL


async def locks(ledger: Ledger, shard: ShardName) -> list[int]:
    async with ledger.shards[shard].connection() as connection:
        [rows] = await connection.run(["SELECT start_ts FROM _txguard.txn_lock ORDER BY 1"], 5)
    return [int(row[0] or 0) for row in rows.rows]


@pytest.mark.parametrize("gone", ["the table", "its history"])
async def test_an_undo_after_a_table_was_dropped_half_way(ledger: Ledger, gone: str) -> None:
    async with ledger.shards[S0].connection() as connection:
        query = "SELECT history_name FROM _txguard.managed WHERE table_name = 'entry' AND table_schema ="
        [name] = await connection.run([f"{query} '{ledger.schema}'"], 5)
    history = f"_txguard.{name.rows[0][0]}"
    async with commit_that_will_be_rolled_back(ledger), ledger.shards[S0].connection() as connection:
        await connection.run([f"DROP TABLE {ledger.schema}.entry"], 5)
        if gone == "its history":
            await connection.run([f"DROP TABLE {history}"], 5)
    assert await ledger.locks_left(3) == 0
    assert await stored_balance(ledger, 0) == 100


async def test_an_undo_kills_nobody_who_touched_other_rows(ledger: Ledger) -> None:
    async with commit_that_will_be_rolled_back(ledger):
        beside = ledger.begin()
        await ledger.add(beside, 3, +1)
        await ledger.enter(beside, 7, 6, 1)
    assert await stored_balance(ledger, 0) == 100
    await beside.commit()
    assert await stored_balance(ledger, 3) == 101


async def test_an_undo_that_takes_longer_than_a_statement_may(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A very large one: it gets more time with each try, or its shard would stay behind the barrier for ever."""
    short = EngineSettings(control_timeout_s=0.03, cleanup_timeout_s=0.02)
    for owner in (ledger.engine, ledger.engine.resolver, ledger.engine.janitor):
        monkeypatch.setattr(owner, "settings", short)
    txn = ledger.begin()
    rows = ", ".join(f"({number}, 0, 1)" for number in range(5_000))
    await ledger.write(txn, S0, f"INSERT INTO {ledger.schema}.entry VALUES {rows}")
    await ledger.add(txn, 1, +7)
    txn.branches[S1].connection.abort()
    with pytest.raises(TxGuardError):
        await txn.commit()
    assert await ledger.locks_left(15) == 0
    assert await ledger.entries() == {}


# ---------------------------------------------------------------- several engines


async def test_another_proxy_of_the_same_epoch_disturbs_nobody(
    ledger: Ledger, shard_servers: Sequence[Server]
) -> None:
    txn = ledger.begin()
    await ledger.add(txn, 0, -7)
    shards = {
        name: AiomysqlShard(name, Address("127.0.0.1", server.port).dsn())
        for name, server in zip(ledger.names, shard_servers, strict=True)
    }
    try:
        other = Engine(shards, ledger.tso, SETTINGS)
        assert not await other.start()
        await ledger.add(txn, 1, +7)
        await txn.commit()
        beside = other.transaction(AiomysqlConnections(shards))
        await ledger.add(beside, 0, +7)
        await beside.commit()
    finally:
        for shard in shards.values():
            shard.close()
    assert await stored_balance(ledger, 0) == 100


@pytest.mark.parametrize("place", ["commit_after_begin", "prewrite_before_send"])
async def test_a_deposed_coordinator_that_wakes_up(
    shard_servers: Sequence[Server], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It slept in the middle of a COMMIT while another took over: with no prewrite done, or with one of two."""
    addresses = addresses_of(shard_servers)
    asleep, awake = asyncio.Semaphore(0), asyncio.Event()
    turns = iter([place] if place == "commit_after_begin" else ["the first goes", place])

    async with open_ledger(addresses, "engine_trouble", SETTINGS) as old, asyncio.TaskGroup() as group:
        await old.create()
        idle, txn = old.begin(), old.begin()
        await old.add(idle, 6, -7)
        await old.add(txn, 0, -7)
        await old.add(txn, 1, +7)

        def passing(name: str, go_on: Callable[[Exception | None], None]) -> None:
            if name == place and next(turns, "") == place:
                asleep.release()
                waking = group.create_task(awake.wait())
                waking.add_done_callback(lambda _: go_on(None))
            else:
                go_on(None)

        failpoints.enable(place, "on")
        monkeypatch.setattr(failpoints, "passing", passing)

        async def commit() -> None:
            with pytest.raises(TxGuardError):
                await txn.commit()

        group.create_task(commit())
        await asleep.acquire()
        async with open_ledger(addresses, "engine_trouble", SETTINGS) as new:
            for number in range(1, 20):
                with suppress(Conflict):
                    await new.transfer(number, *pick_transfer(random.Random(number)))
            assert await new.total() == TOTAL
            awake.set()
            with pytest.raises(TxGuardError):
                await old.add(idle, 6, -7)
            await idle.rollback()
            assert await new.locks_left(5) == 0
            assert await new.total() == TOTAL


async def test_what_a_dead_coordinator_left_open_is_ended_also_where_somebody_has_just_looked(
    ledger: Ledger,
) -> None:
    """The server goes on showing the copy of its list of transactions that it made for that look."""
    left = ledger.begin()
    shard = ledger.shards[S0]
    async with shard.connection() as looking, shard.connection() as fencing:
        await asyncio.sleep(2 * FRESH_AFTER_S)
        await looking.run(["SELECT * FROM information_schema.innodb_trx"], 5)
        await ledger.add(left, 0, -7)
        await kill_transactions_of_own_user(fencing, SETTINGS)
        assert not fencing.in_transaction
    with pytest.raises(TxGuardError):
        await ledger.add(left, 0, -7)
    await left.rollback()


async def test_commit_records_go_through_the_view_of_the_epoch_in_which_the_transaction_began(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A remote oracle may come back under another epoch in the middle of a commit."""
    txn = ledger.begin()
    await ledger.add(txn, 0, -7)
    await ledger.add(txn, 1, +7)
    sent: list[str] = []
    for branch in txn.branches.values():
        run = branch.connection.run

        async def spy(statements: Sequence[str], timeout_s: float | None, run: object = run) -> object:
            sent.extend(statements)
            return await run(statements, timeout_s)  # type: ignore[operator]

        monkeypatch.setattr(branch.connection, "run", spy)
    began = ledger.tso.epoch
    monkeypatch.setattr(ledger.tso._lease, "epoch", began + 1)
    await txn.commit()
    monkeypatch.undo()
    assert any(f"`prewrite_{began}`" in statement for statement in sent)


async def test_an_outcome_that_is_known_but_not_carried_out(ledger: Ledger) -> None:
    """The client hears it at once; the janitor does the rest."""
    txn = ledger.begin()
    await ledger.add(txn, 0, -7)
    await ledger.add(txn, 1, +7)
    txn.branches[S1].connection.abort()
    failpoints.enable("resolve_one_undone", "sleep:1.5*1")
    with pytest.raises(Conflict):
        await txn.commit()
    assert txn.state is TransactionState.ROLLED_BACK
    assert sum(len(shard._in_use) for shard in ledger.shards.values()) <= 1
    assert await ledger.locks_left(5) == 0
    async with asyncio.timeout(5):
        while (await ledger.tso.statistics()).outstanding:
            await asyncio.sleep(0.02)
    assert Outcome.ROLLED_BACK.value in await records(ledger, S0, txn.start_ts)


async def test_errors_of_a_shard_are_passed_on_and_cost_their_statement_only(ledger: Ledger) -> None:
    txn = ledger.begin()
    await ledger.add(txn, 0, -7)
    for errno in (1114, 1021, 1290, 1317, 1040):
        [reply] = await txn.write([S0], lambda _, e=errno: f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {e}")
        assert isinstance(reply.error, ShardError)
        assert reply.error.errno == errno
    sql = f"UPDATE {ledger.schema}.account SET balance = IF(id = 1, (SELECT 1 UNION SELECT 2), balance - 1)"
    replies = await txn.write([S0, S1], lambda _: sql)
    assert {reply.error.errno for reply in replies if reply.error} == {1242}
    await ledger.add(txn, 1, +7)
    await txn.commit()
    assert await ledger.total() == TOTAL
