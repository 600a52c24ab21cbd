"""Two proxies over the same shards, which share the oracle's service: one database through either of them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
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
    to_toml,
)
from proxy.playground.processes import free_port
from proxy.playground.proxy_process import ProxyProcess
from tests.conftest import StartServers
from tests.fakes.clients import connect_port
from tests.integration.oracle_processes import OracleProcess

ROWS = 60


def run(connection: Connection[Any], sql: str) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall())


def connect(proxy: ProxyProcess, database: str | None = None) -> Connection[Any]:
    return connect_port(proxy.port, database)


@pytest.fixture
async def proxies(fresh_shard_servers: StartServers, tmp_path: Path) -> AsyncIterator[list[ProxyProcess]]:
    servers = await fresh_shard_servers(count=2)
    oracle_address = f"127.0.0.1:{free_port()}"
    configs = [
        Config(
            proxy=ProxyConfig(listen=f"127.0.0.1:{free_port()}"),
            users=(UserConfig(name="root", password=""),),
            shards=tuple(
                ShardConfig(name=f"s{n}", host=s.host, port=s.port, user=s.user, password=s.password)
                for n, s in enumerate(servers, 1)
            ),
            tso=TsoConfig(embedded=False, address=oracle_address, secret="between us"),
            engine=EngineConfig(lock_wait_timeout_s=3),
            log=LogConfig(format="json"),
        )
        for _ in range(2)
    ]
    paths = [tmp_path / f"{number}.toml" for number in (1, 2)]
    for path, config in zip(paths, configs, strict=True):
        path.write_text(to_toml(config))
    oracle = OracleProcess(paths[0], tmp_path / "oracle.log")
    started: list[ProxyProcess] = []
    try:
        oracle.wait_for("tso_ready")
        for path, config in zip(paths, configs, strict=True):
            started.append(ProxyProcess(path, config, path.with_suffix(".log")))
            await started[-1].start()
        yield started
    finally:
        for proxy in started:
            await proxy.stop()
        oracle.end()


def wait_for_table(proxy: ProxyProcess, table: str) -> None:
    """A proxy looks for what another has defined every two seconds."""
    deadline = time.monotonic() + 10
    with connect(proxy) as connection:
        while True:
            try:
                run(connection, f"SELECT 1 FROM {table} LIMIT 1")
            except pymysql.err.MySQLError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return


async def test_tables_made_through_one_are_seen_through_the_other(proxies: list[ProxyProcess]) -> None:
    with connect(proxies[0]) as one, connect(proxies[1]) as two:
        run(one, "CREATE DATABASE shop")
        run(one, "CREATE TABLE shop.item (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(10))")
        deadline = time.monotonic() + 10
        while True:
            try:
                run(two, "INSERT INTO shop.item (name) VALUES ('b')")
                break
            except pymysql.err.MySQLError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.2)
        run(one, "INSERT INTO shop.item (name) VALUES ('a')")
        assert sorted(run(two, "SELECT name FROM shop.item")) == [("a",), ("b",)]
        assert len(set(run(one, "SELECT id FROM shop.item"))) == 2


async def test_transfers_through_both_keep_the_sum_in_every_snapshot(proxies: list[ProxyProcess]) -> None:
    with connect(proxies[0]) as one:
        run(one, "CREATE DATABASE bank")
        run(one, "CREATE TABLE bank.account (id INT PRIMARY KEY, balance INT NOT NULL)")
        run(one, "INSERT INTO bank.account VALUES " + ", ".join(f"({n}, 100)" for n in range(ROWS)))
    await asyncio.to_thread(wait_for_table, proxies[1], "bank.account")
    until = time.monotonic() + 4

    def transfers(proxy: ProxyProcess, seed: int) -> int:
        chance, done = random.Random(seed), 0
        with connect(proxy, "bank") as connection:
            while time.monotonic() < until:
                source, target = chance.sample(range(ROWS), 2)
                try:
                    run(connection, "BEGIN")
                    run(connection, f"UPDATE account SET balance = balance - 1 WHERE id = {source}")
                    run(connection, f"UPDATE account SET balance = balance + 1 WHERE id = {target}")
                    run(connection, "COMMIT")
                    done += 1
                except pymysql.err.MySQLError as error:
                    if error.args[0] not in (1205, 1213):
                        raise
                    run(connection, "ROLLBACK")
        return done

    def sums(proxy: ProxyProcess) -> set[int]:
        seen: set[int] = set()
        with connect(proxy, "bank") as connection:
            while time.monotonic() < until:
                seen.add(int(run(connection, "SELECT SUM(balance) FROM account")[0][0]))
        return seen

    work = [asyncio.to_thread(transfers, proxy, seed) for seed, proxy in enumerate(proxies * 2)]
    done = await asyncio.gather(*work, *(asyncio.to_thread(sums, proxy) for proxy in proxies))
    counts, seen = done[:4], done[4:]
    assert all(isinstance(count, int) and count > 0 for count in counts)
    assert seen == [{100 * ROWS}, {100 * ROWS}]
