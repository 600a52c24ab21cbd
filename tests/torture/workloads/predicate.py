"""predicate: rows 2i and 2i + 1 are inserted in one transaction, while all rows are selected."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.torture.client import Attempt, Client
from tests.torture.workloads.workload import Workload


class Predicate(Workload):
    name = "predicate"
    tables: ClassVar = {"predicate": "id INT PRIMARY KEY, val INT NOT NULL"}

    async def step(self, client: Client) -> None:
        if self.rng.random() < 0.4:
            await client.single("read", None, self._read, read_only=True)
            return
        number = next(self.ids)

        async def insert(attempt: Attempt) -> Any:
            await attempt.run(f"INSERT INTO predicate (id, val) VALUES ({2 * number}, 1)")
            await attempt.run(f"INSERT INTO predicate (id, val) VALUES ({2 * number + 1}, 1)")
            return number

        async def insert_both(attempt: Attempt) -> Any:
            await attempt.run(
                f"INSERT INTO predicate (id, val) VALUES ({2 * number}, 1), ({2 * number + 1}, 1)"
            )
            return number

        if self.rng.random() < 0.5:
            await client.transaction("insert", number, insert)
        else:
            await client.single("insert", number, insert_both)

    async def _read(self, attempt: Attempt) -> Any:
        return sorted(row[0] for row in await attempt.run("SELECT id FROM predicate WHERE val = 1"))
