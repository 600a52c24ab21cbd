"""What is asked after a write: where that fails, the transaction is gone and its client hears so."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.executor.executor import _undone_on_error
from txguard.engine.shard import ShardUnavailable
from txguard.errors import Conflict


class Transaction:
    rolled_back = False

    async def rollback(self) -> None:
        self.rolled_back = True


@pytest.mark.parametrize(
    ("error", "told"),
    [(ShardUnavailable("s1 is down"), Conflict), (asyncio.CancelledError(), asyncio.CancelledError)],
)
async def test_a_failure_costs_the_transaction(error: BaseException, told: type[BaseException]) -> None:
    unit: Any = SimpleNamespace(transaction=Transaction())
    with pytest.raises(told):
        async with _undone_on_error(unit):
            raise error
    assert unit.transaction.rolled_back


async def test_success_costs_nothing() -> None:
    unit: Any = SimpleNamespace(transaction=Transaction())
    async with _undone_on_error(unit):
        pass
    assert not unit.transaction.rolled_back
