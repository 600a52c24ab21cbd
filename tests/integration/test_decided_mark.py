"""[D] What a shard knows to be decided: the mark that rises, the lock records it leaves, what a new epoch finds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from proxy.playground.servers import Server
from tests.fakes.ledger import IDLE_WORKERS, Ledger, addresses_of, open_ledger
from tso.types import Orphan, Outcome, OutstandingCommit, ShardName, Timestamp
from txguard.engine import decided, failpoints
from txguard.engine.decided import rise_statements
from txguard.engine.outcome import read_record
from txguard.engine.settings import EngineSettings
from txguard.engine.shard import ShardUnavailable
from txguard.engine.transaction import Transaction
from txguard.engine.undecided import UNDECIDED

S0, S1 = ShardName("s0"), ShardName("s1")
SCHEMA = "decided_mark"


@pytest.fixture
async def ledger(shard_servers: Sequence[Server]) -> AsyncIterator[Ledger]:
    async with open_ledger(addresses_of(shard_servers), SCHEMA, IDLE_WORKERS) as opened:
        await opened.create()
        yield opened
        failpoints.clear()


async def transfer(ledger: Ledger) -> Transaction:
    txn = ledger.begin()
    await ledger.add(txn, 0, -7)
    await ledger.add(txn, 1, +7)
    await txn.commit()
    return txn


async def outstanding_transfer(ledger: Ledger) -> tuple[Transaction, asyncio.Task[None]]:
    """Both records are there; the oracle hears of it later, when the task ends."""
    failpoints.enable("commit_before_end", "sleep:1*1")
    txn = ledger.begin()
    await ledger.add(txn, 0, -7)
    await ledger.add(txn, 1, +7)
    committing = asyncio.get_running_loop().create_task(txn.commit())
    while not all(
        [
            await query(ledger, name, f"SELECT 1 FROM _txguard.txn WHERE start_ts = {txn.started()}")
            for name in (S0, S1)
        ]
    ):
        await asyncio.sleep(0.01)
    return txn, committing


async def query(ledger: Ledger, name: ShardName, sql: str) -> list[int]:
    """The first column."""
    async with ledger.shards[name].connection() as connection:
        [rows] = await connection.run([sql], 5)
    return [int(row[0] or 0) for row in rows.rows]


async def undecided(ledger: Ledger, name: ShardName) -> list[int]:
    return await query(ledger, name, UNDECIDED)


async def locks(ledger: Ledger, name: ShardName) -> list[int]:
    return await query(ledger, name, "SELECT start_ts FROM _txguard.txn_lock")


async def mark(ledger: Ledger, name: ShardName) -> int:
    return (await query(ledger, name, "SELECT up_to FROM _txguard.decided"))[0]


async def is_known_decided(ledger: Ledger, name: ShardName, txn: Transaction) -> bool:
    async with ledger.shards[name].connection() as connection:
        record = await read_record(connection, txn.started(), 5)
    assert record is not None
    assert record.state is Outcome.COMMITTED
    return not record.undecided


async def test_a_commit_leaves_no_lock_record_and_the_mark_passes_it(ledger: Ledger) -> None:
    txn = await transfer(ledger)
    assert await undecided(ledger, S0) == [txn.started()]
    assert not await is_known_decided(ledger, S0, txn)
    [age_us] = await query(ledger, S0, f"SELECT age_us FROM ({UNDECIDED}) undecided")
    assert -1e6 < age_us < 10e6, "both clocks are this machine's"
    await ledger.engine.decided.rise(S0)
    assert await undecided(ledger, S0) == []
    assert await is_known_decided(ledger, S0, txn)
    assert await locks(ledger, S0) == []
    assert await undecided(ledger, S1) == [txn.started()], "each shard has a mark of its own"


async def test_the_mark_stays_behind_what_has_just_become_outstanding(ledger: Ledger) -> None:
    before = await transfer(ledger)
    txn, committing = await outstanding_transfer(ledger)
    assert txn.commit_ts is not None
    await ledger.engine.decided.rise(S0)
    assert await mark(ledger, S0) == txn.commit_ts - 1
    assert (await is_known_decided(ledger, S0, before), await locks(ledger, S0)) == (True, [])
    await committing
    await ledger.engine.decided.rise(S0)
    assert await undecided(ledger, S0) == []


async def test_what_stays_outstanding_gets_a_lock_record_until_it_is_decided(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decided, "PATIENCE_S", 0.0)
    txn, committing = await outstanding_transfer(ledger)
    later = ledger.begin()
    await ledger.add(later, 2, 1)
    await later.commit()
    assert later.commit_ts is not None
    await ledger.engine.decided.rise(S0)
    assert await locks(ledger, S0) == await undecided(ledger, S0) == [txn.started()]
    assert await mark(ledger, S0) >= later.commit_ts
    assert not await is_known_decided(ledger, S0, txn)
    await ledger.engine.decided.rise(S0)
    assert await locks(ledger, S0) == [txn.started()], "as often as it likes"
    await committing
    await ledger.engine.decided.rise(S0)
    assert await locks(ledger, S0) == await undecided(ledger, S0) == []


@pytest.mark.parametrize("risen", [False, True], ids=["above the mark", "with a lock record"])
async def test_the_next_epoch_settles_what_was_outstanding(
    shard_servers: Sequence[Server], monkeypatch: pytest.MonkeyPatch, *, risen: bool
) -> None:
    """Half of a transfer is durable, and its coordinator and oracle are gone."""
    monkeypatch.setattr(decided, "PATIENCE_S", 0.0)
    async with open_ledger(addresses_of(shard_servers), SCHEMA, IDLE_WORKERS) as ledger:
        await ledger.create()
        await transfer(ledger)
        await ledger.engine.decided.rise(S0)
        failpoints.enable("prewrite_before_send", "error@2*1")
        failpoints.enable("resolve_before_tombstone", "error")
        txn = ledger.begin()
        await ledger.add(txn, 0, -7)
        await ledger.add(txn, 1, +7)
        with pytest.raises(Exception, match="not known yet"):
            await txn.commit()
        if risen:
            await ledger.engine.decided.rise(S0)
            assert await locks(ledger, S0) == [txn.started()]
        assert await undecided(ledger, S0) == [txn.started()]
        monkeypatch.setattr(ledger.engine.decided, "_behind", set())  # as by kill -9
    failpoints.clear()
    async with open_ledger(
        addresses_of(shard_servers), SCHEMA, EngineSettings(orphan_scan_interval_s=0.1)
    ) as ledger:
        async with asyncio.timeout(10):
            while await undecided(ledger, S0) or await undecided(ledger, S1):
                await asyncio.sleep(0.05)
        assert await query(
            ledger, S0, f"SELECT state = 'R' FROM _txguard.txn WHERE start_ts = {txn.started()}"
        ) == [1]
        balances = await ledger.balances(ledger.begin())
        assert (balances[0], balances[1]) == (93, 107)


async def test_no_lock_record_is_placed_behind_the_mark(ledger: Ledger) -> None:
    """By whoever asked long ago: it may have been decided and cleaned meanwhile."""
    async with ledger.shards[S0].connection() as connection:
        now = (await ledger.tso.statistics()).now
        late = [
            OutstandingCommit(Timestamp(now + n), Timestamp(now + n), (S0, S1), 0.0, None, orphaned=False)
            for n in (10, 20, 30)
        ]
        await connection.run(rise_statements(Timestamp(now + 10), []), 5)
        await connection.run(rise_statements(Timestamp(now + 5), late[:1]), 5)
        assert (await mark(ledger, S0), await locks(ledger, S0)) == (now + 10, [])
        await connection.run(rise_statements(Timestamp(now + 30), late), 5)
        assert (await mark(ledger, S0), await locks(ledger, S0)) == (now + 30, [now + 20, now + 30])
        await connection.run(
            ["DELETE FROM _txguard.txn_lock", f"UPDATE _txguard.decided SET up_to = {now}"], 5
        )


async def test_it_does_not_rise_where_older_coordinators_may_still_commit(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await mark(ledger, S0)
    await transfer(ledger)
    monkeypatch.setattr(ledger.engine, "_prepared", {})
    with pytest.raises(ShardUnavailable, match="not fenced"):
        await ledger.engine.decided.rise(S0)
    assert await mark(ledger, S0) == before


async def test_nor_by_the_word_of_an_oracle_that_leads_since_the_shard_was_fenced(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await mark(ledger, S0)
    await transfer(ledger)
    statistics = ledger.tso.statistics

    async def another() -> object:
        answer = await statistics()
        monkeypatch.setattr(type(ledger.tso), "epoch", property(lambda _: answer.epoch + 1))
        return answer

    monkeypatch.setattr(ledger.tso, "statistics", another)
    with pytest.raises(ShardUnavailable, match="another oracle"):
        await ledger.engine.decided.rise(S0)
    assert await mark(ledger, S0) == before


async def test_cleaning_waits_for_the_marks_of_all_shards(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger.engine.cleaner, "settings", EngineSettings(retention_ms=0))
    txn, committing = await outstanding_transfer(ledger)
    record = f"SELECT 1 FROM _txguard.txn WHERE start_ts = {txn.started()}"
    await committing
    # A mark that does not rise, though the safe point does.
    rise = ledger.engine.decided.rise

    async def only_the_first(name: ShardName) -> None:
        if name == S0:
            await rise(name)

    monkeypatch.setattr(ledger.engine.decided, "rise", only_the_first)
    await ledger.engine.cleaner.clean_once()
    assert [await query(ledger, name, record) for name in (S0, S1)] == [[1], [1]]
    monkeypatch.setattr(ledger.engine.decided, "rise", rise)
    await ledger.engine.cleaner.clean_once()
    assert [await query(ledger, name, record) for name in (S0, S1)] == [[], []]


async def test_whoever_finds_something_above_the_mark_raises_it(shard_servers: Sequence[Server]) -> None:
    """What a process decided that is gone since: nobody commits any more."""
    settings = EngineSettings(decided_mark_interval_s=0.05, orphan_scan_interval_s=0.1)
    async with open_ledger(addresses_of(shard_servers), SCHEMA, settings) as ledger:
        await ledger.create()
        txn = ledger.begin()
        await ledger.add(txn, 0, -7)
        await ledger.add(txn, 1, +7)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ledger.engine.decided, "add", lambda _: None)
            await txn.commit()
        async with asyncio.timeout(5):
            while await undecided(ledger, S0) or await undecided(ledger, S1):
                await asyncio.sleep(0.02)
        assert await is_known_decided(ledger, S0, txn)


async def test_a_resolver_comes_to_the_same_end(ledger: Ledger) -> None:
    """A lock record placed just after the decision: the janitor's scan finds and deletes it."""
    txn = await transfer(ledger)
    assert txn.commit_ts is not None
    async with ledger.shards[S0].connection() as connection:
        late = OutstandingCommit(txn.started(), txn.commit_ts, (S0, S1), 0.0, None, orphaned=False)
        await connection.run(rise_statements(txn.commit_ts, [late]), 5)
    assert await locks(ledger, S0) == [txn.started()]
    await ledger.engine.resolver.resolve(Orphan(txn.started(), txn.commit_ts, (S0, S1)))
    assert await locks(ledger, S0) == []
    assert await is_known_decided(ledger, S0, txn)


