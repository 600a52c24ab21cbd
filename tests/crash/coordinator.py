"""A coordinator in a process of its own, for tests that let it die: transfers until it is told to die.

Prints a line for every acknowledged transfer. Arguments: schema, first transfer id, seed, then host:port per shard.
Failpoints come by `TXGUARD_FAILPOINTS`, armed only once the ledger is open.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys

FAILPOINTS = os.environ.pop("TXGUARD_FAILPOINTS", "")

from tests.fakes.ledger import Address, Ledger, open_ledger, pick_transfer  # noqa: E402
from txguard.engine import failpoints  # noqa: E402
from txguard.errors import TxGuardError  # noqa: E402

CLIENTS, MOST_TRANSFERS = 4, 400


async def client(ledger: Ledger, rng: random.Random, ids: itertools.count[int], last: int) -> None:
    for transfer in ids:
        if transfer > last:
            return
        try:
            await ledger.transfer(transfer, *pick_transfer(rng))
        except TxGuardError:
            continue
        print(transfer, flush=True)


async def main() -> None:
    schema, first, seed, *shards = sys.argv[1:]
    addresses = [Address(host, int(port)) for host, port in (shard.split(":") for shard in shards)]
    async with open_ledger(addresses, schema) as ledger:
        for item in FAILPOINTS.split(";"):
            if item:
                name, _, action = item.partition("=")
                failpoints.enable(name, action)
        print("ready", flush=True)
        ids = itertools.count(int(first))
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                rng = random.Random(f"{seed}/{number}")
                group.create_task(client(ledger, rng, ids, int(first) + MOST_TRANSFERS))


if __name__ == "__main__":
    asyncio.run(main())
