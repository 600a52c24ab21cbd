"""Several oracles, three shards, two proxies, transfers all the while: leaders are killed and stopped, a shard dies.

Whatever happens: a standby serves within three seconds, timestamps ascend, every sum is right, clients see errors
after which a retry is safe, and nothing is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection

from proxy.config import (
    Config,
    EngineConfig,
    LogConfig,
    ProxyConfig,
    ShardConfig,
    TsoConfig,
    UserConfig,
    split_address,
    to_toml,
)
from proxy.playground.processes import free_port
from proxy.playground.proxy_process import ProxyProcess
from proxy.playground.servers import Server
from tests.conftest import AnyServer, StartServers
from tests.integration.oracle_processes import OracleProcess, all_killed
from tests.integration.test_proxy_two import connect, run
from tso.client import RemoteTso
from tso.errors import TsoError
from tso.types import Timestamp
from txguard.engine.engine import SUCCESSION_TIMEOUT_S

SECRET = "between us"
ROWS, OPENING = 60, 100
TAKEOVER_S = 3.0
RETRY_SAFE = frozenset((1205, 1213, 9102, 9103, 9105))
UNDETERMINED = 9101


@dataclass
class Cluster:
    servers: list[AnyServer]
    config: Path
    addresses: list[str]
    proxies: list[ProxyProcess]
    oracles: list[OracleProcess] = field(default_factory=list)

    def start_oracle(self) -> OracleProcess:
        log = self.config.with_name(f"oracle{len(self.oracles)}.log")
        self.oracles.append(OracleProcess(self.config, log))
        return self.oracles[-1]

    def leader(self) -> OracleProcess:
        """The one that began the newest epoch, of those that live."""
        living = [oracle for oracle in self.oracles if oracle.process.poll() is None]
        return max(
            living, key=lambda oracle: max((e["epoch"] for e in oracle.events("tso_ready")), default=0)
        )


@pytest.fixture
async def cluster(fresh_shard_servers: StartServers, tmp_path: Path) -> AsyncIterator[Cluster]:
    servers = await fresh_shard_servers(count=3)
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(3)]
    configs = [
        Config(
            proxy=ProxyConfig(listen=f"127.0.0.1:{free_port()}"),
            users=(UserConfig(name="root", password=""),),
            shards=tuple(
                ShardConfig(name=f"s{n}", host=s.host, port=s.port, user=s.user, password=s.password)
                for n, s in enumerate(servers, 1)
            ),
            tso=TsoConfig(embedded=False, addresses=tuple(addresses), secret=SECRET),
            engine=EngineConfig(lock_wait_timeout_s=3),
            log=LogConfig(format="json"),
        )
        for _ in range(2)
    ]
    proxies = []
    for number, config in enumerate(configs):
        path = tmp_path / f"{number}.toml"
        path.write_text(to_toml(config))
        proxies.append(ProxyProcess(path, config, path.with_suffix(".log")))
    cluster = Cluster(servers, tmp_path / "0.toml", addresses, proxies)
    with all_killed(cluster.oracles):
        cluster.start_oracle().wait_for("tso_ready")
        cluster.start_oracle().wait_for("tso_stands_by")
        try:
            for proxy in proxies:
                await proxy.start()
            yield cluster
        finally:
            for proxy in proxies:
                await proxy.stop()


class Load:
    """Transfers and sums through one proxy, in threads of its own, until the block ends."""

    def __init__(self, proxy: ProxyProcess, seed: int) -> None:
        self._proxy = proxy
        self._seed = seed
        self._over = threading.Event()
        self.transferred_at: list[float] = []
        self.undetermined = 0
        self.sums: set[int] = set()
        self.surprises: list[Exception] = []

    async def wait_for_transfer(self, timeout_s: float) -> float:
        """When the first transfer that begins from now on is acknowledged."""
        done, deadline = len(self.transferred_at) + 1, time.monotonic() + timeout_s  # one may be under way
        while len(self.transferred_at) <= done:
            assert time.monotonic() < deadline, f"no transfer within {timeout_s} s"
            await asyncio.sleep(0.01)
        return self.transferred_at[done]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        work = [
            asyncio.get_running_loop().create_task(asyncio.to_thread(self._guarded, act))
            for act in (self._transfers, self._sums)
        ]
        try:
            yield self
        finally:
            self._over.set()
            await asyncio.gather(*work)
        assert not self.surprises

    def _guarded(self, act: Callable[[Connection[Any]], None]) -> None:
        while not self._over.is_set():
            try:
                with connect(self._proxy, "bank") as connection:
                    while not self._over.is_set():
                        self._once(act, connection)
            except Exception as error:
                self.surprises.append(error)
                return

    def _once(self, act: Callable[[Connection[Any]], None], connection: Connection[Any]) -> None:
        try:
            act(connection)
        except pymysql.err.MySQLError as error:
            if error.args[0] == UNDETERMINED:
                self.undetermined += 1
            elif error.args[0] not in RETRY_SAFE:
                raise
            run(connection, "ROLLBACK")

    def _transfers(self, connection: Connection[Any]) -> None:
        chance = random.Random(self._seed + len(self.transferred_at))
        source, target = chance.sample(range(ROWS), 2)
        run(connection, "BEGIN")
        run(connection, f"UPDATE account SET balance = balance - 1 WHERE id = {source}")
        run(connection, f"UPDATE account SET balance = balance + 1 WHERE id = {target}")
        run(connection, "COMMIT")
        self.transferred_at.append(time.monotonic())
        time.sleep(0.01)

    def _sums(self, connection: Connection[Any]) -> None:
        self.sums.add(int(run(connection, "SELECT SUM(balance) FROM account")[0][0]))
        time.sleep(0.02)


class Timestamps:
    """Takes one after the other, from whoever leads; each must be above the last."""

    def __init__(self, tso: RemoteTso) -> None:
        self._tso = tso
        self.last = Timestamp(0)
        self.last_at = 0.0
        self.taken = 0

    async def take(self) -> None:
        while True:
            try:
                begun = await self._tso.begin()
            except TsoError:
                await asyncio.sleep(0.01)
                continue
            assert begun.start_ts > self.last
            self.last, self.last_at = begun.start_ts, time.monotonic()
            self.taken += 1
            await self._tso.end(begun.start_ts)
            await asyncio.sleep(0.005)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Timestamps]:
        taking = asyncio.get_running_loop().create_task(self.take())
        try:
            yield self
        finally:
            taking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await taking


def create_accounts(proxy: ProxyProcess) -> None:
    with connect(proxy) as connection:
        run(connection, "CREATE DATABASE bank")
        run(connection, "CREATE TABLE bank.here (id INT PRIMARY KEY) COMMENT='txguard: single, home=s1'")
        run(connection, "CREATE TABLE bank.account (id INT PRIMARY KEY, balance INT NOT NULL)")
        run(
            connection,
            "INSERT INTO bank.account VALUES " + ", ".join(f"({n}, {OPENING})" for n in range(ROWS)),
        )


async def wait_for_table(proxy: ProxyProcess) -> None:
    deadline = time.monotonic() + 10
    with connect(proxy) as connection:
        while True:
            try:
                run(connection, "SELECT 1 FROM bank.account WHERE id = 1")
                return
            except pymysql.err.MySQLError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)


async def locks_go(proxy: ProxyProcess) -> None:
    deadline = time.monotonic() + 10
    with connect(proxy) as connection:
        while left := run(connection, "SHOW TXGUARD LOCKS"):
            assert time.monotonic() < deadline, left
            await asyncio.sleep(0.1)


def status(proxy: ProxyProcess) -> dict[str, str]:
    with connect(proxy) as connection:
        return dict(run(connection, "SHOW TXGUARD STATUS"))  # type: ignore[arg-type]


@pytest.mark.mariadb_only
async def test_the_lead_goes_over_and_nobody_is_harmed(cluster: Cluster) -> None:
    create_accounts(cluster.proxies[0])
    await wait_for_table(cluster.proxies[1])
    loads = [Load(proxy, seed * 1_000_000) for seed, proxy in enumerate(cluster.proxies)]
    tso = await RemoteTso.connect(*map(split_address, cluster.addresses), secret=SECRET)
    timestamps = Timestamps(tso)

    async def settled_after(event: float) -> None:
        """A new leader serves both proxies' transfers in time."""
        for load in loads:
            taken_s = await load.wait_for_transfer(10) - event
            print(f"a transfer {taken_s:.2f} s after it")
            assert taken_s < TAKEOVER_S
        assert timestamps.last_at > event

    async with tso, timestamps.running(), loads[0].running(), loads[1].running():
        for load in loads:
            await load.wait_for_transfer(10)

        killed = cluster.leader()
        killed.kill9()
        await settled_after(time.monotonic())
        cluster.start_oracle().wait_for("tso_stands_by")

        stopped = cluster.leader()
        assert stopped is not killed
        stopped.signal(signal.SIGSTOP)
        await settled_after(time.monotonic())
        stopped.signal(signal.SIGCONT)
        stopped.wait_for("tso_deposed")
        stopped.wait_for("tso_stands_by", count=2)

        leader, before = cluster.leader(), timestamps.taken
        await cluster.servers[0].kill9()
        await asyncio.sleep(2.5)  # longer than a lease
        assert cluster.leader() is leader, "a majority of the shards is enough"
        assert timestamps.taken > before + 100
        leader.kill9()
        died_at = time.monotonic()
        while timestamps.last_at < died_at:
            assert time.monotonic() < died_at + TAKEOVER_S
            await asyncio.sleep(0.01)
        await cluster.servers[0].restart()
        for load in loads:
            await load.wait_for_transfer(30)

    for load in loads:
        assert load.sums == {ROWS * OPENING}
    for proxy in cluster.proxies:
        await locks_go(proxy)
        ready = cluster.leader().events("tso_ready")[-1]
        shown = status(proxy)
        assert (shown["tso_leader"], int(shown["tso_epoch"])) == (ready["address"], ready["epoch"])


