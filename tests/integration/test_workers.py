"""`txguard proxy --workers N`: several processes on one port that are one proxy to their clients."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection

from proxy.config import Config, EngineConfig, LogConfig, ProxyConfig, ShardConfig, UserConfig, to_toml
from proxy.playground.processes import free_port, spawn, terminate
from tests.conftest import AnyServer
from tests.fakes.clients import connect_port, connect_server
from tests.integration.test_proxy_transactions import answer, send

pytestmark = pytest.mark.mariadb_only  # nothing here is a matter of the shards' kind
ROOT = Path(__file__).parents[2]
COUNT = 3
STARTED_S, ENDED_S = 60.0, 15.0
NO_SUCH_THREAD, NOT_OWNER, INTERRUPTED, DEADLOCK = 1094, 1095, 1317, 1213


def run(connection: Connection[Any], sql: str) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall())


def number_of(connection: Any) -> int:
    return int(connection.thread_id())


@dataclass
class Proxy:
    process: subprocess.Popen[bytes]
    log: Path
    port: int
    socket: Path

    def connect(self, **options: Any) -> Connection[Any]:
        return connect_port(self.port, **options)

    def connect_to(self, worker: int) -> Connection[Any]:
        """The kernel picks the worker: try until it is this one."""
        for _ in range(200):
            connection = self.connect()
            if (number_of(connection) - 1) % COUNT + 1 == worker:
                return connection
            connection.close()
        raise AssertionError(f"no connection ever went to worker {worker}")

    def pids(self) -> dict[int, int]:
        """The last process of each worker."""
        found = re.findall(
            r'"pid": (\d+).*"worker": (\d+)|"worker": (\d+), "pid": (\d+)', self.log.read_text()
        )
        return {int(b or c): int(a or d) for a, b, c, d in found}

    def wait_ready(self, times: int = 1) -> None:
        deadline = time.monotonic() + STARTED_S
        while self.log.read_text().count('"event": "ready"') < times:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)


def start(servers: Sequence[AnyServer], folder: Path) -> Proxy:
    config = Config(
        proxy=ProxyConfig(listen=f"127.0.0.1:{free_port()}", socket=folder / "proxy.sock"),
        users=(UserConfig(name="root", password=""), UserConfig(name="other", password="")),
        shards=tuple(
            ShardConfig(name=f"s{n}", host=s.host, port=s.port, user=s.user, password=s.password)
            for n, s in enumerate(servers, 1)
        ),
        engine=EngineConfig(lock_wait_timeout_s=20),
        log=LogConfig(format="json"),
    )
    (folder / "txguard.toml").write_text(to_toml(config))
    command = [sys.executable, "-P", "-m", "proxy", "--config", str(folder / "txguard.toml")]
    log = folder / "proxy.log"
    process = spawn(
        [*command, "--workers", str(COUNT)], output=log, environment={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    proxy = Proxy(process, log, config.proxy.port, folder / "proxy.sock")
    proxy.wait_ready(COUNT)
    return proxy


@pytest.fixture(scope="module")
def proxy(shard_servers: Sequence[AnyServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    started = start(shard_servers, tmp_path_factory.mktemp("workers"))
    try:
        with started.connect() as client:
            run(client, "CREATE DATABASE bank")
            run(client, "CREATE TABLE bank.account (id INT PRIMARY KEY, balance INT NOT NULL)")
            run(client, f"INSERT INTO bank.account VALUES {', '.join(f'({n}, 100)' for n in range(40))}")
        for worker in range(1, COUNT + 1):
            with started.connect_to(worker) as client:
                _wait_for_table(client)
        yield started
    finally:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(terminate(started.process, 60))
        loop.close()


def _wait_for_table(client: Connection[Any]) -> None:
    """The other workers' definitions come with the next look at the catalog."""
    deadline = time.monotonic() + STARTED_S
    while True:
        try:
            run(client, "SELECT COUNT(*) FROM bank.account")
        except pymysql.err.MySQLError:
            assert time.monotonic() < deadline
        else:
            return


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_gone(pids: Sequence[int]) -> None:
    deadline = time.monotonic() + ENDED_S
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived the supervisor"
        time.sleep(0.05)


def test_workers_are_one_database(proxy: Proxy) -> None:
    clients = [proxy.connect_to(worker) for worker in range(1, COUNT + 1)]
    try:
        run(clients[0], "BEGIN")
        run(clients[0], "UPDATE bank.account SET balance = balance - 1 WHERE id < 20")
        run(clients[0], "UPDATE bank.account SET balance = balance + 1 WHERE id >= 20")
        assert run(clients[1], "SELECT MIN(balance), MAX(balance) FROM bank.account") == ((100, 100),)
        run(clients[0], "COMMIT")
        for client in clients:
            [row] = run(client, "SELECT MIN(balance), MAX(balance), SUM(balance) FROM bank.account")
            assert row == (99, 101, 4000)
        run(clients[2], "UPDATE bank.account SET balance = 100")
    finally:
        for client in clients:
            client.close()


