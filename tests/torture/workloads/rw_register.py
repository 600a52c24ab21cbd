"""rw-register: transactions of reads and blind writes of unique values; every write raises its row's version."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from tests.torture.anomalies import Level
from tests.torture.client import Attempt, Client
from tests.torture.history import Outcome
from tests.torture.workloads.workload import Workload

KEYS: Final = 12


class RwRegister(Workload):
    name = "rw-register"
    levels = (Level.SNAPSHOT, Level.SNAPSHOT, Level.SERIALIZABLE, Level.READ_COMMITTED)
    tables: ClassVar = {"rw_register": "id INT PRIMARY KEY, version INT NOT NULL, val INT NOT NULL"}

    async def step(self, client: Client) -> None:
        asked = [self._operation() for _ in range(self.rng.randint(1, 4))]
        if len(asked) == 1:
            read_only = asked[0][0] == "r"
            await client.single("txn", asked, lambda a: self._all(a, asked), read_only=read_only)
        else:
            await client.transaction("txn", asked, lambda a: self._all(a, asked))

    async def finish(self, client: Client) -> bool:
        asked: list[list[Any]] = [["r", key, None] for key in range(KEYS)]
        return await client.transaction("txn", asked, lambda a: self._all(a, asked)) is Outcome.OK

    def _operation(self) -> list[Any]:
        key = self.rng.randrange(KEYS)
        return ["r", key, None] if self.rng.random() < 0.5 else ["w", key, next(self.ids)]

    async def _all(self, attempt: Attempt, asked: list[list[Any]]) -> list[list[Any]]:
        done = [list(operation) for operation in asked]
        attempt.known = done
        for operation in done:
            what, key, value = operation
            if what == "w":
                await attempt.run(
                    f"INSERT INTO rw_register (id, version, val) VALUES ({key}, 1, {value}) "
                    f"ON DUPLICATE KEY UPDATE version = version + 1, val = {value}"
                )
            else:
                rows = await attempt.run(f"SELECT version, val FROM rw_register WHERE id = {key}")
                operation[2] = list(rows[0]) if rows else None
        return done