async def test_what_was_decided_by_hand_is_not_outstanding_again(ledger: Ledger) -> None:
    """Its participant that is gone for good would keep it in doubt for ever."""
    txn = await transfer(ledger)
    values = f"{txn.started()}, {txn.commit_ts}, 'C', 's0,s1', 's1', NOW(3), 0"
    async with ledger.shards[S0].connection() as connection:
        await connection.run([f"INSERT INTO _txguard.verdict VALUES ({values})"], 5)
        assert await undecided(ledger, S0) == [txn.started()], "not carried out yet"
        await connection.run(["UPDATE _txguard.verdict SET done = 1"], 5)
        assert await undecided(ledger, S0) == []
        await connection.run(["DELETE FROM _txguard.verdict"], 5)


async def test_a_lock_record_is_not_forgotten_while_the_mark_stands_still(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older commit turns up, on a shard that returns: nothing rises until it is old, too."""
    now = (await ledger.tso.statistics()).now
    old, late = (
        OutstandingCommit(Timestamp(now - n), Timestamp(now - n), (S0, S1), 0.0, None, orphaned=False)
        for n in (20, 10)
    )
    outstanding: list[OutstandingCommit] = [late]
    statistics = ledger.tso.statistics

    async def crafted() -> object:
        return replace(await statistics(), outstanding=tuple(outstanding))

    monkeypatch.setattr(ledger.tso, "statistics", crafted)
    async with ledger.shards[S0].connection() as connection:
        await connection.run([f"UPDATE _txguard.decided SET up_to = {now - 30}"], 5)
    monkeypatch.setattr(decided, "PATIENCE_S", 0.0)
    await ledger.engine.decided.rise(S0)
    assert await locks(ledger, S0) == [late.start_ts]
    outstanding.insert(0, old)
    monkeypatch.setattr(decided, "PATIENCE_S", 3600.0)
    await ledger.engine.decided.rise(S0)
    assert await locks(ledger, S0) == [late.start_ts]
    outstanding.clear()
    await ledger.engine.decided.rise(S0)
    assert await locks(ledger, S0) == []
