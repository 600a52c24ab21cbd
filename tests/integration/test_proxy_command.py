"""`python -m proxy` as a process: when it starts, when it refuses to, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pymysql
import pytest

from proxy.config import Config, ProxyConfig, ShardConfig, UserConfig, to_toml
from proxy.playground.processes import free_port
from proxy.playground.proxy_process import ProxyFailed, ProxyProcess
from proxy.playground.servers import Server

MakeProxy = Callable[..., ProxyProcess]


@pytest.fixture
def make_proxy(tmp_path: Path) -> Iterator[MakeProxy]:
    made: list[ProxyProcess] = []

    def make(servers: Sequence[Server], *, folder: Path = tmp_path, **proxy: object) -> ProxyProcess:
        config = Config(
            proxy=ProxyConfig.model_validate({"listen": f"127.0.0.1:{free_port()}", **proxy}),
            users=(UserConfig(name="root", password=""),),
            shards=tuple(
                ShardConfig(name=f"s{number}", port=server.port, user="root")
                for number, server in enumerate(servers, 1)
            ),
        )
        path = folder / "txguard.toml"
        path.write_text(to_toml(config))
        made.append(ProxyProcess(path, config, folder / "proxy.log"))
        return made[-1]

    yield make
    for proxy in made:
        if proxy.pid is not None and proxy.running:
            os.kill(proxy.pid, signal.SIGKILL)


async def test_it_serves_and_ends_on_sigterm(fresh_shard_servers, make_proxy: MakeProxy) -> None:
    proxy = make_proxy(await fresh_shard_servers(1))
    await proxy.start()
    with pymysql.connect(host=proxy.host, port=proxy.port, user="root") as idle, idle.cursor() as cursor:
        cursor.execute("SELECT 1")
        await proxy.stop()
    assert not proxy.running
    log = proxy.log.read_text()
    assert "nothing to mend" in log, "the doctor looked first"
    assert "Traceback" not in log
    await proxy.start()  # the port and the oracle's term were given back
    await proxy.stop()


async def test_it_refuses_shards_that_are_not_fit(fresh_shard_servers, make_proxy: MakeProxy) -> None:
    (server,) = await fresh_shard_servers(1)
    with pymysql.connect(host=server.host, port=server.port, user="root") as connection:
        connection.cursor().execute("SET GLOBAL read_only = ON")
    with pytest.raises(ProxyFailed, match="ended with status 1"):
        await make_proxy([server]).start()
    log = make_proxy([server]).log.read_text()
    assert "read_only is on" in log
    assert "the shards are not fit to be served" in log


async def test_it_ends_when_another_proxy_has_taken_its_oracle_over(
    fresh_shard_servers, make_proxy: MakeProxy, tmp_path: Path
) -> None:
    servers = await fresh_shard_servers(1)
    deposed = make_proxy(servers)
    await deposed.start()
    (tmp_path / "other").mkdir()
    other = make_proxy(servers, folder=tmp_path / "other")
    with pymysql.connect(host=deposed.host, port=deposed.port, user="root") as idle:
        await other.start()
        deadline = time.monotonic() + 20
        while deposed.running and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        assert deposed._process is not None
        assert deposed._process.poll() == 1
        with pytest.raises(pymysql.MySQLError):
            idle.query("SELECT 1")
    log = deposed.log.read_text()
    assert "the oracle stops serving" in log
    assert "txguard: the proxy ends: epoch" in log
    assert "Traceback" not in log
    with pymysql.connect(host=other.host, port=other.port, user="root") as client:
        client.query("CREATE DATABASE d")
    await other.stop()


async def test_an_address_in_use_is_told(fresh_shard_servers, make_proxy: MakeProxy) -> None:
    servers = await fresh_shard_servers(1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ProxyFailed, match=f"cannot serve on 127.0.0.1:{port}"):
            await make_proxy(servers, listen=f"127.0.0.1:{port}").start()


def test_a_bad_configuration_ends_with_status_2(tmp_path: Path) -> None:
    path = tmp_path / "txguard.toml"
    path.write_text("[proxy]\nlisten = 4000\n")
    ended = subprocess.run(
        [sys.executable, "-m", "proxy", "--config", str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert ended.returncode == 2
    assert f"{path}, line 2: proxy.listen" in ended.stderr
