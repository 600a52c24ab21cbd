"""A look-up by a unique secondary index that waits while its row moves to a smaller primary key [S-again].

MySQL's answers without the row, a single server's also. MariaDB's waits with the gap locked: a deadlock, 1213.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection
from pymysql.constants import CLIENT

from proxy.playground.servers import ServerKind
from tests.conftest import AnyServer
from tests.fakes.clients import connect_server
from tests.integration.conftest import Cluster, open_cluster
from tests.isolation.test_hermitage import _run, run

DATABASE = "moved"
DEADLINE_S = 10
STRESS_S = 2.5
"""Without the rule it takes less than one."""
CONFLICT, LOCK_WAIT_TIMEOUT = 1213, 1205
TABLES = {
    "slot": "(box INT, id INT, code INT NOT NULL, v INT NOT NULL, PRIMARY KEY (box, id), UNIQUE KEY code (box, code),"
    " KEY v (v))",
    "plain": "(box INT, id INT, code INT, v INT, PRIMARY KEY (box, id))",
}
OTHERS = ", ".join(f"(1, {number}, {100_000 + number}, 0)" for number in range(1000, 1300))
"""So many that no optimizer takes another index."""
WHERE = "box = 1 AND code = {code}"
CODES = itertools.count(50)
"""Another value for each scene: what is left of a removed entry until it is purged keeps rows from moving there."""
LOCK = f"SELECT v FROM slot WHERE {WHERE} FOR UPDATE"
BY_UPDATE = (f"UPDATE slot SET id = 3 WHERE {WHERE}",)
BY_DELETE = (f"DELETE FROM slot WHERE {WHERE}", "INSERT INTO slot VALUES (1, 3, {code}, 7)")


@pytest.fixture(scope="module", params=["kept", "left out"])
def cluster(
    request: pytest.FixtureRequest,
    shard_servers: Sequence[AnyServer],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cluster]:
    """With the rule, and without it."""
    with pytest.MonkeyPatch.context() as environment:
        if request.param == "left out":
            environment.setenv("TXGUARD_FAILPOINTS", "without_S-again=on")
        opened = _run(open_cluster(shard_servers, tmp_path_factory.mktemp("moved")))
    try:
        with opened.connect() as connection:
            run(connection, f"DROP DATABASE IF EXISTS {DATABASE}")
            run(connection, f"CREATE DATABASE {DATABASE}")
            run(connection, f"USE {DATABASE}")
            for name, columns in TABLES.items():
                run(connection, f"CREATE TABLE {name} {columns}")
            run(connection, f"INSERT INTO slot VALUES {OTHERS}")
        for number in range(len(shard_servers)):
            with opened.connect_shard(number, DATABASE) as connection:
                run(connection, "ANALYZE TABLE slot")
        yield opened
    finally:
        _run(opened.proxy.stop())


@pytest.fixture
def misses(cluster: Cluster, request: pytest.FixtureRequest, server_kind: ServerKind) -> bool:
    """Whether the row must be missed here."""
    return server_kind is ServerKind.MYSQL and "left out" in request.node.callspec.params.values()


class Scene:
    """A mover that holds the row, and a reader that comes to wait for it."""

    def __init__(self, cluster: Cluster, stack: ExitStack) -> None:
        self.mover, self.reader = (stack.enter_context(cluster.connect(DATABASE)) for _ in range(2))
        self._home = [stack.enter_context(connect_server(server)) for server in cluster.servers]
        self._thread = stack.enter_context(ThreadPoolExecutor(1))
        self._code = next(CODES)
        for table in TABLES:
            run(self.mover, f"DELETE FROM {table} WHERE box = 1 AND id < 1000")
        run(self.mover, f"INSERT INTO slot VALUES (1, 1, 5, 7), (1, 7, {self._code}, 7), (1, 9, 90000, 7)")
        run(self.mover, f"INSERT INTO plain VALUES (1, 7, {self._code}, 7)")
        run(self.reader, "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")

    def play(self, statement: str, move: Sequence[str], *before: str) -> list[Any] | None:
        """The reader's rows, or how many it changed; None: it was a deadlock for one of them."""
        run(self.mover, "BEGIN")
        run(self.mover, LOCK.format(code=self._code))
        for earlier in ("BEGIN", *before):
            run(self.reader, earlier)
        answer = self._thread.submit(said, self.reader, statement.format(code=self._code))
        deadline = time.monotonic() + DEADLINE_S
        while not answer.done() and self._lock_waits() == 0:
            assert time.monotonic() < deadline
        try:
            for step in (*move, "COMMIT"):
                run(self.mover, step.format(code=self._code))
            return answer.result(DEADLINE_S)
        except pymysql.err.OperationalError as error:
            if error.args[0] == CONFLICT:
                return None
            raise
        finally:
            wait([answer], DEADLINE_S)
            run(self.reader, "ROLLBACK")

    def _lock_waits(self) -> int:
        query = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'"
        return sum(int(run(server, query)[0][1]) for server in self._home)


def said(connection: Connection[Any], sql: str) -> list[Any]:
    with connection.cursor() as cursor:
        changed = cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else [changed]