@pytest.mark.mariadb_only
async def test_a_shard_that_hangs_does_not_hold_up_the_others(cluster: Cluster) -> None:
    """The machine of the leader and of a shard is lost. When the shard is back, nothing is read there unfenced."""
    create_accounts(cluster.proxies[0])
    await wait_for_table(cluster.proxies[1])
    hanging = cluster.servers[2]
    assert isinstance(hanging, Server)
    load = Load(cluster.proxies[0], 1)
    async with load.running():
        await load.wait_for_transfer(10)
        hanging.pause()
        cluster.leader().kill9()
        died_at = time.monotonic()
        try:
            with connect(cluster.proxies[1]) as connection:
                await asyncio.to_thread(_insert_until_it_works, connection)
            taken_s = time.monotonic() - died_at
            print(f"a commit {taken_s:.2f} s after it")
            assert taken_s < TAKEOVER_S + SUCCESSION_TIMEOUT_S
        finally:
            hanging.resume()
        await load.wait_for_transfer(20)
    assert load.sums == {ROWS * OPENING}
    await locks_go(cluster.proxies[1])


def _insert_until_it_works(connection: Connection[Any]) -> None:
    while True:
        try:
            run(connection, "BEGIN")
            run(connection, "INSERT INTO bank.here VALUES (1)")
            run(connection, "COMMIT")
            return
        except pymysql.err.MySQLError as error:
            if error.args[0] not in RETRY_SAFE:
                raise
            run(connection, "ROLLBACK")


@pytest.mark.mariadb_only
async def test_without_a_standby_one_that_comes_back_serves_within_seconds(cluster: Cluster) -> None:
    create_accounts(cluster.proxies[0])
    load = Load(cluster.proxies[0], 1)
    async with load.running():
        await load.wait_for_transfer(10)
        leader = cluster.leader()
        for standby in cluster.oracles:
            if standby is not leader:
                standby.end()
        leader.kill9()
        cluster.start_oracle()
        back_at = time.monotonic()
        assert await load.wait_for_transfer(10) - back_at < 5
    assert load.sums == {ROWS * OPENING}
