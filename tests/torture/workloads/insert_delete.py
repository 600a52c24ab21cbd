"""insert/delete of the same key: who finds a row deletes it, who finds none inserts one; a journal elsewhere."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from tests.torture.client import Attempt, Client
from tests.torture.history import Outcome
from tests.torture.workloads.workload import Workload

KEYS: Final = 6


class InsertDelete(Workload):
    name = "insert-delete"
    tables: ClassVar = {
        "thing": "id INT PRIMARY KEY, incarnation INT NOT NULL",
        "thing_journal": "id INT PRIMARY KEY, thing INT NOT NULL, what VARCHAR(6) NOT NULL, "
        "incarnation INT NOT NULL",
    }

    async def step(self, client: Client) -> None:
        flip_id, key = next(self.ids), self.rng.randrange(KEYS)
        locking = self.rng.choice(("", "", " FOR UPDATE"))

        async def flip(attempt: Attempt) -> Any:
            rows = await attempt.run(f"SELECT incarnation FROM thing WHERE id = {key}{locking}")
            what, incarnation = ("delete", rows[0][0]) if rows else ("insert", flip_id)
            attempt.known = [flip_id, key, what, incarnation]
            if rows:
                await attempt.run(f"DELETE FROM thing WHERE id = {key}")
            else:
                await attempt.run(f"INSERT INTO thing (id, incarnation) VALUES ({key}, {flip_id})")
            await attempt.run(
                "INSERT INTO thing_journal (id, thing, what, incarnation) "
                f"VALUES ({flip_id}, {key}, '{what}', {incarnation})"
            )
            return attempt.known

        await client.transaction("flip", [flip_id, key, None, None], flip)

    async def finish(self, client: Client) -> bool:
        return await client.transaction("final", None, self._everything, read_only=True) is Outcome.OK

    async def _everything(self, attempt: Attempt) -> Any:
        rows = await attempt.run("SELECT id, incarnation FROM thing")
        journal = await attempt.run("SELECT id, thing, what, incarnation FROM thing_journal")
        return {"rows": [list(row) for row in rows], "journal": [list(row) for row in journal]}
