"""G1a: nobody sees rows of a transaction that is rolled back later [R5]."""

from __future__ import annotations

import pytest

from tests.fakes.ledger import Ledger
from tests.isolation.scenes import balance, commit_that_will_be_rolled_back, stored_balance
from txguard.engine import failpoints
from txguard.engine.branch import Isolation


@pytest.mark.parametrize("isolation", list(Isolation))
async def test_a_read_waits_for_the_outcome(ledger: Ledger, isolation: Isolation) -> None:
    async with commit_that_will_be_rolled_back(ledger):
        txn = ledger.begin(isolation)
        assert await balance(ledger, txn, 0) == 100
        await txn.rollback()
    assert await stored_balance(ledger, 0) == 100, "the undo put the old row back"


async def test_a_locking_read_waits_for_the_outcome(ledger: Ledger) -> None:
    async with commit_that_will_be_rolled_back(ledger):
        txn = ledger.begin(Isolation.READ_COMMITTED)
        sql = f"SELECT balance FROM {ledger.schema}.account WHERE id = 3 FOR UPDATE"
        [reply] = await txn.write([ledger.shard_of(3)], lambda _: sql, locking_read=True)
        assert ledger._rows(reply) == ((100,),)
        await txn.rollback()


async def test_without_validation_the_read_is_dirty(ledger: Ledger) -> None:
    failpoints.enable("without_R5", "on")
    async with commit_that_will_be_rolled_back(ledger):
        txn = ledger.begin(Isolation.READ_COMMITTED)
        assert await balance(ledger, txn, 0) == 93
        await txn.rollback()
