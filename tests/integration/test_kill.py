"""KILL and KILL QUERY: what they end, and what they leave alone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection
from pymysql.constants import CLIENT

from tests.integration.binary_client import BinaryClient
from tests.integration.conftest import Cluster, StartCluster

ROWS, KILLS = 40, 400
PATIENCE_S = 90.0
SLEEP = "SELECT SLEEP(20) FROM account WHERE id = 1"


def fill(connection: Connection[Any]) -> None:
    run(connection, "CREATE TABLE account (id INT PRIMARY KEY, balance INT NOT NULL)")
    run(connection, "INSERT INTO account VALUES " + ", ".join(f"({n}, 10)" for n in range(ROWS)))


@pytest.fixture
def one(proxy_cluster: Cluster, database: str) -> Iterator[Connection[Any]]:
    connection = proxy_cluster.connect(database, client_flag=CLIENT.MULTI_STATEMENTS)
    try:
        fill(connection)
        yield connection
    finally:
        if connection.open:
            connection.close()


@pytest.fixture
def two(proxy_cluster: Cluster, database: str, one: Connection[Any]) -> Iterator[Connection[Any]]:
    with proxy_cluster.connect(database) as connection:
        yield connection


def run(connection: Connection[Any], sql: str) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall())


def send(connection: Connection[Any], sql: str) -> int:
    """Without waiting for the answer; the connection's number, for KILL."""
    number = run(connection, "SELECT CONNECTION_ID()")[0][0]
    connection._execute_command(3, sql)  # type: ignore[attr-defined]
    return int(number)


def answer(connection: Connection[Any]) -> int:
    """The errno of what was sent, 0 when it went well."""
    try:
        connection._read_query_result()  # type: ignore[attr-defined]
    except pymysql.err.MySQLError as error:
        return int(error.args[0])
    return 0


def kill_query(connection: Connection[Any], victim: int) -> None:
    """As soon as it runs something."""
    deadline = time.monotonic() + 5
    while not any(row[0] == victim and row[4] == "Query" for row in run(connection, "SHOW PROCESSLIST")):
        assert time.monotonic() < deadline
    run(connection, f"KILL QUERY {victim}")


def test_kill_query_stops_a_statement_and_keeps_the_session(
    one: Connection[Any], two: Connection[Any]
) -> None:
    kill_query(two, send(one, SLEEP))
    began = time.monotonic()
    assert answer(one) in (0, 1317)  # SLEEP says 1, without an error, when it was cut short
    assert time.monotonic() - began < 5
    assert run(one, "SELECT 1") == ((1,),)


def test_kill_query_meets_each_of_several_statements(one: Connection[Any], two: Connection[Any]) -> None:
    sleeper = send(one, f"SELECT 1; {SLEEP}")
    one._read_query_result()  # type: ignore[attr-defined]
    kill_query(two, sleeper)
    began = time.monotonic()
    assert answer(one) in (0, 1317)
    assert time.monotonic() - began < 5


def test_kill_ends_a_connection_and_its_transaction(one: Connection[Any], two: Connection[Any]) -> None:
    victim = run(one, "SELECT CONNECTION_ID()")[0][0]
    run(one, "BEGIN")
    run(one, "UPDATE account SET balance = 0")
    run(two, f"KILL {victim}")
    with pytest.raises(pymysql.err.MySQLError):
        run(one, "SELECT 1")
    run(two, "UPDATE account SET balance = 3")
    assert run(two, "SELECT SUM(balance) FROM account") == ((3 * ROWS,),)


@pytest.fixture
async def own(own_cluster: StartCluster) -> Cluster:
    cluster = await own_cluster(count=1)
    with cluster.connect() as client:
        run(client, "CREATE DATABASE bank")
        client.select_db("bank")
        fill(client)
    return cluster


@contextmanager
def working(clients: Sequence[Callable[[], None]]) -> Iterator[None]:
    """Each over and over, in a thread of its own."""
    done = threading.Event()

    def work(client: Callable[[], None]) -> None:
        while not done.is_set():
            client()

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