@pytest.mark.parametrize("move", [BY_UPDATE, BY_DELETE], ids=["by update", "by delete"])
@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        (f"SELECT id FROM slot WHERE {WHERE}", [(3,)]),
        (f"SELECT id FROM slot WHERE {WHERE} FOR UPDATE", [(3,)]),
        (f"SELECT id FROM slot WHERE {WHERE} LOCK IN SHARE MODE", [(3,)]),
        ("SELECT id FROM slot FORCE INDEX (code) WHERE box = 1 AND code IN (5, {code})", [(1,), (3,)]),
        ("SELECT s.id FROM plain p JOIN slot s USING (box, code) WHERE box = 1 AND p.id = 7", [(3,)]),
        (f"SELECT (SELECT id FROM slot WHERE {WHERE}) FROM plain WHERE box = 1 AND id = 7", [(3,)]),
        (
            f"SELECT id FROM slot WHERE {WHERE} UNION ALL SELECT id FROM plain WHERE box = 1 ORDER BY id",
            [(3,), (7,)],
        ),
        (f"UPDATE slot SET v = v + 1 WHERE {WHERE}", [1]),
        (f"DELETE FROM slot WHERE {WHERE}", [1]),
        (f"INSERT INTO plain SELECT box, id, code, v FROM slot WHERE {WHERE}", [1]),
        (f"UPDATE plain SET v = v + 1 WHERE box = 1 AND EXISTS (SELECT 1 FROM slot WHERE {WHERE})", [1]),
    ],
)
def test_a_look_up_that_waited(
    cluster: Cluster, misses: bool, statement: str, answer: list[Any], move: Sequence[str]
) -> None:
    with ExitStack() as stack:
        got = Scene(cluster, stack).play(statement, move)
    if misses:
        assert got not in (answer, None)
    else:
        assert got in (answer, None)


@pytest.mark.parametrize(
    "statement", [f"SELECT id FROM slot WHERE {WHERE} FOR UPDATE", f"UPDATE slot SET v = 0 WHERE {WHERE}"]
)
def test_under_a_snapshot_it_is_a_conflict(cluster: Cluster, statement: str) -> None:
    """[R1] sees what was passed over, so REPEATABLE READ needs no rule of its own."""
    with ExitStack() as stack:
        scene = Scene(cluster, stack)
        run(scene.reader, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert scene.play(statement, BY_UPDATE, "SELECT v FROM slot WHERE box = 1 AND id = 1") is None


class Stress:
    """Rows move within two indexes of a table; how many there are, and what they come to, stays."""

    CODES = 4

    def __init__(self, cluster: Cluster, seconds: float) -> None:
        self._cluster = cluster
        self._end = time.monotonic() + seconds
        self.wrong: list[str] = []
        self.done = 0

    def run(self, seed: int) -> None:
        with self._cluster.connect(DATABASE) as connection:
            run(connection, "DELETE FROM slot WHERE box = 1 AND id < 1000")
            for code in range(self.CODES):
                run(connection, f"INSERT INTO slot VALUES (1, {code}, {code}, 100)")
        work = [self._move, self._move, self._move, self._read, self._read, self._change]
        threads = [
            threading.Thread(target=self._repeat, args=(step, seed + number))
            for number, step in enumerate(work)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _repeat(self, step: Any, seed: int) -> None:
        rng = random.Random(seed)
        with self._cluster.connect(DATABASE, client_flag=CLIENT.FOUND_ROWS) as connection:
            run(connection, "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            while time.monotonic() < self._end and not self.wrong:
                try:
                    run(connection, "BEGIN")
                    step(connection, rng)
                    run(connection, "COMMIT")
                    self.done += 1
                except pymysql.err.MySQLError as error:
                    if error.args[0] not in (CONFLICT, LOCK_WAIT_TIMEOUT, 1062):
                        self.wrong.append(repr(error))
                    run(connection, "ROLLBACK")

    def _expect(self, sql: str, got: object, expected: object) -> None:
        if got != expected:
            self.wrong.append(f"{sql}: {got}, not {expected}")

    def _move(self, connection: Connection[Any], rng: random.Random) -> None:
        code, other = rng.sample(range(self.CODES), 2)
        where = f"WHERE box = 1 AND code = {code}"
        read = f"SELECT v FROM slot {where} FOR UPDATE"
        rows = run(connection, read)
        self._expect(read, len(rows), 1)
        for sql in (
            f"UPDATE slot SET id = {rng.randrange(40)} {where}",
            f"UPDATE slot SET v = v - 1 {where}",
            f"UPDATE slot SET v = v + 1 WHERE box = 1 AND code = {other}",
        ):
            self._expect(sql, said(connection, sql), [1])

    def _read(self, connection: Connection[Any], rng: random.Random) -> None:
        codes = ", ".join(str(code) for code in range(self.CODES))
        index = rng.choice(("code", "v"))
        where = f"box = 1 AND code IN ({codes}) AND v > -1000000"
        sql = f"SELECT COUNT(*), SUM(v) FROM slot FORCE INDEX ({index}) WHERE {where}"
        [(count, total)] = run(connection, sql)
        self._expect(sql, (count, int(total or 0)), (self.CODES, 100 * self.CODES))

    def _change(self, connection: Connection[Any], rng: random.Random) -> None:
        sql = f"DELETE FROM slot WHERE box = 1 AND code = {rng.randrange(self.CODES)}"
        self._expect(sql, said(connection, sql), [1])
        run(connection, "ROLLBACK")
        run(connection, "BEGIN")


def test_rows_that_move_all_the_time(cluster: Cluster, misses: bool) -> None:
    stress = Stress(cluster, STRESS_S)
    stress.run(seed=random.randrange(1 << 30))
    assert stress.done > 0
    assert bool(stress.wrong) == misses, stress.wrong
