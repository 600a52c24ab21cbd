"""register: single registers, read, written, and compared and set; each must look as if it happened at one instant.

A write may also be half of a transaction that writes a second row on another shard, so that readers meet it while
it is not decided.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from tests.torture.client import Attempt, Client, GiveUp
from tests.torture.workloads.workload import Run, Workload

KEYS: Final = 8
SHADOW: Final = 1_000


class Register(Workload):
    name = "register"
    tables: ClassVar = {"register": "id INT PRIMARY KEY, val INT NOT NULL"}

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.seen: dict[int, int] = dict.fromkeys(range(KEYS), 0)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"initial": 0}

    async def fill(self, run: Run, homes: Mapping[int, str]) -> None:
        keys = [*range(KEYS), *range(SHADOW, SHADOW + 3 * KEYS)]
        await run("INSERT INTO register (id, val) VALUES " + ", ".join(f"({key}, 0)" for key in keys))

    async def step(self, client: Client) -> None:
        key, new = self.rng.randrange(KEYS), next(self.ids)
        old = self.seen[key]

        async def read(attempt: Attempt) -> Any:
            locking = self.rng.choice(("", "", " FOR UPDATE"))
            [[value]] = await attempt.run(f"SELECT val FROM register WHERE id = {key}{locking}")
            self.seen[key] = value
            return [key, value]

        async def write(attempt: Attempt) -> Any:
            await attempt.run(f"UPDATE register SET val = {new} WHERE id = {key}")
            return [key, new]

        async def write_two(attempt: Attempt) -> Any:
            shadow = SHADOW + self.rng.randrange(3 * KEYS)
            for at in self.rng.sample((key, shadow), 2):
                await attempt.run(f"UPDATE register SET val = {new} WHERE id = {at}")
            return [key, new]

        async def cas(attempt: Attempt) -> Any:
            await attempt.run(f"UPDATE register SET val = {new} WHERE id = {key} AND val = {old}")
            if not attempt.affected:
                raise GiveUp
            return [key, old, new]

        kind = self.rng.random()
        if kind < 0.45:
            await client.single("read", [key, None], read, read_only=True)
        elif kind < 0.6:
            await client.single("write", [key, new], write)
        elif kind < 0.85:
            await client.transaction("write", [key, new], write_two)
        else:
            await client.single("cas", [key, old, new], cas)
