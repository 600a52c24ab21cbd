"""Each level against each anomaly, through the proxy, on one shard and over shards: forbidden, or shown to be possible.

A server without TxGuard plays the same schedules, so that the table in docs/isolation.md is exact for both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection

from tests.conftest import AnyServer
from tests.fakes.clients import connect_server
from tests.integration.conftest import Cluster, open_cluster
from tests.isolation.hermitage import HERMITAGE, LEVELS, OF_A_SERVER, Level, Schedule, Seen, Step

DATABASE = "hermitage"
DEADLINE_S = 10
CONFLICT = 1213


@dataclass(frozen=True, slots=True)
class Place:
    table: str
    a: int
    b: int
    c: int
    d: int


class Client:
    """One connection, with a thread in which its statements wait for locks."""

    def __init__(self, connection: Connection[Any]) -> None:
        self.connection = connection
        self._thread = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    @property
    def busy(self) -> bool:
        return self._last is not None and not self._last.done()

    def say(self, step: Step, sql: str, seen: Seen) -> None:
        self._last = self._thread.submit(self._say, step, sql, seen)

    def _say(self, step: Step, sql: str, seen: Seen) -> None:
        if step.client in seen.errors:
            return
        try:
            answer = run(self.connection, sql)
        except pymysql.err.MySQLError as error:
            seen.errors[step.client] = int(error.args[0])
            return
        if step.label:
            seen.answers[step.label] = [int(row[0]) for row in answer]

    def close(self) -> None:
        self._thread.shutdown()
        self.connection.close()


class Stage:
    """Where schedules are played: three clients, and a look at the row locks that are waited for."""

    def __init__(self, clients: Sequence[Connection[Any]], servers: Sequence[AnyServer]) -> None:
        self.clients = [Client(connection) for connection in clients]
        self._servers = [connect_server(server) for server in servers]

    def play(self, schedule: Schedule, level: Level, place: Place) -> Seen:
        seen = Seen(a=place.a, b=place.b, c=place.c)
        first = self.clients[0].connection
        run(first, f"DELETE FROM {place.table}")
        run(first, f"INSERT INTO {place.table} VALUES ({place.a}, 10), ({place.b}, 20)")
        for number, client in enumerate(self.clients, 1):
            for setting in level.settings:
                run(client.connection, setting)
            reader = number == 3
            run(client.connection, "START TRANSACTION READ ONLY" if reader else "BEGIN")
        for step in schedule.steps():
            keys = {"a": place.a, "b": place.b, "c": place.c, "d": place.d}
            self.clients[step.client - 1].say(step, step.sql.format(t=place.table, **keys), seen)
            self._wait(until_blocked=True)
        self._wait(until_blocked=False)
        for client in self.clients:
            run(client.connection, "ROLLBACK")
        seen.final = {int(row[0]): int(row[1]) for row in run(first, f"SELECT id, value FROM {place.table}")}
        return seen

    def _wait(self, *, until_blocked: bool) -> None:
        """Until every client has its answer, or waits for a row lock."""
        deadline = time.monotonic() + DEADLINE_S
        while busy := sum(client.busy for client in self.clients):
            if until_blocked and self._lock_waits() >= busy:
                return
            assert time.monotonic() < deadline

    def _lock_waits(self) -> int:
        query = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'"
        return sum(int(run(server, query)[0][1]) for server in self._servers)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for server in self._servers:
            server.close()


def run(connection: Connection[Any], sql: str) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall())


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """Outside of any test's event loop."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


@pytest.fixture(scope="module")
def cluster(
    shard_servers: Sequence[AnyServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    opened = _run(open_cluster(shard_servers, tmp_path_factory.mktemp("hermitage")))
    try:
        with opened.connect() as connection:
            run(connection, f"CREATE DATABASE {DATABASE}")
        yield opened
    finally:
        _run(opened.proxy.stop())


@pytest.fixture(scope="module")
def stage(cluster: Cluster) -> Iterator[Stage]:
    opened = Stage([cluster.connect(DATABASE) for _ in range(3)], cluster.servers)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def places(cluster: Cluster) -> Mapping[str, Place]:
    """A table of one shard, and one whose keys lie on two, so that each schedule runs over both."""
    with cluster.connect(DATABASE) as connection:
        run(connection, "CREATE TABLE /* txguard: single */ lone (id INT PRIMARY KEY, value INT)")
        run(connection, "CREATE TABLE spread (id INT PRIMARY KEY, value INT)")
        run(connection, f"INSERT INTO spread VALUES {', '.join(f'({n}, 0)' for n in range(1, 41))}")
    found = []
    for number in (0, 1):
        with cluster.connect_shard(number, DATABASE) as shard:
            found.append([int(row[0]) for row in run(shard, "SELECT id FROM spread ORDER BY id LIMIT 2")])
    (a, d), (b, c) = found
    return {"one shard": Place("lone", 1, 2, 3, 4), "over shards": Place("spread", a, b, c, d)}


@pytest.mark.parametrize("anomaly", HERMITAGE)
@pytest.mark.parametrize("place", ["one shard", "over shards"])
@pytest.mark.parametrize("level", LEVELS)
def test_a_level_allows_exactly_its_anomalies(
    stage: Stage, places: Mapping[str, Place], level: str, place: str, anomaly: str
) -> None:
    check(stage.play(HERMITAGE[anomaly], LEVELS[level], places[place]), anomaly, LEVELS[level])


def check(seen: Seen, anomaly: str, level: Level) -> None:
    assert HERMITAGE[anomaly].anomaly(seen) == (anomaly in level.allows), seen
    assert set(seen.errors.values()) <= {CONFLICT}, seen
    assert len(seen.errors) <= (anomaly not in level.allows), f"not even one could commit: {seen}"


@pytest.fixture(scope="module")
def plain_stage(shard_servers: Sequence[AnyServer]) -> Iterator[Stage]:
    server = shard_servers[0]
    with connect_server(server) as connection:
        run(connection, f"CREATE DATABASE {DATABASE}_plain")
        run(connection, f"CREATE TABLE {DATABASE}_plain.lone (id INT PRIMARY KEY, value INT)")
    opened = Stage([connect_server(server, f"{DATABASE}_plain") for _ in range(3)], [server])
    yield opened
    opened.close()


@pytest.mark.parametrize("anomaly", HERMITAGE)
@pytest.mark.parametrize("level", OF_A_SERVER)
def test_what_a_server_alone_allows(plain_stage: Stage, level: str, anomaly: str) -> None:
    check(
        plain_stage.play(HERMITAGE[anomaly], OF_A_SERVER[level], Place("lone", 1, 2, 3, 4)),
        anomaly,
        OF_A_SERVER[level],
    )
