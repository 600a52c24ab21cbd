"""The coordinator is killed at every named place of a commit; the next epoch makes every transfer whole or absent.

What is checked after each death: I2 (participants agree), I3 (nothing acknowledged is lost), I8 (no lock or open
local transaction is left within seconds) and I9 (the sum stays) of docs/protocol.md.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from proxy.playground.servers import Server
from tests.fakes.ledger import ACCOUNTS, OPENING_BALANCE, Ledger, addresses_of, open_ledger

SCHEMA = "crash_coordinator"
ROOT = Path(__file__).parents[2]
COMMIT_PLACES = [
    "commit_before_begin=panic@6",
    "commit_after_begin=panic@6",
    "prewrite_before_send=panic@11",
    "prewrite_before_send=panic@12",
    "prewrite_one_done=panic@11",
    "prewrite_one_done=panic@12",
    "commit_before_end=panic@6",
    "commit_after_end=panic@6",
    "decided_mark_before_rise=panic@2",
]
RESOLVE_PLACES = [
    "resolve_before_tombstone",
    "resolve_one_tombstone",
    "resolve_after_decide",
    "resolve_one_undone",
    "resolve_before_end",
]


async def coordinator(servers: Sequence[Server], failpoints: str, first: int) -> tuple[int, list[int]]:
    """Run one until it ends; answers its exit code and the transfers that it acknowledged."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.crash.coordinator",
        SCHEMA,
        str(first),
        str(random.SystemRandom().randrange(1 << 30)),
        *(f"{address.host}:{address.port}" for address in addresses_of(servers)),
        cwd=ROOT,
        env={**os.environ, "TXGUARD_FAILPOINTS": failpoints},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    lines = output.decode().split()
    assert lines[:1] == ["ready"], lines
    assert process.returncode is not None
    return process.returncode, [int(line) for line in lines[1:]]


async def check(ledger: Ledger, acknowledged: Sequence[int]) -> None:
    assert await ledger.total() == ACCOUNTS * OPENING_BALANCE, "a reader saw a part of an undecided transfer"
    assert await ledger.locks_left(4) == 0
    assert await ledger.total() == ACCOUNTS * OPENING_BALANCE
    entries = await ledger.entries()
    torn = {transfer: amounts for transfer, amounts in entries.items() if len(amounts) != 2 or sum(amounts)}
    assert not torn
    assert not set(acknowledged) - set(entries), "an acknowledged transfer is lost"


@pytest.mark.parametrize("place", COMMIT_PLACES)
async def test_a_coordinator_killed_in_commit_leaves_nothing_undecided(
    shard_servers: Sequence[Server], place: str
) -> None:
    async with open_ledger(addresses_of(shard_servers), SCHEMA) as ledger:
        await ledger.create()
    code, acknowledged = await coordinator(shard_servers, place, first=1)
    assert code == -9, "the failpoint was not reached"
    assert acknowledged or place.startswith(("locks", "prewrite", "commit"))
    async with open_ledger(addresses_of(shard_servers), SCHEMA) as ledger:
        await check(ledger, acknowledged)
        await ledger.transfer(10_000, 0, 1, 1)
        await check(ledger, [*acknowledged, 10_000])


@pytest.mark.parametrize("place", RESOLVE_PLACES)
async def test_a_resolver_killed_anywhere_leaves_its_work_to_the_next(
    shard_servers: Sequence[Server], place: str
) -> None:
    async with open_ledger(addresses_of(shard_servers), SCHEMA) as ledger:
        await ledger.create()
    code, acknowledged = await coordinator(shard_servers, "prewrite_one_done=panic@12", first=1)
    assert code == -9
    # The next one dies in resolving what the first has left, or what a prewrite of its own that fails leaves.
    code, more = await coordinator(shard_servers, f"{place}=panic;prewrite_before_send=error@7", first=1_000)
    assert code == -9, "the failpoint was not reached"
    async with open_ledger(addresses_of(shard_servers), SCHEMA) as ledger:
        await check(ledger, [*acknowledged, *more])
