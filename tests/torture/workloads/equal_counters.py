"""equal counters (Vitess' fuzzer): one counter and one log on each shard, and every transaction writes all of them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, ClassVar

from tests.torture.client import Attempt, Client
from tests.torture.history import Outcome
from tests.torture.workloads.workload import Run, Workload


class EqualCounters(Workload):
    name = "equal-counters"
    tables: ClassVar = {
        "counter": "id INT PRIMARY KEY, n INT NOT NULL, total INT NOT NULL",
        "counter_log": "id INT, n INT, txn INT NOT NULL, PRIMARY KEY (id, n)",
    }

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.rows: dict[str, int] = {}

    async def fill(self, run: Run, homes: Mapping[int, str]) -> None:
        for key, shard in homes.items():
            self.rows.setdefault(shard, key)
        for key in self.rows.values():
            await run(f"INSERT INTO counter (id, n, total) VALUES ({key}, 0, 0)")

    async def step(self, client: Client) -> None:
        if self.rng.random() < 0.25:
            await client.single("read", None, self._counters, read_only=True)
            return
        asked = [next(self.ids), self.rng.randint(1, 9)]
        keys = sorted(self.rows.values())
        if self.rng.random() < 0.1:  # deadlocks over shards
            self.rng.shuffle(keys)

        async def add(attempt: Attempt) -> Any:
            for key in keys:
                await attempt.run(
                    f"UPDATE counter SET n = n + 1, total = total + {asked[1]} WHERE id = {key}"
                )
                await attempt.run(
                    f"INSERT INTO counter_log SELECT id, n, {asked[0]} FROM counter WHERE id = {key}"
                )
            return asked

        await client.transaction("add", asked, add)

    async def finish(self, client: Client) -> bool:
        return await client.transaction("final", None, self._everything, read_only=True) is Outcome.OK

    async def _counters(self, attempt: Attempt) -> Any:
        shards = {key: shard for shard, key in self.rows.items()}
        keys = ", ".join(map(str, shards))
        rows = await attempt.run(f"SELECT id, n, total FROM counter WHERE id IN ({keys})")
        return sorted([shards[key], n, total] for key, n, total in rows)

    async def _everything(self, attempt: Attempt) -> Any:
        counters = await self._counters(attempt)
        logs = []
        for shard, key in sorted(self.rows.items()):
            rows = await attempt.run(f"SELECT txn FROM counter_log WHERE id = {key} ORDER BY n")
            logs.append([shard, [txn for (txn,) in rows]])
        return {"counters": counters, "logs": logs}
