"""[R4]: who replaced an undecided version commits only if that version does."""

from __future__ import annotations

import pytest

from tests.fakes.ledger import Ledger
from tests.isolation.scenes import commit_that_will_be_rolled_back, stored_balance
from txguard.engine import failpoints
from txguard.errors import TxGuardError


async def test_a_write_over_a_version_that_is_rolled_back_is_rolled_back_too(ledger: Ledger) -> None:
    async with commit_that_will_be_rolled_back(ledger):
        txn = ledger.begin()
        await ledger.add(txn, 0, +50)
        with pytest.raises(TxGuardError) as caught:
            await txn.commit()
        assert caught.value.retry_safe
        await txn.rollback()
    assert await stored_balance(ledger, 0) == 100
    assert await ledger.total() == 1200


async def test_an_insert_waits_for_undecided_commits_on_its_shard(ledger: Ledger) -> None:
    """The unique key that it takes may have been freed by one of them."""
    async with commit_that_will_be_rolled_back(ledger):
        txn = ledger.begin()
        await ledger.enter(txn, 1, 3, 5)
        with pytest.raises(TxGuardError) as caught:
            await txn.commit()
        assert caught.value.retry_safe
        await txn.rollback()
    assert await ledger.entries() == {}


async def test_without_dependencies_an_acknowledged_write_is_lost_or_the_sum_is_wrong(ledger: Ledger) -> None:
    failpoints.enable("without_R4", "on")
    async with commit_that_will_be_rolled_back(ledger):
        txn = ledger.begin()
        await ledger.add(txn, 0, +50)
        await txn.commit()
    # Acknowledged: 100 + 50 should stand; instead the undo met a version that was built on 93.
    assert await stored_balance(ledger, 0) != 150
