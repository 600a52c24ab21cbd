"""MAV: a writer increments two rows; a reader reads A, writes B to itself, reads B, reads A."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from tests.torture.client import Attempt, Client
from tests.torture.workloads.workload import Run, Workload

PAIRS: Final = 4


class Mav(Workload):
    name = "mav"
    tables: ClassVar = {
        "mav_a": "id INT PRIMARY KEY, val INT NOT NULL",
        "mav_b": "id INT PRIMARY KEY, val INT NOT NULL, touched INT NOT NULL",
    }

    async def fill(self, run: Run, homes: Mapping[int, str]) -> None:
        for pair in range(PAIRS):
            await run(f"INSERT INTO mav_a (id, val) VALUES ({pair}, 0)")
            await run(f"INSERT INTO mav_b (id, val, touched) VALUES ({pair + PAIRS}, 0, 0)")

    async def step(self, client: Client) -> None:
        pair = self.rng.randrange(PAIRS)
        touch = next(self.ids)

        async def increment(attempt: Attempt) -> Any:
            await attempt.run(f"UPDATE mav_a SET val = val + 1 WHERE id = {pair}")
            await attempt.run(f"UPDATE mav_b SET val = val + 1 WHERE id = {pair + PAIRS}")
            return pair

        async def read(attempt: Attempt) -> Any:
            [[a1]] = await attempt.run(f"SELECT val FROM mav_a WHERE id = {pair}")
            await attempt.run(f"UPDATE mav_b SET val = val, touched = {touch} WHERE id = {pair + PAIRS}")
            [[b]] = await attempt.run(f"SELECT val FROM mav_b WHERE id = {pair + PAIRS}")
            [[a2]] = await attempt.run(f"SELECT val FROM mav_a WHERE id = {pair}")
            return [pair, a1, b, a2]

        if self.rng.random() < 0.5:
            await client.transaction("increment", pair, increment)
        else:
            await client.transaction("read", [pair, None, None, None], read)
