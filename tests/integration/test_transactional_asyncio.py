"""`@transactional` on async functions against real servers: aiomysql, its pool, a DSN, an AsyncEngine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiomysql
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from proxy.playground.servers import Server
from tests.fakes.clients import connect_server
from txguard import Isolation, OutcomeUndetermined, transactional

DATABASE = "transactional_asyncio"


@pytest.fixture
def server(shard_servers: Sequence[Server]) -> Any:
    server = shard_servers[0]
    run_plain(server, f"CREATE DATABASE {DATABASE}")
    run_plain(server, f"CREATE TABLE {DATABASE}.account (id INT PRIMARY KEY, balance INT NOT NULL)")
    run_plain(server, f"INSERT INTO {DATABASE}.account VALUES (1, 100), (2, 100)")
    yield server
    run_plain(server, f"DROP DATABASE {DATABASE}")


@pytest.fixture(params=["pool", "factory", "dsn", "engine"])
async def source(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Any]:
    where: dict[str, Any] = {"host": server.host, "port": server.port, "user": "root", "db": DATABASE}
    match request.param:
        case "pool":
            async with aiomysql.create_pool(**where, minsize=0, maxsize=4) as pool:
                yield pool
        case "factory":
            yield lambda: aiomysql.connect(**where)
        case "dsn":
            yield f"mysql://root@{server.host}:{server.port}/{DATABASE}"
        case _:
            engine = create_async_engine(f"mysql+aiomysql://root@{server.host}:{server.port}/{DATABASE}")
            yield engine
            await engine.dispose()


def run_plain(server: Server, statement: str) -> Sequence[Sequence[Any]]:
    with (
        contextlib.closing(connect_server(server)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
        rows: Sequence[Sequence[Any]] = cursor.fetchall()
        return rows


def balances(server: Server) -> list[int]:
    return [row[0] for row in run_plain(server, f"SELECT balance FROM {DATABASE}.account ORDER BY id")]


async def run(connection: Any, statement: str) -> Any:
    if isinstance(connection, AsyncConnection):
        result = await connection.exec_driver_sql(statement)
        row = result.fetchone() if result.returns_rows else None
    else:
        async with connection.cursor() as cursor:
            await cursor.execute(statement)
            row = await cursor.fetchone()
    return row[0] if row else None


async def add(connection: Any, account_id: int, amount: int) -> None:
    await run(connection, f"UPDATE account SET balance = balance + {amount} WHERE id = {account_id}")


async def test_commit_and_rollback(source: Any, server: Server) -> None:
    @transactional(source)
    async def transfer(connection: Any, amount: int, fail: bool = False) -> int:
        await add(connection, 1, -amount)
        await add(connection, 2, amount)
        if fail:
            raise KeyError("changed my mind")
        return int(await run(connection, "SELECT balance FROM account WHERE id = 2"))

    assert await transfer(30) == 130
    with pytest.raises(KeyError):
        await transfer(5, fail=True)
    assert balances(server) == [70, 130]


async def test_a_real_deadlock_is_retried_until_both_are_through(source: Any, server: Server) -> None:
    met = asyncio.Barrier(2)
    attempts: list[int] = []

    @transactional(source, isolation=Isolation.READ_COMMITTED)
    async def transfer(connection: Any, first: int, second: int) -> None:
        attempts.append(first)
        await add(connection, first, -10)
        if attempts.count(first) == 1:
            async with asyncio.timeout(20):
                await met.wait()
        await add(connection, second, 10)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(transfer(1, 2))
        group.create_task(transfer(2, 1))
    assert sorted(attempts) in ([1, 1, 2], [1, 2, 2])
    assert balances(server) == [100, 100]


async def test_a_killed_connection_is_replaced(source: Any, server: Server) -> None:
    victims: list[int] = []

    @transactional(source)
    async def transfer(connection: Any) -> None:
        victims.append(await run(connection, "SELECT CONNECTION_ID()"))
        await add(connection, 1, -1)
        if len(victims) == 1:
            run_plain(server, f"KILL {victims[0]}")
        await add(connection, 2, 1)

    await transfer()
    assert len(set(victims)) == 2
    assert balances(server) == [99, 101]


async def test_a_connection_lost_at_commit_is_undetermined(source: Any, server: Server) -> None:
    runs: list[int] = []

    @transactional(source)
    async def transfer(connection: Any) -> None:
        runs.append(await run(connection, "SELECT CONNECTION_ID()"))
        await add(connection, 1, -1)
        run_plain(server, f"KILL {runs[-1]}")

    with pytest.raises(OutcomeUndetermined):
        await transfer()
    assert len(runs) == 1


async def test_cancelled_in_a_statement_nothing_stays_and_no_lock_is_left(
    source: Any, server: Server
) -> None:
    @transactional(source)
    async def slow(connection: Any) -> None:
        await add(connection, 1, -1)
        await run(connection, "SELECT SLEEP(2)")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await slow()

    @transactional(source, deadline_s=15)
    async def after(connection: Any) -> None:
        await add(connection, 1, 5)

    async with asyncio.timeout(20):
        await after()
    assert balances(server) == [105, 100]
