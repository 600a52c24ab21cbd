"""How many packets go to a shard, counted on real connections: each is a round trip that a client waits for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from proxy.playground.servers import Server
from tests.fakes.ledger import IDLE_WORKERS, Ledger, addresses_of, open_ledger
from tso.types import ShardName
from txguard.engine.aiomysql_shard import AiomysqlConnection
from txguard.engine.branch import Isolation
from txguard.engine.conflicts import ConflictCheck

S0, S1 = ShardName("s0"), ShardName("s1")


@pytest.fixture
async def ledger(shard_servers: Sequence[Server]) -> AsyncIterator[Ledger]:
    addresses = addresses_of(shard_servers)
    async with open_ledger(addresses, "engine_packets", IDLE_WORKERS) as opened:
        await opened.create()
        yield opened


@pytest.fixture
def packets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Those of transactions: the workers have nothing to do."""
    seen: list[str] = []
    exchange = AiomysqlConnection._exchange

    async def spy(self: AiomysqlConnection, statements: Sequence[str], timeout_s: float | None) -> Any:
        seen.append("; ".join(statements))
        return await exchange(self, statements, timeout_s)

    monkeypatch.setattr(AiomysqlConnection, "_exchange", spy)
    return seen


async def test_an_autocommit_write_takes_two(ledger: Ledger, packets: list[str]) -> None:
    txn = ledger.begin(implicit=True)
    await ledger.add(txn, 0, 1)
    await txn.commit()
    assert len(packets) == 2
    assert "SELECT" not in "".join(packets)


async def test_a_first_read_takes_one_and_its_commit_one(ledger: Ledger, packets: list[str]) -> None:
    txn = ledger.begin()
    await ledger.balances(txn, [S0])
    assert len(packets) == 1
    await ledger.balances(txn, [S0])
    assert len(packets) == 2
    await txn.commit()
    assert len(packets) == 3


@pytest.mark.parametrize("read_first", [False, True])
async def test_reading_and_writing_one_shard_takes_no_packet_beside(
    ledger: Ledger, packets: list[str], read_first: bool
) -> None:
    txn = ledger.begin()
    if read_first:
        await ledger.balances(txn, [S0])
    await ledger.add(txn, 0, 1)
    await ledger.balances(txn, [S0])
    await ledger.add(txn, 0, 1)
    await txn.commit()
    assert len(packets) == 4 + read_first


async def test_a_cross_shard_commit_takes_one_for_each_participant(
    ledger: Ledger, packets: list[str]
) -> None:
    txn = ledger.begin()
    await ledger.add(txn, 0, -1)
    await ledger.add(txn, 1, +1)
    del packets[:]
    await txn.commit()
    assert len(packets) == 2
    assert "SELECT" not in "".join(packets)


async def test_a_point_write_under_a_snapshot_asks_for_no_conflicts(
    ledger: Ledger, packets: list[str]
) -> None:
    txn = ledger.begin()
    await ledger.balances(txn, [S0])
    del packets[:]
    sql = f"UPDATE {ledger.schema}.account SET balance = balance + 1 WHERE id = 0"
    checks = [ConflictCheck(ledger.schema, "account", "id = 0")]
    await txn.write([S0], lambda _: sql, checks=checks, expected_rows=1)
    assert len(packets) == 1
    await txn.rollback()
    assert len(packets) == 2


async def test_what_was_not_used_is_not_rolled_back(ledger: Ledger, packets: list[str]) -> None:
    txn = ledger.begin()
    await txn._branches([S0, S1])
    await txn.rollback()
    assert packets == []


async def test_read_committed_on_one_shard_takes_one(ledger: Ledger, packets: list[str]) -> None:
    txn = ledger.begin(Isolation.READ_COMMITTED)
    await ledger.balances(txn, [S0])
    await ledger.add(txn, 0, 1)
    assert len(packets) == 2
    await txn.commit()
    assert len(packets) == 3
