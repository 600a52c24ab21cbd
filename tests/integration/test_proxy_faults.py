"""A shard that dies and comes back, a proxy that is stopped, started without a shard, or killed: what clients see."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection

from proxy.server.main import sessions_share
from tests.conftest import StartServers
from tests.integration.conftest import Cluster, StartCluster, open_cluster

ROWS = 30


def run(connection: Connection[Any], sql: str) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall())


def errno(connection: Connection[Any], sql: str) -> int:
    with pytest.raises(pymysql.err.MySQLError) as caught:
        run(connection, sql)
    return int(caught.value.args[0])


def fill(connection: Connection[Any]) -> None:
    run(connection, "CREATE DATABASE bank")
    run(connection, "USE bank")
    run(connection, "CREATE TABLE account (id INT PRIMARY KEY, balance INT NOT NULL)")
    run(connection, "INSERT INTO account VALUES " + ", ".join(f"({n}, 10)" for n in range(ROWS)))


def rows_by_shard(cluster: Cluster) -> list[list[int]]:
    placed = []
    for number in range(len(cluster.servers)):
        with cluster.connect_shard(number, "bank") as shard:
            placed.append([row[0] for row in run(shard, "SELECT id FROM account ORDER BY id")])
    return placed


async def until(connection: Connection[Any], sql: str, expected: object, timeout_s: float = 20.0) -> None:
    """Ask until the answer is as expected; errors are passed over meanwhile."""
    deadline = time.monotonic() + timeout_s
    answer: object = None
    while time.monotonic() < deadline:
        try:
            answer = run(connection, sql)
        except pymysql.err.MySQLError as error:
            answer = error
        if answer == expected:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{sql}: {answer!r} instead of {expected!r}")


async def test_a_shard_that_dies_and_returns(own_cluster: StartCluster) -> None:
    cluster = await own_cluster()
    with cluster.connect() as client, cluster.connect() as other:
        fill(client)
        run(other, "USE bank")
        placed = rows_by_shard(cluster)
        dead, alive = placed[2][0], placed[0][0]
        run(client, "BEGIN")
        run(client, f"UPDATE account SET balance = 0 WHERE id IN ({dead}, {alive})")
        await cluster.servers[2].kill9()

        # Outside a transaction: the other shards are served, this one says 9102 at once.
        assert run(other, f"SELECT balance FROM account WHERE id = {placed[1][0]}") == ((10,),)
        began = time.monotonic()
        assert errno(other, f"SELECT balance FROM account WHERE id = {dead}") == 9102
        assert errno(other, f"UPDATE account SET balance = 1 WHERE id = {dead}") == 9102
        assert errno(other, "SELECT SUM(balance) FROM account") == 9102
        assert time.monotonic() - began < 5
        assert [row[2] for row in run(other, "SHOW TXGUARD SHARDS")] == ["up", "up", "down"]

        # The transaction that used it is lost, says so until ROLLBACK, and leaves nothing behind.
        assert errno(client, f"UPDATE account SET balance = 1 WHERE id = {dead}") == 9103
        assert errno(client, f"SELECT balance FROM account WHERE id = {alive}") == 9103
        assert errno(client, "COMMIT") == 9103
        assert errno(client, "BEGIN") == 9103
        run(client, "ROLLBACK")
        assert run(client, f"SELECT balance FROM account WHERE id = {alive}") == ((10,),)
        run(other, f"UPDATE account SET balance = 10 WHERE id = {alive}")

        await cluster.servers[2].start()
        await until(other, "SELECT SUM(balance) FROM account", ((10 * ROWS,),))
        run(client, "UPDATE account SET balance = balance + 1")
        assert run(other, "SELECT SUM(balance) FROM account") == ((11 * ROWS,),)
        await until(client, "SHOW TXGUARD LOCKS", ())


async def test_reads_survive_a_shard_s_restart_without_an_error(own_cluster: StartCluster) -> None:
    """Its pooled connections are dead, but nothing was sent to the client yet: a read is made again."""
    cluster = await own_cluster()
    with cluster.connect() as client:
        fill(client)
        placed = rows_by_shard(cluster)
        run(client, f"SELECT balance FROM account WHERE id = {placed[1][0]}")
        await cluster.servers[1].kill9()
        await cluster.servers[1].start()
        await until(client, f"SELECT balance FROM account WHERE id = {placed[1][0]}", ((10,),), timeout_s=5)


async def test_the_proxy_starts_while_a_shard_is_down(own_cluster: StartCluster) -> None:
    cluster = await own_cluster()
    with cluster.connect() as client:
        fill(client)
    placed = rows_by_shard(cluster)
    await cluster.proxy.stop()
    await cluster.servers[1].kill9()
    await cluster.proxy.start()
    with cluster.connect("bank") as client:
        assert run(client, f"SELECT balance FROM account WHERE id = {placed[0][0]}") == ((10,),)
        assert errno(client, f"SELECT balance FROM account WHERE id = {placed[1][0]}") == 9102
        assert errno(client, "CREATE TABLE other (id INT PRIMARY KEY)") == 9102
        await cluster.servers[1].start()
        await until(client, "SELECT SUM(balance) FROM account", ((10 * ROWS,),))
        run(client, "CREATE TABLE other (id INT PRIMARY KEY)")


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_a_proxy_that_ends_leaves_no_lock(own_cluster: StartCluster, how: str) -> None:
    cluster = await own_cluster()
    client = cluster.connect()
    fill(client)
    run(client, "BEGIN")
    run(client, "UPDATE account SET balance = 0")
    if how == "kill":
        await cluster.proxy.kill9()
    else:
        await cluster.proxy.stop()
    with pytest.raises(pymysql.err.MySQLError):
        run(client, "COMMIT")
    await cluster.proxy.start()
    with cluster.connect("bank") as again:
        assert run(again, "SELECT SUM(balance) FROM account") == ((10 * ROWS,),)
        run(again, "UPDATE account SET balance = 1")
        await until(again, "SHOW TXGUARD LOCKS", ())


async def test_acknowledged_commits_survive_a_killed_proxy(own_cluster: StartCluster) -> None:
    cluster = await own_cluster()
    with cluster.connect() as client:
        fill(client)
        for number in range(10):
            run(client, f"UPDATE account SET balance = {number}")
    await cluster.proxy.kill9()
    await cluster.proxy.start()
    with cluster.connect("bank") as again:
        assert run(again, "SELECT MIN(balance), MAX(balance) FROM account") == ((9, 9),)


async def test_the_proxy_says_good_bye_to_idle_clients_when_it_stops(own_cluster: StartCluster) -> None:
    cluster = await own_cluster(count=1)
    client = cluster.connect()
    await cluster.proxy.stop()
    assert errno(client, "SELECT 1") in (1053, 2006, 2013)
    assert not cluster.proxy.running


async def test_kill_query_reaches_a_statement_that_is_not_on_its_shard_yet(
    fresh_shard_servers: StartServers, tmp_path: Path
) -> None:
    """It waits for a connection when it is killed, and for a row's lock when it has one."""
    cluster = await open_cluster(await fresh_shard_servers(count=1), tmp_path, max_connections=5)
    holders: list[Connection[Any]] = []
    try:
        with cluster.connect() as client:
            fill(client)
        with cluster.connect("bank") as victim, cluster.connect() as killer:
            number = run(victim, "SELECT CONNECTION_ID()")[0][0]
            for row in range(sessions_share(5)):
                holders.append(cluster.connect("bank", autocommit=False))
                run(holders[-1], f"UPDATE account SET balance = 0 WHERE id = {row}")
            update = "UPDATE account SET balance = 1 WHERE id = 0"
            async with asyncio.timeout(2.8), asyncio.TaskGroup() as group:  # 3 s is the time-out of the lock
                killed = group.create_task(asyncio.to_thread(errno, victim, update))
                await asyncio.sleep(0.3)
                run(killer, f"KILL QUERY {number}")
                holders.pop().close()
            assert killed.result() == 1317
    finally:
        for holder in holders:
            holder.close()
        await cluster.proxy.stop()


