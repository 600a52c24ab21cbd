"""foreign keys within a shard: children come, and parents go with all their children; half of it on other shards."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from tests.torture.client import Attempt, Client
from tests.torture.history import Outcome
from tests.torture.workloads.workload import Workload

PARENTS: Final = 9


class ForeignKeys(Workload):
    name = "foreign-keys"
    tables: ClassVar = {
        "parent": "id INT PRIMARY KEY",
        "child": "parent_id INT, id INT, PRIMARY KEY (parent_id, id), "
        "FOREIGN KEY (parent_id) REFERENCES parent (id)",
        "family_log": "id INT PRIMARY KEY",
    }

    async def step(self, client: Client) -> None:
        kind = self.rng.random()
        if kind < 0.25:
            await client.transaction("read", None, self._read, read_only=True)
        elif kind < 0.45:
            await self._remove(client)
        else:
            await self._enter(client)

    async def finish(self, client: Client) -> bool:
        return await client.transaction("final", None, self._read, read_only=True) is Outcome.OK

    async def _enter(self, client: Client) -> None:
        child, parent = next(self.ids), self.rng.randrange(PARENTS)

        async def enter(attempt: Attempt) -> Any:
            if not await attempt.run(f"SELECT id FROM parent WHERE id = {parent}"):
                await attempt.run(f"INSERT INTO parent (id) VALUES ({parent})")
            await attempt.run(f"INSERT INTO child (parent_id, id) VALUES ({parent}, {child})")
            await attempt.run(f"INSERT INTO family_log (id) VALUES ({child})")
            return [child, parent]

        async def blind(attempt: Attempt) -> Any:
            """The parent is there, or 1452."""
            await attempt.run(f"INSERT INTO family_log (id) VALUES ({child})")
            await attempt.run(f"INSERT INTO child (parent_id, id) VALUES ({parent}, {child})")
            return [child, parent]

        body = self.rng.choice((enter, blind))
        await client.transaction("enter", [child, parent], body)

    async def _remove(self, client: Client) -> None:
        parent, log_id = self.rng.randrange(PARENTS), next(self.ids)

        async def remove(attempt: Attempt) -> Any:
            rows = await attempt.run(f"SELECT id FROM child WHERE parent_id = {parent} FOR UPDATE")
            attempt.known = [parent, [row[0] for row in rows]]
            await attempt.run(f"DELETE FROM child WHERE parent_id = {parent}")
            await attempt.run(f"DELETE FROM parent WHERE id = {parent}")
            await attempt.run(f"INSERT INTO family_log (id) VALUES ({log_id})")
            return attempt.known

        await client.transaction("remove", [parent, []], remove)

    async def _read(self, attempt: Attempt) -> Any:
        children = await attempt.run("SELECT parent_id, id FROM child")
        parents = await attempt.run("SELECT id FROM parent")
        return [[row[0] for row in parents], [list(row) for row in children]]
