"""The tools that every data definition statement works with.

Owns: `Workshop`: the lock that lets one statement run at a time over all proxies, the intent that outlives a
crash, work on several shards at once, the timestamp of a new table. `Client`: the session whose text is run.

Statements wait for the shards' metadata locks, which open transactions hold, for `lock_wait_timeout_s` at
most.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from proxy.ddl.errors import SystemDatabase
from proxy.ddl.intents import DELETE_INTENT, Intent, put_intent, read_intent
from proxy.routing.catalog import Catalog
from proxy.routing.catalog_rows import WAIT_FOR_CHANGE
from proxy.routing.catalog_store import UNREACHABLE, CatalogStore
from proxy.routing.control import integer, is_system_schema
from proxy.routing.sequences import Sequences
from tso.api import Tso
from tso.types import ShardName
from txguard.engine.concurrent import gather
from txguard.engine.shard import Connection, Rows, borrow
from txguard.engine.sqltext import quote
from txguard.errors import LockWaitTimeout, ShardDown

T = TypeVar("T")

LOCK: Final = "_txguard.ddl"
_STATEMENT_TIMEOUT_S: Final = 24 * 3600.0
"""An index on a big table takes its time; waiting for locks has a bound of its own."""


@dataclass(frozen=True, slots=True)
class Client:
    """Whose statement it is: its database, and the SET statements that make a connection understand its text."""

    database: str | None = None
    settings: tuple[str, ...] = ()


class Workshop:
    def __init__(
        self,
        store: CatalogStore,
        sequences: Sequences,
        tso: Tso,
        *,
        timeout_s: float = 10.0,
        lock_wait_timeout_s: int = 50,
    ) -> None:
        self.store, self.sequences, self.tso = store, sequences, tso
        self.timeout_s = timeout_s
        self._lock_wait_timeout_s = lock_wait_timeout_s
        self._busy = asyncio.Lock()

    @property
    def all_shards(self) -> tuple[ShardName, ...]:
        return self.store.current.all_shards

    # ------------------------------------------------------------ one at a time

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[Intent | None]:
        """Nobody else defines anything during the block, on any proxy. Gives the intent that a crash left behind.

        Raises LockWaitTimeout, and ShardDown unless every shard answers.
        """
        async with self._busy, self._borrow(self.store.authority) as connection:
            wait_s = self.timeout_s + self._lock_wait_timeout_s
            take = f"SELECT GET_LOCK('{LOCK}', {self._lock_wait_timeout_s})"
            [taken] = await connection.run([take], wait_s)
            if integer(taken.rows[0][0] or 0) != 1:
                raise LockWaitTimeout("another proxy is running a data definition statement; try again")
            await self.store.load()
            await self.on_each(self.all_shards, self._ping)
            yield await read_intent(connection, self.timeout_s)
            await connection.run([f"DO RELEASE_LOCK('{LOCK}')"], self.timeout_s)

    async def intend(self, intent: Intent) -> None:
        """Write the intent alone. A crash from here on is recovered from."""
        await self.run_at(self.store.authority, [put_intent(intent)])

    async def stands(self, intent: Intent) -> bool:
        """Whether the statement is still to be finished or undone: its last change has certainly not been made.

        A change whose answer was lost may have been: it ends the intent, and is waited for here. Raises ShardDown.
        """

        async def look(_: ShardName, connection: Connection) -> Intent | None:
            await connection.run([WAIT_FOR_CHANGE], self.timeout_s)
            return await read_intent(connection, self.timeout_s)

        return await self._on(self.store.authority, look) == intent

    async def forget_intent(self) -> None:
        await self.run_at(self.store.authority, [DELETE_INTENT])

    async def change(self, changes: Sequence[str], *, intent: Intent | None = None) -> Catalog:
        """Change the catalog and, in the same local transaction, write the intent or (None) delete it."""
        note = DELETE_INTENT if intent is None else put_intent(intent)
        return await self.store.change([*changes, note])

    # ------------------------------------------------------------ work on shards

    async def on_each(
        self, shards: Iterable[ShardName], work: Callable[[ShardName, Connection], Awaitable[T]]
    ) -> dict[ShardName, T]:
        """Do the work on all at once and wait for all; then raise the first failure, if any."""
        names = list(shards)
        results = await gather([self._on(name, work) for name in names])
        return dict(zip(names, results, strict=True))

    async def run_at(self, shard: ShardName, statements: Sequence[str]) -> list[Rows]:
        async def run(_: ShardName, connection: Connection) -> list[Rows]:
            return await self.define(connection, statements)

        return await self._on(shard, run)

    async def run_on_each(self, shards: Iterable[ShardName], statements: Sequence[str]) -> None:
        async def run(_: ShardName, connection: Connection) -> None:
            await self.define(connection, statements)

        await self.on_each(shards, run)

    async def define(self, connection: Connection, statements: Sequence[str]) -> list[Rows]:
        """Run control statements with the bound on the wait for metadata locks; answers theirs only."""
        bound = f"SET SESSION lock_wait_timeout = {self._lock_wait_timeout_s}"
        reset = "SET SESSION lock_wait_timeout = DEFAULT"
        answers = await connection.run([bound, *statements, reset], _STATEMENT_TIMEOUT_S)
        return answers[1:-1]

    async def run_text(self, shards: Iterable[ShardName], text: str, client: Client) -> None:
        """Run a client's statement as it is, under its settings; raises ShardError as the shard gave it."""

        async def run(_: ShardName, connection: Connection) -> None:
            use = [f"USE {quote(client.database)}"] if client.database is not None else []
            try:
                await self.define(connection, [*client.settings, *use, text])
            finally:
                if client.settings or use:
                    connection.abort()  # nobody else is to get a connection with the client's settings

        await self.on_each(shards, run)

    async def now(self) -> int:
        """A timestamp that every later snapshot is above."""
        begun = await self.tso.begin()
        await self.tso.end(begun.start_ts)
        return begun.start_ts

    async def _on(self, shard: ShardName, work: Callable[[ShardName, Connection], Awaitable[T]]) -> T:
        async with self._borrow(shard) as connection:
            return await work(shard, connection)

    async def _ping(self, _: ShardName, connection: Connection) -> None:
        await connection.run(["DO 0"], self.timeout_s)

    @asynccontextmanager
    async def _borrow(self, shard: ShardName) -> AsyncIterator[Connection]:
        try:
            async with borrow(self.store.shards[shard], self.timeout_s) as connection:
                yield connection
        except UNREACHABLE as error:
            raise ShardDown(
                f"data definition needs every shard, and shard {shard} cannot be reached: {error}"
            ) from error


def refuse_system(schema: str) -> None:
    if is_system_schema(schema):
        raise SystemDatabase(schema)
