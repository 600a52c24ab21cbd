"""The ground of a run: the tables of all workloads on a cluster, made once and emptied before each round."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiomysql

from tests.torture.anomalies import Level
from tests.torture.client import BROKEN, errno_of
from tests.torture.cluster import Cluster
from tests.torture.faults.links import HOST
from tests.torture.workloads import WORKLOADS, Workload

DATABASE: Final = "torture"
HOMES: Final = 60
PREPARE_WITHIN_S: Final = 30.0
NOT_SUPPORTED: Final = 1235
ALREADY_DONE: Final = frozenset({1007, 1050, 1062})


class NotAnswering(Exception):
    """A part of the cluster on which no fault is did not answer in time."""


@dataclass(slots=True)
class Arena:
    cluster: Cluster
    homes: dict[int, str] = field(default_factory=dict)
    levels: set[Level] = field(default_factory=set)
    """Those that the proxies offer."""

    async def open(self, workloads: Iterable[str]) -> None:
        await self.insist(f"CREATE DATABASE {DATABASE}", database=None)
        await self._make("home", "id INT PRIMARY KEY, touched INT NOT NULL DEFAULT 0")
        for name in workloads:
            for table, definition in WORKLOADS[name].tables.items():
                await self._make(table, definition)
        await self.insist("INSERT INTO home (id) VALUES " + ", ".join(f"({n})" for n in range(HOMES)))
        self.homes = await self._find_homes()
        self.levels = {level for level in Level if await self._offers(level)}
        for port in self.cluster.client_ports:  # the others hear of new tables a little later
            await self.insist("SELECT COUNT(*) FROM home", port)
            for name in workloads:
                for table in WORKLOADS[name].tables:
                    await self.insist(f"SELECT COUNT(*) FROM {table}", port)

    async def empty_and_fill(self, workload: Workload) -> None:
        for table in reversed(list(workload.tables)):
            await self.insist(f"DELETE FROM {table}")

        async def run(sql: str) -> Sequence[Sequence[Any]]:
            return await self.insist(sql)

        await workload.fill(run, self.homes)

    async def insist(
        self, sql: str, port: int | None = None, *, database: str | None = DATABASE
    ) -> Sequence[Sequence[Any]]:
        """Until it is answered: only what may be done twice. Raises NotAnswering."""
        deadline = time.monotonic() + PREPARE_WITHIN_S
        while True:
            try:
                return await self.run(sql, port=port, database=database)
            except BROKEN as error:
                if time.monotonic() > deadline or errno_of(error) == NOT_SUPPORTED:
                    raise NotAnswering(f"{sql}: {type(error).__name__} {error}") from error
                if errno_of(error) in ALREADY_DONE:  # the answer to the try before was lost
                    return ()
                await asyncio.sleep(0.1)

    async def run(
        self, sql: str, *, port: int | None = None, database: str | None = DATABASE
    ) -> Sequence[Sequence[Any]]:
        """One statement on a connection of its own."""
        async with asyncio.timeout(15):
            connection = await aiomysql.connect(
                host=HOST,
                port=port or self.cluster.client_ports[0],
                user="root",
                db=database,
                autocommit=True,
            )
            try:
                async with connection.cursor() as cursor:
                    await cursor.execute(sql)
                    return list(await cursor.fetchall())
            finally:
                connection.close()

    async def _make(self, table: str, definition: str) -> None:
        await self.insist(f"CREATE TABLE {table} ({definition})")

    async def _offers(self, level: Level) -> bool:
        try:
            await self.run(f"SET SESSION TRANSACTION ISOLATION LEVEL {level.value}")
        except BROKEN as error:
            if errno_of(error) != NOT_SUPPORTED:
                raise
            return False
        return True

    async def _find_homes(self) -> dict[int, str]:
        """Asked at the servers, so that this knows nothing of the hash."""
        homes = {}
        for number, server in enumerate(self.cluster.servers, 1):
            connection = await aiomysql.connect(host=server.host, port=server.port, user=server.user)
            async with connection.cursor() as cursor:
                await cursor.execute(f"SELECT id FROM {DATABASE}.home ORDER BY id")
                homes.update({int(key): f"s{number}" for (key,) in await cursor.fetchall()})
            connection.close()
        return homes
