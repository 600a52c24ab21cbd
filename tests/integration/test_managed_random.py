"""Random transactions on random tables: a client sees a plain table, an undo restores every byte, and [R3] gives
exactly the snapshots that once were."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.integration.managed_sessions import OneShard, OneTransaction, Row, dump_query, exact_columns
from tests.integration.random_tables import RandomTable, random_statement, random_table
from txguard.engine.install import install
from txguard.engine.managed import ManagedTable, describe, manage
from txguard.engine.patch import NewerThan, patched_source
from txguard.engine.sqltext import quoted_list
from txguard.engine.undo import clean_statements, undo, written_tables

SEEDS = range(6)
TRANSACTIONS = 8
STATEMENTS = 8


@pytest.fixture
async def one_shard(shard_servers) -> AsyncIterator[OneShard]:
    server = shard_servers[0]
    shard = OneShard.at(server.host, server.port, server.user, server.password)
    async with shard.shard.connection() as connection:
        await install(connection)
    yield shard
    await shard.run("DROP DATABASE IF EXISTS _txguard")
    shard.close()


@dataclass
class Twins:
    """The same random table twice: managed, and plain."""

    shard: OneShard
    random: random.Random
    shape: RandomTable
    managed: ManagedTable
    plain: ManagedTable

    @classmethod
    async def make(cls, shard: OneShard, seed: int) -> Twins:
        rnd = random.Random(seed)
        shape = random_table(rnd)
        name = f"r_{uuid.uuid4().hex[:12]}"
        for schema in (name, f"{name}_plain"):
            await shard.run(f"CREATE DATABASE {schema} CHARACTER SET utf8mb4", f"USE {schema}", shape.ddl)
        async with shard.shard.connection() as connection:
            managed = await manage(connection, name, "t")
            plain = await describe(connection, f"{name}_plain", "t")
        return cls(shard, rnd, shape, managed, plain)

    async def drop(self) -> None:
        """Transactions that a failed test left open would hold up the DROP."""
        self.shard.close()
        await self.shard.run(f"DROP DATABASE {self.managed.schema}", f"DROP DATABASE {self.plain.schema}")

    async def run_transaction(self) -> tuple[OneTransaction, OneTransaction]:
        """The same random statements on both; each must answer alike and leave the same rows."""
        snapshot = self.random.random() < 0.5
        managed = await self.shard.begin(self.managed.schema, snapshot=snapshot)
        plain = await self.shard.begin(self.plain.schema)
        mode = self.random.choice(("", "", "STRICT_TRANS_TABLES", "NO_AUTO_VALUE_ON_ZERO"))
        statements = [f"SET SESSION sql_mode = '{mode}', timestamp = 1700000000"]
        savepoint = False
        for _ in range(self.random.randint(1, STATEMENTS)):
            statements.append(random_statement(self.random, self.shape))
            if self.random.random() < 0.15:
                statements.append("ROLLBACK TO s" if savepoint else "SAVEPOINT s")
                savepoint = True
        for statement in statements:
            await self._compare(managed, plain, statement)
        return managed, plain

    async def _compare(self, managed: OneTransaction, plain: OneTransaction, statement: str) -> None:
        got, want = await managed.do(statement), await plain.do(statement)
        errnos = got.error and got.error.errno, want.error and want.error.errno
        assert errnos[0] == errnos[1], (statement, got.error, want.error)
        assert got.warning_count == want.warning_count, statement
        if statement.startswith("REPLACE"):  # a plain table counts a row that replaces its like once
            assert got.affected_rows >= want.affected_rows, statement
        else:
            assert got.affected_rows == want.affected_rows, statement
        rows = await managed.rows(dump_query(self.managed, writers=False))
        assert rows == await plain.rows(dump_query(self.plain, writers=False)), statement

    async def dump(self) -> list[Row]:
        [rows] = await self.shard.run(dump_query(self.managed))
        return [tuple(row) for row in rows]

    async def undo(self, start_ts: int) -> None:
        async with self.shard.shard.connection() as connection:
            await undo(connection, [self.managed], start_ts)

    async def written(self, start_ts: int) -> list[ManagedTable]:
        async with self.shard.shard.connection() as connection:
            return await written_tables(connection, [self.managed], start_ts)


@pytest.fixture
async def twins(one_shard: OneShard, seed: int) -> AsyncIterator[Twins]:
    made = await Twins.make(one_shard, seed)
    yield made
    await made.drop()


@pytest.mark.parametrize("seed", SEEDS)
async def test_undo_restores_every_byte(twins: Twins) -> None:
    for _ in range(TRANSACTIONS):
        before = await twins.dump()
        managed, plain = await twins.run_transaction()
        await managed.commit()
        if twins.random.random() < 0.5:
            await plain.commit()
            continue
        await plain.rollback()
        await twins.undo(managed.start_ts)
        assert await twins.dump() == before
        assert await twins.written(managed.start_ts) == []
        record = f"SELECT state FROM _txguard.txn WHERE start_ts = {managed.start_ts}"
        assert list(await twins.shard.run(record)) == [(("R",),)]

        await twins.undo(managed.start_ts)
        assert await twins.dump() == before, "an undo may run again"


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_patched_source_is_the_old_snapshot(twins: Twins) -> None:
    snapshots: list[tuple[int, list[Row]]] = []
    for _ in range(TRANSACTIONS):
        managed, plain = await twins.run_transaction()
        await managed.commit()
        if twins.random.random() < 0.2:
            await twins.undo(managed.start_ts)
            await plain.rollback()
        else:
            await plain.commit()
        snapshots.append((twins.shard.now(), await snapshot_rows(twins, twins.managed.source)))
    for read_ts, rows in snapshots:
        assert await snapshot_rows(twins, patched(twins.managed, NewerThan(read_ts))) == rows
        [newer] = await twins.shard.run(
            f"SELECT start_ts FROM _txguard.txn WHERE commit_ts > {read_ts} AND state = 'C'"
        )
        if newer:
            writers = [int(row[0] or 0) for row in newer]
            assert await snapshot_rows(twins, patched(twins.managed, writers)) == rows

    old = [
        int(row[0] or 0)
        for [*rows] in await twins.shard.run("SELECT start_ts FROM _txguard.txn")
        for row in rows
    ]
    await twins.shard.run(*clean_statements([twins.managed], old))
    assert await snapshot_rows(twins, twins.managed.source) == snapshots[-1][1]
    assert await twins.shard.run(f"SELECT * FROM {twins.managed.history}", "SELECT * FROM _txguard.txn") == [
        (),
        (),
    ]


def patched(table: ManagedTable, too_new: list[int] | NewerThan) -> str:
    return patched_source(table.schema, table.name, table.column_names, too_new, "t")


async def snapshot_rows(twins: Twins, source: str) -> list[Row]:
    """By text where a UNION changes the type."""
    alias = "" if source.startswith("(") else " AS t"
    columns = exact_columns(twins.managed, "t", through_union=True)
    order = quoted_list(twins.managed.primary_key, "t")
    [rows] = await twins.shard.run(f"SELECT {columns} FROM {source}{alias} ORDER BY {order}")
    return sorted((tuple(row) for row in rows), key=repr)