async def test_more_transactions_than_connections_wait_and_all_come_through(
    fresh_shard_servers: StartServers, tmp_path: Path
) -> None:
    """What the engine itself must do on the shards is never held up by transactions that wait for it."""
    cluster = await open_cluster(await fresh_shard_servers(count=2), tmp_path, max_connections=6)
    try:
        with cluster.connect() as client:
            fill(client)

        def transfer(source: int) -> int:
            with cluster.connect("bank", autocommit=False) as connection:
                for attempt in range(1, 30):
                    try:
                        run(connection, f"SELECT balance FROM account WHERE id = {source}")
                        run(connection, f"UPDATE account SET balance = balance - 1 WHERE id = {source}")
                        run(
                            connection,
                            f"UPDATE account SET balance = balance + 1 WHERE id = {(source + 1) % ROWS}",
                        )
                        connection.commit()
                        return attempt
                    except pymysql.err.MySQLError as error:
                        if error.args[0] not in (1205, 1213, 9102, 9103):
                            raise
                        connection.rollback()
            raise AssertionError("never came through")

        await asyncio.gather(*(asyncio.to_thread(transfer, number) for number in range(24)))
        with cluster.connect("bank") as client:
            assert run(client, "SELECT SUM(balance) FROM account") == ((10 * ROWS,),)
            assert all(row[4] <= 6 for row in run(client, "SHOW TXGUARD SHARDS"))
    finally:
        await cluster.proxy.stop()


async def test_a_merge_that_is_too_large_is_refused_and_harms_nobody(
    fresh_shard_servers: StartServers, tmp_path: Path
) -> None:
    cluster = await open_cluster(await fresh_shard_servers(count=2), tmp_path, max_merge_bytes=1024 * 1024)
    try:
        with cluster.connect() as client:
            fill(client)
            run(client, "CREATE TABLE big (id INT PRIMARY KEY, text LONGTEXT)")
            for number in range(8):
                run(client, f"INSERT INTO big VALUES ({number}, REPEAT('x', 400000))")
            assert errno(client, "SELECT text FROM big") == 1038
            assert len(run(client, "SELECT text FROM big WHERE id = 3")[0][0]) == 400_000
            run(client, "BEGIN")
            run(client, "UPDATE account SET balance = 11")
            assert errno(client, "SELECT text FROM big") == 1038
            assert errno(client, "SELECT text FROM big FOR UPDATE") == 1038
            assert run(client, "SELECT COUNT(*) FROM big") == ((8,),)
            run(client, "COMMIT")
            assert run(client, "SELECT SUM(balance) FROM account") == ((11 * ROWS,),)
    finally:
        await cluster.proxy.stop()
