"""set: what was acknowledged is there. As rows, and as one row that is read, changed and written back (set-cas)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from tests.torture.client import Attempt, Client
from tests.torture.history import Outcome
from tests.torture.workloads.workload import Run, Workload

NEVER: Final = 10_000_000
"""Elements from here on are never acknowledged."""


class Set(Workload):
    name = "set"
    tables: ClassVar = {
        "element": "id INT PRIMARY KEY",
        "element_shadow": "id INT PRIMARY KEY",
    }

    async def step(self, client: Client) -> None:
        if self.rng.random() < 0.2:
            await client.single("read", None, self._read, read_only=True)
            return
        element = next(self.ids)

        async def add(attempt: Attempt) -> Any:
            await attempt.run(f"INSERT INTO element (id) VALUES ({element})")
            return element

        async def add_two(attempt: Attempt) -> Any:
            if self.rng.random() < 0.2:
                await self._add_in_vain(attempt)
            await attempt.run(f"INSERT INTO element_shadow (id) VALUES ({element + 1_000_000})")
            return await add(attempt)

        if self.rng.random() < 0.5:
            await client.single("add", element, add)
        else:
            await client.transaction("add", element, add_two)

    async def finish(self, client: Client) -> bool:
        return await client.single("read", None, self._read, read_only=True) is Outcome.OK

    async def _read(self, attempt: Attempt) -> Any:
        return sorted(row[0] for row in await attempt.run("SELECT id FROM element"))

    async def _add_in_vain(self, attempt: Attempt) -> None:
        """Rows on several shards in one statement, the last of which is there twice: nothing of it may stay."""
        first = NEVER + 3 * next(self.ids)
        rows = ", ".join(f"({number})" for number in (first, first + 1, first + 2, first + 2))
        if not await attempt.refused(f"INSERT INTO element (id) VALUES {rows}", 1062):
            raise ValueError("a duplicate was accepted")


class SetCas(Workload):
    name = "set-cas"
    tables: ClassVar = {
        "whole_set": "id INT PRIMARY KEY, val MEDIUMTEXT NOT NULL",
        "whole_set_log": "id INT PRIMARY KEY",
    }
    clients = 3

    async def fill(self, run: Run, homes: Mapping[int, str]) -> None:
        await run("INSERT INTO whole_set (id, val) VALUES (0, '')")

    async def step(self, client: Client) -> None:
        if self.rng.random() < 0.2:
            await client.single("read", None, self._read, read_only=True)
            return
        element = next(self.ids)

        async def add(attempt: Attempt) -> Any:
            elements = [*await self._read(attempt), element]
            await attempt.run(f"INSERT INTO whole_set_log (id) VALUES ({element})")
            await attempt.run(f"UPDATE whole_set SET val = '{','.join(map(str, elements))}' WHERE id = 0")
            return element

        await client.transaction("add", element, add)

    async def finish(self, client: Client) -> bool:
        return await client.single("read", None, self._read, read_only=True) is Outcome.OK

    async def _read(self, attempt: Attempt) -> Any:
        [[text]] = await attempt.run("SELECT val FROM whole_set WHERE id = 0")
        return [int(element) for element in text.split(",") if element]
