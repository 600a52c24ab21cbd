"""G1a: nobody sees rows of a transaction that is rolled back later [R5]."""

from __future__ import annotations

import pytest

from tests.fakes.ledger import Ledger
from tests.isolation.scenes import balance, commit_that_will_be_rolled_back, stored_balance
from txguard.engine import failpoints
from txguard.engine.branch import Isolation
from txguard.errors import Conflict


@pytest.mark.parametrize("isolation", [level for level in Isolation if level is not Isolation.SERIALIZABLE])
async def test_a_read_waits_for_the_outcome(ledger: Ledger, isolation: Isolation) -> None:
    async with commit_that_will_be_rolled_back(ledger):
        txn = ledger.begin(isolation)
        assert await balance(ledger, txn, 0) == 100
        await txn.rollback()
    assert await stored_balance(ledger, 0) == 100, "the undo put the old row back"


@pytest.mark.mariadb_only
@pytest.mark.parametrize(
    ("isolation", "locks"), [(Isolation.SERIALIZABLE, ""), (Isolation.REPEATABLE_READ, "LOCK IN SHARE MODE")]
)
async def test_a_read_that_locked_what_is_undone_gives_way(
    ledger: Ledger, isolation: Isolation, locks: str
) -> None:
    """The undo waits for the locks of who waits for the undo; who has read another row there is left alone."""
    shard, select = [ledger.shard_of(0)], f"SELECT balance FROM {ledger.schema}.account WHERE id ="
    beside = ledger.begin(isolation)
    await beside.read(shard, lambda _, __: f"{select} 3")
    async with commit_that_will_be_rolled_back(ledger):
        txn = ledger.begin(isolation)
        with pytest.raises(Conflict):
            if locks:
                await txn.write(shard, lambda _: f"{select} 0 {locks}", locking_read=True)
            else:
                await txn.read(shard, lambda _, __: f"{select} 0")
    assert await stored_balance(ledger, 0) == 100, "the undo put the old row back"
    await beside.read(shard, lambda _, __: f"{select} 3")
    await beside.commit()


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
