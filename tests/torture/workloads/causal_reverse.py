"""causal reverse: single inserts, and reads of all of them whose snapshot begins with one shard."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from tests.torture.client import Attempt, Client
from tests.torture.workloads.workload import Workload

LOOKS: Final = 4


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
        """The snapshot is opened on one shard, and on the others some inserts later."""
        first = self.rng.randint(1, 50)
        for _ in range(LOOKS):
            await attempt.run(f"SELECT id FROM causal WHERE id = {first}")
        return [row[0] for row in await attempt.run("SELECT id FROM causal")]
