"""Long fork: two readers never disagree on the order of two independent writes on different shards [R3]."""

from __future__ import annotations

import pytest

from tests.fakes.ledger import Ledger
from tests.isolation.scenes import balance, set_balance
from txguard.engine import failpoints


async def fork(ledger: Ledger) -> tuple[tuple[int, int], tuple[int, int]]:
    """(x, y) as the early and as the late reader see them; x is written first, each in a commit of its own."""
    early, late = ledger.begin(), ledger.begin()
    x_early = await balance(ledger, early, 0)
    await set_balance(ledger, 0, 1)
    x_late, y_late = await balance(ledger, late, 0), await balance(ledger, late, 1)
    await set_balance(ledger, 1, 2)
    y_early = await balance(ledger, early, 1)
    await early.rollback()
    await late.rollback()
    return (x_early, y_early), (x_late, y_late)


async def test_readers_agree(ledger: Ledger) -> None:
    assert await fork(ledger) == ((100, 100), (1, 100))


async def test_without_too_new_versions_left_out_they_do_not(ledger: Ledger) -> None:
    failpoints.enable("without_R3", "on")
    seen = await fork(ledger)
    with pytest.raises(AssertionError):
        assert seen == ((100, 100), (1, 100))
    assert seen == ((100, 2), (1, 100)), "one saw only x, the other only y"