async def test_a_late_kill_query_meets_nobody_else(own: Cluster) -> None:
    """Statements that are about to end when they are killed, and others that want their connections."""
    await asyncio.to_thread(kill_late, own)


def kill_late(cluster: Cluster) -> None:
    killed: list[object] = []
    harmed: list[object] = []
    victim = cluster.connect("bank")
    number = run(victim, "SELECT CONNECTION_ID()")[0][0]

    def sleep(connection: Connection[Any], row: int, interrupted: list[object]) -> None:
        try:
            answered = run(connection, f"SELECT SLEEP(0.002) FROM account WHERE id = {row}")
            if answered != ((0,),):
                interrupted.append(answered)
        except pymysql.err.MySQLError as error:
            interrupted.append(error)

    others = [partial(sleep, cluster.connect("bank"), row, harmed) for row in (1, 2, 3)]
    deadline, kills = time.monotonic() + PATIENCE_S, 0
    with cluster.connect() as killer, working([partial(sleep, victim, 0, killed), *others]):
        while kills < KILLS or len(killed) < KILLS // 20:
            assert time.monotonic() < deadline
            run(killer, f"KILL QUERY {number}")
            kills += 1
            time.sleep(0.002)
    assert harmed == []


def kill_on_shard(cluster: Cluster, until: Callable[[], bool], first: str) -> None:
    """KILL QUERY of all that works for clients, straight on their shard, until it has led to something."""
    threads = "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = 'bank' AND ID <> CONNECTION_ID()"
    deadline = time.monotonic() + PATIENCE_S
    with cluster.connect_shard(0) as shard:
        while not until():
            assert time.monotonic() < deadline
            run(shard, first)
            for (thread,) in run(shard, threads):
                with suppress(pymysql.err.MySQLError):  # It is gone already.
                    for _ in range(20):
                        run(shard, f"KILL QUERY {thread}")


@pytest.mark.parametrize("prepared", [False, True])
async def test_statements_that_a_kill_query_has_cut_short_come_to_an_end(
    own: Cluster, prepared: bool
) -> None:
    """Both servers answer those before it, say that more is to come, and fall silent."""
    await asyncio.to_thread(cut_short, own, prepared)


def cut_short(cluster: Cluster, prepared: bool) -> None:
    errors: list[str] = []

    def transact(connection: Connection[Any], read: Callable[[], object]) -> None:
        try:
            run(connection, "BEGIN")
            read()
        except pymysql.err.MySQLError as error:
            errors.append(str(error))
        run(connection, "ROLLBACK")

    def client(row: int) -> Callable[[], None]:
        connection = cluster.connect("bank", read_timeout=10)
        run(
            connection, "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"
        )  # Four statements, in place of two.
        binary, text = BinaryClient(connection), f"SELECT balance FROM account WHERE id = {row} FOR UPDATE"
        statement = binary.prepare(text)
        read = partial(binary.execute, statement) if prepared else partial(run, connection, text)
        return partial(transact, connection, read)

    with working([client(row) for row in range(3)]):
        kill_on_shard(cluster, lambda: any("a shard was lost" in error for error in errors), "DO 0")
    assert not [error for error in errors if error.startswith("(20")], "no client lost its connection"


@pytest.mark.mariadb_only
async def test_triggers_that_a_kill_query_has_broken_are_mended(own: Cluster) -> None:
    """MariaDB opens a table, is interrupted in the middle of its triggers, and keeps it so."""
    await asyncio.to_thread(broken_triggers, own)


def broken_triggers(cluster: Cluster) -> None:
    broken: list[str] = []

    def update(connection: Connection[Any], row: int) -> None:
        try:
            run(connection, f"UPDATE account SET balance = balance + 1 WHERE id = {row}")
        except pymysql.err.MySQLError as error:
            if error.args[0] == 1064:
                broken.append(str(error))

    clients = [partial(update, cluster.connect("bank"), row) for row in range(3)]
    with working(clients):
        kill_on_shard(cluster, lambda: len(broken) > 0, "FLUSH TABLES")
    deadline = time.monotonic() + PATIENCE_S
    while broken:
        assert time.monotonic() < deadline
        broken.clear()
        for client in clients * 5:
            client()
        time.sleep(0.1)
