"""unique keys: tokens that are unique within their bucket move from owner to owner, freed and taken again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from tests.torture.client import Attempt, Client, GiveUp
from tests.torture.history import Outcome
from tests.torture.workloads.workload import Run, Workload

BUCKET: Final = 1
TOKENS: Final = 4
OWNERS: Final = 12


class UniqueKeys(Workload):
    name = "unique-keys"
    tables: ClassVar = {
        "slot": "bucket INT, owner INT, token INT NOT NULL, n INT NOT NULL, "
        "PRIMARY KEY (bucket, owner), UNIQUE KEY token (bucket, token)",
        "slot_journal": "id INT PRIMARY KEY, token INT NOT NULL, n INT NOT NULL, owner INT NOT NULL",
    }

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"tokens": TOKENS}

    async def fill(self, run: Run, homes: Mapping[int, str]) -> None:
        for token in range(TOKENS):
            await run(f"INSERT INTO slot (bucket, owner, token, n) VALUES ({BUCKET}, {token}, {token}, 0)")

    async def step(self, client: Client) -> None:
        if self.rng.random() < 0.3:
            await client.single("read", None, self._read, read_only=True)
            return
        move_id, token, owner = next(self.ids), self.rng.randrange(TOKENS), self.rng.randrange(OWNERS)
        by_update = self.rng.random() < 0.5
        locking = self.rng.choice(("", " FOR UPDATE"))

        async def move(attempt: Attempt) -> Any:
            rows = await attempt.run(
                f"SELECT n FROM slot WHERE bucket = {BUCKET} AND token = {token}{locking}"
            )
            if not rows and locking:
                # REPEATABLE READ on MySQL, a single one too: it waited for an entry whose row moved before it.
                raise GiveUp
            [[number]] = rows
            attempt.known = [move_id, token, number + 1, owner]
            await attempt.run(
                f"INSERT INTO slot_journal (id, token, n, owner) "
                f"VALUES ({move_id}, {token}, {number + 1}, {owner})"
            )
            where = f"WHERE bucket = {BUCKET} AND token = {token}"
            if by_update:
                await attempt.run(f"UPDATE slot SET owner = {owner}, n = {number + 1} {where}")
            else:
                await attempt.run(f"DELETE FROM slot {where}")
                await attempt.run(
                    f"INSERT INTO slot (bucket, owner, token, n) "
                    f"VALUES ({BUCKET}, {owner}, {token}, {number + 1})"
                )
            return attempt.known

        await client.transaction("move", [move_id, token, None, owner], move)

    async def finish(self, client: Client) -> bool:
        return await client.transaction("final", None, self._everything, read_only=True) is Outcome.OK

    async def _read(self, attempt: Attempt) -> Any:
        rows = await attempt.run(f"SELECT token, n, owner FROM slot WHERE bucket = {BUCKET}")
        return sorted(list(row) for row in rows)

    async def _everything(self, attempt: Attempt) -> Any:
        slots = await self._read(attempt)
        journal = await attempt.run("SELECT id, token, n, owner FROM slot_journal")
        return {"slots": slots, "journal": [list(row) for row in journal]}
