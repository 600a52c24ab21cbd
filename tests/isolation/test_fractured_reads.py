"""Fractured reads: under load, every sum over all shards is right, in one statement and over several [R2, R3]."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.fakes.ledger import ACCOUNTS, OPENING_BALANCE, Ledger, pick_transfer
from txguard.engine import failpoints
from txguard.errors import TxGuardError

TOTAL = ACCOUNTS * OPENING_BALANCE
WRITERS, READERS = 6, 3


async def play(ledger: Ledger, seconds: float, seed: int) -> tuple[int, list[int]]:
    """Transfers and sums at once, until one is wrong; answers how many sums were taken and the wrong ones."""
    rng = random.Random(seed)
    end = asyncio.get_running_loop().time() + seconds
    taken, wrong = 0, list[int]()
    transfers = iter(range(1, 1_000_000))

    def running() -> bool:
        return asyncio.get_running_loop().time() < end and not wrong

    async def write() -> None:
        while running():
            try:
                await ledger.transfer(next(transfers), *pick_transfer(rng))
            except TxGuardError:
                continue

    async def read() -> None:
        nonlocal taken
        while running():
            txn = ledger.begin()
            try:
                if rng.random() < 0.5:
                    total = sum((await ledger.balances(txn)).values())
                else:
                    parts = [await ledger.balances(txn, [name]) for name in rng.sample(ledger.names, 3)]
                    total = sum(sum(part.values()) for part in parts)
                taken += 1
                if total != TOTAL:
                    wrong.append(total)
            finally:
                await txn.rollback()

    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(write())
        for _ in range(READERS):
            group.create_task(read())
    return taken, wrong


async def test_every_sum_is_right(ledger: Ledger) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    taken, wrong = await play(ledger, 3, seed)
    assert taken > 50
    assert not wrong, f"seed {seed}"
    assert await ledger.locks_left(5) == 0
    assert await ledger.total() == TOTAL


@pytest.mark.parametrize("rule", ["R2", "R3"])
async def test_without_the_rule_sums_are_wrong(ledger: Ledger, rule: str) -> None:
    failpoints.enable(f"without_{rule}", "on")
    failpoints.enable("prewrite_before_send", "sleep:0.01%0.3")
    _, wrong = await play(ledger, 10, seed=1)
    assert wrong
