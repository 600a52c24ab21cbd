"""monotonic: eight counters that are read, incremented and written back; reads of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from tests.torture.client import Attempt, Client
from tests.torture.workloads.workload import Run, Workload

COUNTERS: Final = 8


class Monotonic(Workload):
    name = "monotonic"
    tables: ClassVar = {"monotonic": "id INT PRIMARY KEY, val INT NOT NULL"}

    async def fill(self, run: Run, homes: Mapping[int, str]) -> None:
        await run("INSERT INTO monotonic (id, val) VALUES " + ", ".join(f"({n}, 0)" for n in range(COUNTERS)))

    async def step(self, client: Client) -> None:
        kind = self.rng.random()
        if kind < 0.2:
            await client.single("read", None, self._statement, read_only=True)
        elif kind < 0.4:
            await client.transaction("read", None, self._one_by_one, read_only=True)
        else:
            key = self.rng.randrange(COUNTERS)

            async def increment(attempt: Attempt) -> Any:
                [[value]] = await attempt.run(f"SELECT val FROM monotonic WHERE id = {key}")
                attempt.known = [key, value + 1]
                await attempt.run(f"UPDATE monotonic SET val = {value + 1} WHERE id = {key}")
                return [key, value + 1]

            await client.transaction("increment", [key, None], increment)

    async def _statement(self, attempt: Attempt) -> Any:
        return [list(row) for row in await attempt.run("SELECT id, val FROM monotonic")]

    async def _one_by_one(self, attempt: Attempt) -> Any:
        found = []
        for key in self.rng.sample(range(COUNTERS), COUNTERS):
            found += [
                list(row) for row in await attempt.run(f"SELECT id, val FROM monotonic WHERE id = {key}")
            ]
        return found
