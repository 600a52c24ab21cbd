"""The aiomysql form of a shard: packets of several statements, errors of each kind, and what becomes of connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tso.types import ShardName
from txguard.engine.aiomysql_shard import AiomysqlConnections, AiomysqlShard, Dsn
from txguard.engine.shard import ConnectionLost, ShardError, ShardUnavailable

NAME = ShardName("s1")


@pytest.fixture
async def shard(shard_servers) -> AsyncIterator[AiomysqlShard]:
    server = shard_servers[0]
    made = AiomysqlShard(NAME, Dsn(server.host, server.port, server.user, server.password), limit=3)
    yield made
    made.close()


async def test_one_answer_for_each_statement(shard: AiomysqlShard) -> None:
    async with shard.connection() as connection:
        answers = await connection.run(
            ["SELECT 1, NULL, 'ä', X'00FF', 1.50", "SET @x = 5", "SELECT @x", "DO 1"], 5
        )
        assert [list(answer.rows) for answer in answers] == [
            [(1, None, "ä", b"\0\xff", "1.50")],
            [],
            [(5,)],
            [],
        ]
        assert await connection.run([], 5) == []
        [isolation] = await connection.run(["SELECT @@autocommit"], 5)
        assert list(isolation.rows) == [(1,)]


async def test_statements_stop_at_the_first_that_fails(shard: AiomysqlShard) -> None:
    async with shard.connection() as connection:
        with pytest.raises(ShardError) as raised:
            await connection.run(["SET @x = 1", "SELECT nothing", "SET @x = 2"], 5)
        assert (raised.value.errno, raised.value.sqlstate) == (1054, "42S22")
        [answer] = await connection.run(["SELECT @x"], 5)
        assert list(answer.rows) == [(1,)]


async def test_relay_parts_the_prefix_from_the_statement(shard: AiomysqlShard) -> None:
    async with shard.connection() as connection:
        prefix, reply = await connection.relay(["SET @x = 5", "SELECT @x"], "SELECT @x AS X, 2 AS `Y`;", 5)
        assert [list(rows.rows) for rows in prefix] == [[], [(5,)]]
        assert (reply.error, reply.columns, list(reply.rows), reply.affected_rows) == (
            None,
            ("X", "Y"),
            [(5, 2)],
            0,
        )
        _, reply = await connection.relay(["SET @x = 6"], "SELECT nothing", 5)
        assert reply.error is not None
        assert reply.error.errno == 1054
        with pytest.raises(ShardError):
            await connection.relay(["SET @x = 7", "SELECT nothing"], "SET @x = 8", 5)
        [answer] = await connection.run(["SELECT @x"], 5)
        assert list(answer.rows) == [(7,)]


async def test_a_connection_past_its_deadline_is_dropped(shard: AiomysqlShard) -> None:
    connection = await shard.acquire(5)
    with pytest.raises(ConnectionLost):
        await connection.run(["DO SLEEP(5)"], 0.1)
    assert connection.closed
    shard.release(connection)
    assert await shard.acquire(5) is not connection


async def test_a_cancelled_packet_drops_its_connection(shard: AiomysqlShard) -> None:
    connection = await shard.acquire(5)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await connection.run(["DO SLEEP(5)"], None)
    assert connection.closed


async def test_a_killed_connection_is_lost(shard: AiomysqlShard) -> None:
    victim = await shard.acquire(5)
    async with shard.connection() as other:
        await other.run([f"KILL {victim.thread_id}"], 5)
    with pytest.raises(ConnectionLost):
        await victim.run(["SELECT 1"], 5)
    assert victim.closed


async def test_an_idle_connection_that_the_server_closed_is_not_given_out(shard: AiomysqlShard) -> None:
    connection = await shard.acquire(5)
    other = await shard.acquire(5)
    shard.release(connection)
    await other.run([f"KILL {connection.thread_id}"], 5)
    await asyncio.sleep(0.2)
    fresh = await shard.acquire(5)
    assert fresh is not connection
    await fresh.run(["SELECT 1"], 5)


async def test_connections_are_used_again_and_bounded(shard: AiomysqlShard) -> None:
    first = await shard.acquire(5)
    shard.release(first)
    assert await shard.acquire(5) is first
    others = [await shard.acquire(5) for _ in range(2)]
    with pytest.raises(ShardUnavailable, match="in use"):
        await shard.acquire(0.05)
    shard.release(others[0])
    with pytest.raises(ValueError, match="does not belong"):
        shard.release(others[0])
    await shard.acquire(5)


async def test_nobody_there() -> None:
    with pytest.raises(ShardUnavailable):
        await AiomysqlShard(NAME, Dsn(port=1)).acquire(1)


async def test_connections_by_name(shard: AiomysqlShard) -> None:
    connections = AiomysqlConnections({NAME: shard})
    connection = await connections.acquire(NAME, 5)
    connections.release(NAME, connection)
    assert await connections.acquire(NAME, 5) is connection
