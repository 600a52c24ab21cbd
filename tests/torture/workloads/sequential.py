"""sequential: five subkeys inserted one after the other in different tables, and read in both directions."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from tests.torture.client import Attempt, Client
from tests.torture.history import Outcome
from tests.torture.workloads.workload import Workload

SUBKEYS: Final = 5
TABLES: Final = 3


class Sequential(Workload):
    name = "sequential"
    tables: ClassVar = {f"sequential{n}": "id INT PRIMARY KEY" for n in range(TABLES)}

    def __init__(self, rng: Any) -> None:
        super().__init__(rng)
        self.latest = 0

    async def step(self, client: Client) -> None:
        if client.process % 2:
            await self._read(client)
            return
        self.latest = key = next(self.ids)
        for subkey in range(SUBKEYS):
            if await self._insert(client, key, subkey) is not Outcome.OK:
                return

    async def _insert(self, client: Client, key: int, subkey: int) -> Outcome | None:
        async def insert(attempt: Attempt) -> Any:
            await attempt.run(f"INSERT INTO sequential{subkey % TABLES} (id) VALUES ({_id(key, subkey)})")
            return [key, subkey]

        return await client.single("insert", [key, subkey], insert)

    async def _read(self, client: Client) -> None:
        """In the order of insertion in one snapshot, or the other way round, each with a statement of its own."""
        key = max(0, self.latest - self.rng.randrange(2))
        in_reverse = self.rng.random() < 0.5

        async def read(attempt: Attempt) -> Any:
            there = [0] * SUBKEYS
            for subkey in reversed(range(SUBKEYS)) if in_reverse else range(SUBKEYS):
                there[subkey] = len(
                    await attempt.run(
                        f"SELECT id FROM sequential{subkey % TABLES} WHERE id = {_id(key, subkey)}"
                    )
                )
            return [key, there]

        way = client.single if in_reverse else client.transaction
        await way("read", [key, None], read, read_only=True)


def _id(key: int, subkey: int) -> int:
    """Different ids, so that they live on different shards."""
    return key * SUBKEYS + subkey
