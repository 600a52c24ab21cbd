"""A catalog, its counters and data definition on three real shards, as the server composes them: for tests.

The servers are shared with other tests, so a file of tests begins and ends with neither `_txguard` nor `DATABASES`
there (`pristine`); between its tests only their contents are taken away, which is much quicker.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import pymysql

from proxy.ddl.ddl import Ddl, DdlResult
from proxy.ddl.hints import Hint
from proxy.ddl.workshop import Client, Workshop
from proxy.routing.catalog import Catalog
from proxy.routing.catalog_store import CatalogStore
from proxy.routing.control import string
from proxy.routing.sequences import Sequences
from proxy.routing.table_facts import TableId
from proxy.sql.plan import DdlKind, DdlPlan, TableName
from tso.api import Tso
from tso.types import Begun, ShardName, Timestamp
from txguard.engine.aiomysql_shard import AiomysqlShard, Dsn
from txguard.engine.shard import Value

DATABASES = ("shop", "depot")
KEPT = ("catalog", "catalog_slot", "catalog_table", "sequence", "ddl_intent", "managed")
"""The tables of `_txguard` that data definition fills."""


class CountingTso:
    """As much of an oracle as data definition asks for."""

    def __init__(self) -> None:
        self._counter = itertools.count(1_000)

    async def begin(self) -> Begun:
        now = Timestamp(next(self._counter))
        return Begun(now, now)

    async def end(self, start_ts: Timestamp) -> None:
        pass


class Bench:
    """`shards` in the order s1, s2, s3; `s1` is the authority."""

    def __init__(self, servers: Sequence[Any], configured: dict[TableId, Hint] | None = None) -> None:
        self.shards = {
            ShardName(f"s{number}"): AiomysqlShard(
                ShardName(f"s{number}"), Dsn(host=server.host, port=server.port, password=server.password)
            )
            for number, server in enumerate(servers, 1)
        }
        self.configured = configured
        self.tso = CountingTso()
        self.clock = 0.0
        self.restart()

    def restart(self) -> None:
        """A new process on the same shards; `load` is still to be called."""
        self.store = CatalogStore(self.shards, timeout_s=5)
        self.sequences = Sequences(self.shards, lambda: self.store.current, lambda: self.clock)
        tso = cast(Tso, self.tso)
        self.workshop = Workshop(self.store, self.sequences, tso, timeout_s=5, lock_wait_timeout_s=2)
        self.ddl = Ddl(self.workshop, self.configured)

    @property
    def catalog(self) -> Catalog:
        return self.store.current

    async def sql(self, shard: str, *statements: str) -> list[tuple[Value, ...]]:
        """The rows of the last statement, run on one shard past the proxy."""
        async with self.shards[ShardName(shard)].connection() as connection:
            answers = await connection.run(statements, 20)
        return [tuple(row) for row in answers[-1].rows]

    async def everywhere(self, *statements: str) -> list[list[tuple[Value, ...]]]:
        return [await self.sql(shard, *statements) for shard in self.shards]

    async def names(self, shard: str, query: str) -> set[str]:
        return {string(row[0]) for row in await self.sql(shard, query)}

    async def tables_on(self, shard: str, schema: str = "shop") -> set[str]:
        query = f"SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{schema}'"
        return await self.names(shard, query)

    async def run(
        self,
        kind: DdlKind,
        text: str,
        *tables: str,
        conditional: bool = False,
        hints: Iterable[tuple[str, str]] = (),
        database: str | None = None,
        current: str | None = "shop",
    ) -> DdlResult:
        """One statement, as the planner would hand it over; a table without a database is in `shop`."""
        names = tuple(
            TableName(*table.split(".")) if "." in table else TableName("shop", table) for table in tables
        )
        plan = DdlPlan(kind, text, names, database, conditional, tuple(hints))
        return await self.ddl.run(plan, Client(current))

    async def create(self, text: str, *, name: str | None = None, **options: Any) -> DdlResult:
        name = name or text.split("(")[0].split()[-1]
        return await self.run(DdlKind.CREATE_TABLE, text, name, **options)

    async def create_database(self, name: str = "shop", text: str | None = None) -> None:
        await self.run(
            DdlKind.CREATE_DATABASE, text or f"CREATE DATABASE {name}", database=name, current=None
        )

    async def clean(self) -> None:
        """Take away all that tests have made, but not the tables of `_txguard` itself."""
        for shard in self.shards:
            tables = await self.tables_on(shard, "_txguard")
            present = await self.names(shard, "SHOW DATABASES")
            databases = [f"DROP DATABASE `{name}`" for name in DATABASES if name in present]
            histories = [f"DROP TABLE _txguard.`{name}`" for name in tables if name.startswith("h_")]
            emptied = [f"DELETE FROM _txguard.`{name}`" for name in KEPT if name in tables]
            without_checks = ["SET foreign_key_checks = 0", *databases, "SET foreign_key_checks = 1"]
            await self.sql(shard, *without_checks, *histories, *emptied)

    def close(self) -> None:
        for shard in self.shards.values():
            shard.close()


def remove_everything(servers: Sequence[Any]) -> None:
    for server in servers:
        connection = pymysql.connect(
            host=server.host, port=server.port, user="root", password=server.password
        )
        with contextlib.closing(connection), connection.cursor() as cursor:
            for name in (*DATABASES, "_txguard"):
                cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")


@contextmanager
def pristine(servers: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """For a fixture of one file's tests."""
    remove_everything(servers)
    try:
        yield servers
    finally:
        remove_everything(servers)


@asynccontextmanager
async def open_bench(
    servers: Sequence[Any], configured: dict[TableId, Hint] | None = None
) -> AsyncIterator[Bench]:
    bench = Bench(servers, configured)
    try:
        await bench.clean()
        await bench.store.load()
        yield bench
    finally:
        await bench.clean()
        bench.close()
