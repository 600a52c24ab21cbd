"""causal reverse: single inserts, and reads of all of them whose snapshot begins with one shard."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.torture.client import Attempt, Client
from tests.torture.workloads.workload import Workload


class CausalReverse(Workload):
    name = "causal-reverse"
    tables: ClassVar = {"causal": "id INT PRIMARY KEY"}

    async def step(self, client: Client) -> None:
        if self.rng.random() < 0.4:
            await client.transaction("read", None, self._read, read_only=True)
            return
        element = next(self.ids)

        async def insert(attempt: Attempt) -> Any:
            await attempt.run(f"INSERT INTO causal (id) VALUES ({element})")
            return element

        await client.single("insert", element, insert)

    async def _read(self, attempt: Attempt) -> Any:
        await attempt.run(f"SELECT id FROM causal WHERE id = {self.rng.randint(1, 50)}")
        return [row[0] for row in await attempt.run("SELECT id FROM causal")]
