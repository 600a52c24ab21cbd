"""A coordinator that was frozen for longer than the retention: what it left is settled and forgotten [R7]."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from proxy.playground.servers import Server
from tests.fakes.ledger import ACCOUNTS, OPENING_BALANCE, Ledger, addresses_of, open_ledger
from tso.types import Orphan, Outcome, ShardName, Timestamp
from txguard.engine.committing import prewrite_statement
from txguard.engine.conflicts import ConflictCheck
from txguard.engine.resolve import Forgotten
from txguard.engine.settings import EngineSettings
from txguard.engine.shard import ShardError
from txguard.engine.transaction import Transaction
from txguard.errors import Conflict

S0, S1 = ShardName("s0"), ShardName("s1")
FORGETS_AT_ONCE = EngineSettings(retention_ms=0, clean_interval_s=3600, decided_mark_interval_s=3600)
SCHEMA = "crash_frozen"


@pytest.fixture
async def ledger(shard_servers: Sequence[Server]) -> AsyncIterator[Ledger]:
    async with open_ledger(addresses_of(shard_servers), SCHEMA, FORGETS_AT_ONCE) as opened:
        await opened.create()
        yield opened


async def test_a_late_resolver_takes_no_cleaned_commit_for_a_roll_back(ledger: Ledger) -> None:
    orphan = await committed_transfer(ledger)
    await ledger.engine.cleaner.clean_once()
    assert await records(ledger, orphan.start_ts) == []
    with pytest.raises(Forgotten):
        await ledger.engine.resolver.resolve(orphan)
    assert await records(ledger, orphan.start_ts) == []
    assert await balances(ledger) == (90, 110)


async def test_a_late_resolver_undoes_no_half_of_a_commit_that_is_being_cleaned(ledger: Ledger) -> None:
    """s0 has been cleaned, s1 not yet."""
    orphan = await committed_transfer(ledger)
    safe_point = await ledger.tso.safe_point(0)
    await ledger.engine.cleaner._clean_shard(S0, safe_point, safe_point)
    assert await records(ledger, orphan.start_ts) == ["C"]
    with pytest.raises(Forgotten):
        await ledger.engine.resolver.resolve(orphan)
    assert await balances(ledger) == (90, 110)


async def test_a_late_coordinator_of_one_shard_is_told_of_no_roll_back(ledger: Ledger) -> None:
    """Also where another shard is away, so that only what wrote one shard is cleaned."""
    txn = ledger.begin()
    await ledger.add(txn, 0, -10)
    await txn.commit()
    safe_point = await ledger.tso.safe_point(0)
    await ledger.engine.cleaner._clean_shard(S0, safe_point, Timestamp(0))
    with pytest.raises(Forgotten):
        await ledger.engine.resolver.resolve(orphan_of(txn, (S0,)))
    assert (await balances(ledger))[0] == 90


async def test_a_tombstone_outlives_the_local_transaction_that_it_must_refuse(ledger: Ledger) -> None:
    """The coordinator has taken its commit_ts and freezes; its connections, and its rows' locks, live on."""
    txn = ledger.begin()
    await ledger.add(txn, 0, -10)
    await ledger.add(txn, 1, +10)
    txn.commit_ts = await ledger.tso.begin_commit(txn.started(), (S0, S1), [], [], 1)
    orphan = orphan_of(txn, (S0, S1))
    assert await ledger.engine.resolver.resolve(orphan) is Outcome.ROLLED_BACK
    await until_a_second_old(ledger)
    await ledger.engine.cleaner.clean_once()
    late = prewrite_statement(ledger.tso.epoch, orphan.commit_ts, (S0, S1))
    for name in (S0, S1):
        with pytest.raises(ShardError) as refused:
            await txn.branches[name].connection.run([late], 5)
        assert refused.value.errno == 1062
    txn.abandon("it woke up")
    assert await ledger.locks_left(5) == 0
    await ledger.engine.cleaner.clean_once()
    assert await records(ledger, orphan.start_ts) == []
    assert await balances(ledger) == (100, 100)


async def test_what_a_statement_passed_over_may_be_forgotten(ledger: Ledger) -> None:
    """The oracle has lost the session, so nothing keeps the versions that the snapshot would need."""
    txn = ledger.begin()
    await ledger.balances(txn)
    await ledger.tso.end(txn.started())
    other = ledger.begin()
    await ledger.add(other, 0, +900)
    await other.commit()
    await ledger.engine.cleaner.clean_once()
    where = "balance = 100 AND id = 0"
    with pytest.raises(Conflict, match="older than the versions"):
        await txn.write(
            [S0],
            lambda _: f"UPDATE {SCHEMA}.account SET balance = 0 WHERE {where}",
            checks=[ConflictCheck(SCHEMA, "account", where)],
        )
    await txn.rollback()


async def test_a_snapshot_opens_no_view_behind_what_was_cleaned(ledger: Ledger) -> None:
    """s0 was read before, s1 is read after: the records that say what is too new for it are gone."""
    txn = ledger.begin()
    await ledger.balances(txn, [S0])
    await ledger.tso.end(txn.started())
    await committed_transfer(ledger)
    await ledger.engine.cleaner.clean_once()
    with pytest.raises(Conflict, match="older than what is kept"):
        await ledger.balances(txn, [S1])
    await txn.rollback()
    assert await balances(ledger) == (90, 110)


async def committed_transfer(ledger: Ledger) -> Orphan:
    txn = ledger.begin()
    await ledger.add(txn, 0, -10)
    await ledger.add(txn, 1, +10)
    await txn.commit()
    await ledger.engine.decided.flush()
    return orphan_of(txn, (S0, S1))


def orphan_of(txn: Transaction, participants: tuple[ShardName, ...]) -> Orphan:
    assert txn.commit_ts is not None
    return Orphan(txn.started(), txn.commit_ts, participants)


async def records(ledger: Ledger, start_ts: Timestamp) -> list[str]:
    """Of all shards."""
    found: list[str] = []
    for shard in ledger.shards.values():
        async with shard.connection() as connection:
            [rows] = await connection.run([f"SELECT state FROM _txguard.txn WHERE start_ts = {start_ts}"], 5)
        found += [str(row[0]) for row in rows.rows]
    return found


async def balances(ledger: Ledger) -> tuple[int, int]:
    """Of the first two accounts. The others are untouched."""
    txn = ledger.begin()
    found = await ledger.balances(txn)
    await txn.rollback()
    assert sum(found.values()) - found[0] - found[1] == (ACCOUNTS - 2) * OPENING_BALANCE
    return found[0], found[1]


async def until_a_second_old(ledger: Ledger) -> None:
    """The servers tell when a transaction began to the second."""
    query = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_rows_modified > 0 AND trx_started < NOW()"
    async with asyncio.timeout(10):
        for name in (S0, S1):
            while True:
                async with ledger.shards[name].connection() as connection:
                    [rows] = await connection.run([query], 5)
                if int(rows.rows[0][0] or 0) > 0:
                    break
                await asyncio.sleep(0.15)  # MariaDB renews innodb_trx only where nobody has looked for 0.1 s
