"""A5B: snapshot isolation allows write skew, and exactly this: two transactions that read both and write one each."""

from __future__ import annotations

import pytest

from tests.fakes.ledger import Ledger
from tests.isolation.scenes import balance, stored_balance
from txguard.errors import Conflict


@pytest.mark.parametrize("partner", [3, 1], ids=["one shard", "two shards"])
async def test_write_skew_is_allowed(ledger: Ledger, partner: int) -> None:
    first, second = ledger.begin(), ledger.begin()
    for txn in (first, second):
        assert await balance(ledger, txn, 0) + await balance(ledger, txn, partner) == 200
    await ledger.add(first, 0, -150)
    await ledger.add(second, partner, -150)
    await first.commit()
    await second.commit()
    assert await stored_balance(ledger, 0) + await stored_balance(ledger, partner) == -100


async def test_the_same_row_is_not(ledger: Ledger) -> None:
    first, second = ledger.begin(), ledger.begin()
    for txn in (first, second):
        await balance(ledger, txn, 0)
    await ledger.add(first, 0, -150)
    await first.commit()
    with pytest.raises(Conflict):
        await ledger.add(second, 0, -150)