def test_show_and_kill_reach_every_worker(proxy: Proxy) -> None:
    clients = [proxy.connect_to(worker) for worker in range(1, COUNT + 1)]
    one, two, three = clients
    stranger = proxy.connect(user="other")
    try:
        ids = {number_of(client) for client in clients}
        assert len(ids) == COUNT
        assert ids <= {row[0] for row in run(one, "SHOW PROCESSLIST")}
        status = dict(run(two, "SHOW TXGUARD STATUS"))
        assert int(status["workers"]) == COUNT
        assert int(status["connections"]) >= COUNT + 1
        run(two, "BEGIN")
        run(two, "UPDATE bank.account SET balance = 7 WHERE id = 1")
        [open_one] = run(one, "SHOW TXGUARD TRANSACTIONS")
        assert (open_one[0], open_one[2]) == (number_of(two), run(two, "SELECT @@txguard_start_ts")[0][0])

        run(three, "BEGIN")
        send(three, "UPDATE bank.account SET balance = 8 WHERE id = 1")
        for wrong, killer, errno in (
            (number_of(three), stranger, NOT_OWNER),
            (max(ids) + 1000 * COUNT, one, NO_SUCH_THREAD),
        ):
            with pytest.raises(pymysql.err.MySQLError) as raised:
                run(killer, f"KILL {wrong}")
            assert raised.value.args[0] == errno
        deadline = time.monotonic() + ENDED_S
        while not any(row[0] == number_of(three) and row[7] for row in run(one, "SHOW PROCESSLIST")):
            assert time.monotonic() < deadline
        run(one, f"KILL QUERY {number_of(three)}")
        assert answer(three) == INTERRUPTED
        run(one, f"KILL {number_of(two)}")
        with pytest.raises(pymysql.err.MySQLError):
            run(two, "SELECT 1")
        run(one, "UPDATE bank.account SET balance = 100 WHERE id = 1")
    finally:
        for client in (*clients, stranger):
            client.close()


def test_a_deadlock_over_workers_has_one_victim(proxy: Proxy, shard_servers: Sequence[AnyServer]) -> None:
    keys = []
    for server in shard_servers[:2]:
        with connect_server(server) as shard:
            keys.append(run(shard, "SELECT MIN(id) FROM bank.account")[0][0])
    with proxy.connect_to(1) as one, proxy.connect_to(2) as two:
        for client, key in zip((one, two), keys, strict=True):
            run(client, "BEGIN")
            run(client, f"UPDATE bank.account SET balance = balance + 1 WHERE id = {key}")
        send(one, f"UPDATE bank.account SET balance = balance + 1 WHERE id = {keys[1]}")
        send(two, f"UPDATE bank.account SET balance = balance + 1 WHERE id = {keys[0]}")
        assert answer(two) == DEADLOCK
        assert answer(one) == 0
        run(one, "ROLLBACK")


def test_the_unix_socket_is_everybodys(proxy: Proxy) -> None:
    with pymysql.connect(unix_socket=str(proxy.socket), user="root") as client:
        assert run(client, "SELECT COUNT(*) FROM bank.account") == ((40,),)


def test_a_worker_that_dies_is_replaced_and_its_transaction_undone(proxy: Proxy) -> None:
    before = proxy.pids()
    with proxy.connect_to(1) as other, proxy.connect_to(2) as victim:
        run(victim, "BEGIN")
        run(victim, "UPDATE bank.account SET balance = 0")
        os.kill(before[2], signal.SIGKILL)
        assert run(other, "SELECT SUM(balance) FROM bank.account") == ((4000,),)
        run(other, "UPDATE bank.account SET balance = 100")
        with pytest.raises(pymysql.err.MySQLError):
            run(victim, "COMMIT")
    proxy.wait_ready(COUNT + 1)
    assert proxy.pids()[2] != before[2]
    with proxy.connect_to(2) as client:
        assert run(client, "SELECT SUM(balance) FROM bank.account") == ((4000,),)


def test_sigterm_ends_all_of_them(shard_servers: Sequence[AnyServer], proxy: Proxy) -> None:
    """The module's own proxy, at its end: nothing is left of it."""
    pids = list(proxy.pids().values())
    assert all(alive(pid) for pid in pids)
    with proxy.connect() as idle:
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.process.wait(ENDED_S) == 0
        with pytest.raises(pymysql.err.MySQLError):
            run(idle, "SELECT 1")
    wait_gone(pids)
    assert not proxy.socket.exists()


def test_no_worker_outlives_a_killed_supervisor(shard_servers: Sequence[AnyServer], tmp_path: Path) -> None:
    proxy = start(shard_servers, tmp_path)
    pids = list(proxy.pids().values())
    assert len(pids) == COUNT
    proxy.process.kill()
    proxy.process.wait()
    wait_gone(pids)
