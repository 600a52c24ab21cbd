"""Scenes that several anomalies are played on: an undecided commit that will be rolled back, and short reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.fakes.ledger import Ledger
from tso.types import ShardName
from txguard.engine import failpoints
from txguard.engine.transaction import Transaction
from txguard.errors import Conflict

UNDECIDED_S = 0.5


async def balance(ledger: Ledger, txn: Transaction, account: int) -> int:
    """A consistent read of one account."""
    return (await ledger.balances(txn, [ledger.shard_of(account)]))[account]


async def stored_balance(ledger: Ledger, account: int) -> int:
    """What the account's shard holds right now, decided or not."""
    async with ledger.shards[ledger.shard_of(account)].connection() as connection:
        [rows] = await connection.run(
            [f"SELECT balance FROM {ledger.schema}.account WHERE id = {account}"], 5
        )
    return int(rows.rows[0][0] or 0)


async def set_balance(ledger: Ledger, account: int, value: int) -> None:
    """One committed single-shard transaction."""
    txn = ledger.begin()
    try:
        await ledger.add(txn, account, value - await stored_balance(ledger, account))
        await txn.commit()
    finally:
        await txn.rollback()


@asynccontextmanager
async def commit_that_will_be_rolled_back(ledger: Ledger) -> AsyncIterator[None]:
    """In the block, a transfer of 7 from account 0 to account 1 is durable on s0 and can only fail on s1.

    It stays undecided for `UNDECIDED_S` and is then rolled back. The block starts once s0 shows its row.
    """
    txn = ledger.begin()
    await ledger.add(txn, 0, -7)
    await ledger.add(txn, 1, +7)
    txn.branches[ShardName("s1")].connection.abort()
    failpoints.enable("prewrite_before_send", f"sleep:{UNDECIDED_S}@2*1")

    async def commit() -> None:
        try:
            await txn.commit()
        except Conflict:
            return
        raise AssertionError("committed although s1 was lost")

    async with asyncio.TaskGroup() as group:
        group.create_task(commit())
        while await stored_balance(ledger, 0) == 100:
            await asyncio.sleep(0.005)
        yield
