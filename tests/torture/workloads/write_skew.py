"""write skew: two transactions of a key each read both tables and, seeing no row, insert into their own."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from tests.torture.client import Attempt, Client, GiveUp
from tests.torture.workloads.workload import Workload

TABLES: Final = ("skew_left", "skew_right")
APART: Final = 500_000
"""Between the keys of the two tables, so that they live on different shards, mostly."""


class WriteSkew(Workload):
    name = "write-skew"
    tables: ClassVar = dict.fromkeys(TABLES, "k INT, id INT, value INT NOT NULL, PRIMARY KEY (k, id)")

    async def step(self, client: Client) -> None:
        """Numbers that follow one another are one key: clients at work at the same time share it."""
        number = next(self.ids)
        key, side = divmod(number, 2)

        async def insert(attempt: Attempt) -> Any:
            for at, table in enumerate(TABLES):
                if await attempt.run(
                    f"SELECT id FROM {table} WHERE k = {key + at * APART} AND value % 3 = 0"
                ):
                    raise GiveUp
            await attempt.run(
                f"INSERT INTO {TABLES[side]} (k, id, value) VALUES ({key + side * APART}, {number}, 30)"
            )
            return [key, side]

        await client.transaction("insert", [key, side], insert)
