"""append (Jepsen, for Elle): transactions of one to four reads and appends over some tables."""

from __future__ import annotations

import random
from typing import Any, ClassVar, Final

from tests.torture.anomalies import Level
from tests.torture.client import Attempt, Client
from tests.torture.history import Outcome
from tests.torture.workloads.workload import Workload

TABLES: Final = 3
ACTIVE_KEYS: Final = 10
WRITES_PER_KEY: Final = 256


REGRETS: Final = 0.1
"""How often an append follows one that is undone by ROLLBACK TO: nobody may ever read that."""
REGRETTED: Final = 9_000_000


class KeyPool:
    """Keys in use, the first ones more often (each half as often as the one before); a full one is replaced."""

    def __init__(self, rng: random.Random, writes_per_key: int = WRITES_PER_KEY) -> None:
        self._rng, self._writes_per_key = rng, writes_per_key
        self._writes: dict[int, int] = {}
        self.active = list(range(ACTIVE_KEYS))
        self.used = ACTIVE_KEYS

    def pick(self) -> int:
        place = 0
        while place < len(self.active) - 1 and self._rng.random() < 0.5:
            place += 1
        return self.active[place]

    def next_write(self, key: int) -> int:
        """A value that the key has never had."""
        number = self._writes[key] = self._writes.get(key, 0) + 1
        if number >= self._writes_per_key and key in self.active:
            self.active[self.active.index(key)] = self.used
            self.used += 1
        return number


class Append(Workload):
    name = "append"
    levels = (Level.SNAPSHOT, Level.SNAPSHOT, Level.SERIALIZABLE, Level.READ_COMMITTED)
    tables: ClassVar = {f"append{n}": "id INT PRIMARY KEY, val TEXT NOT NULL" for n in range(TABLES)}
    clients = 6

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.pool = KeyPool(rng)

    async def step(self, client: Client) -> None:
        asked = [self._operation() for _ in range(self.rng.randint(1, 4))]
        if len(asked) == 1:
            read_only = asked[0][0] == "r"
            await client.single("txn", asked, lambda attempt: self._all(attempt, asked), read_only=read_only)
        else:
            await client.transaction("txn", asked, lambda attempt: self._all(attempt, asked))

    async def finish(self, client: Client) -> bool:
        asked: list[list[Any]] = [["r", key, None] for key in range(self.pool.used)]
        return await client.transaction("txn", asked, lambda a: self._all(a, asked)) is Outcome.OK

    def _operation(self) -> list[Any]:
        key = self.pool.pick()
        return ["r", key, None] if self.rng.random() < 0.5 else ["append", key, self.pool.next_write(key)]

    async def _all(self, attempt: Attempt, asked: list[list[Any]]) -> list[list[Any]]:
        done = [list(operation) for operation in asked]
        attempt.known = done
        for operation in done:
            what, key, value = operation
            table = f"append{key % TABLES}"
            if what == "append":
                if len(asked) > 1 and self.rng.random() < REGRETS:
                    await self._regret(attempt)
                await attempt.run(_append(key, value))
            else:
                rows = await attempt.run(f"SELECT val FROM {table} WHERE id = {key}")
                operation[2] = [int(element) for element in rows[0][0].split(",")] if rows else []
        return done

    async def _regret(self, attempt: Attempt) -> None:
        await attempt.run("SAVEPOINT regret")
        await attempt.run(_append(self.pool.pick(), REGRETTED + next(self.ids)))
        await attempt.run("ROLLBACK TO regret")


def _append(key: int, value: int) -> str:
    return (
        f"INSERT INTO append{key % TABLES} (id, val) VALUES ({key}, '{value}') "
        f"ON DUPLICATE KEY UPDATE val = CONCAT(val, ',', '{value}')"
    )
