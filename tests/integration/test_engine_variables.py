"""What the triggers read on a connection is gone when its transaction ends: the next one sets only what it has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from proxy.playground.servers import Server
from tests.fakes.ledger import IDLE_WORKERS, Ledger, addresses_of, open_ledger
from tests.isolation.test_dependencies import without_a_task
from tso.types import ShardName
from txguard.engine.transaction import Transaction

S0, S1 = ShardName("s0"), ShardName("s1")
VARIABLES = "SELECT @txg_start_ts, @txg_read_ts, @txg_too_new, @txg_deps"


@pytest.fixture
async def ledger(shard_servers: Sequence[Server]) -> AsyncIterator[Ledger]:
    addresses = addresses_of(shard_servers)
    async with open_ledger(addresses, "engine_variables", IDLE_WORKERS) as opened:
        await opened.create()
        yield opened


@pytest.mark.parametrize("end", [Transaction.commit, without_a_task, Transaction.rollback])
@pytest.mark.parametrize("has_snapshot", [False, True])
async def test_a_connection_comes_back_without_variables(
    ledger: Ledger, has_snapshot: bool, end: object
) -> None:
    """The last two prewrites and the ROLLBACK; with dependencies, and under a snapshot that saw a newer commit."""
    assert callable(end)
    old = ledger.begin()
    await ledger.add(old, 0, 1)  # No writer after it is below anybody's floor.
    await ledger.transfer(1, 3, 4, 5)
    txn = ledger.begin()
    if has_snapshot:
        await ledger.balances(txn, [S0])
        await ledger.transfer(2, 3, 7, 5)
        await ledger.balances(txn, [S1])
    await ledger.add(txn, 4, 1)
    await ledger.add(txn, 6, -1)
    connection = txn.branches[S1].connection
    [seen] = await connection.run([VARIABLES], 5)
    assert [value is not None for value in seen.rows[0]] == [True, has_snapshot, has_snapshot, True]
    await end(txn)
    assert not connection.closed
    [seen] = await connection.run([VARIABLES], 5)
    assert list(seen.rows[0]) == [None] * 4
    await old.rollback()
