"""long fork: a writer inserts one fresh key, then the keys of its group are read in random order."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from tests.torture.client import Attempt, Client
from tests.torture.workloads.workload import Workload

GROUP: Final = 10


class LongFork(Workload):
    name = "long-fork"
    tables: ClassVar = {"fork": "id INT PRIMARY KEY"}

    async def step(self, client: Client) -> None:
        key = next(self.ids)
        group = key // GROUP

        async def write(attempt: Attempt) -> Any:
            await attempt.run(f"INSERT INTO fork (id) VALUES ({key})")
            return [group, key]

        async def read(attempt: Attempt) -> Any:
            keys = self.rng.sample(range(group * GROUP, (group + 1) * GROUP), GROUP)
            found = []
            for each in keys:
                there = await attempt.run(f"SELECT id FROM fork WHERE id = {each}")
                found.append([each, len(there)])
            return [group, found]

        await client.single("write", [group, key], write)
        await client.transaction("read", [group, None], read, read_only=True)
