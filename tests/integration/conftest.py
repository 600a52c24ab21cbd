"""A whole TxGuard for the tests of the proxy: three private servers and `python -m proxy` in front of them.

One for each kind of server and the whole run: each test makes databases of its own (`database`). Tests that kill
something start their own, by `own_cluster`.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymysql.connections import Connection

from proxy.config import Config, EngineConfig, LogConfig, ProxyConfig, ShardConfig, UserConfig, to_toml
from proxy.playground.processes import free_port
from proxy.playground.proxy_process import ProxyProcess
from proxy.playground.servers import ServerKind
from tests.conftest import AnyServer, StartServers, _start, _stop
from tests.fakes.clients import connect_port, connect_server

USER, PASSWORD = "root", ""
LIMITED_USER, LIMITED_PASSWORD = "limited", "se'cret"
LIMITED_DATABASE = "limited_db"
LOCK_WAIT_TIMEOUT_S = 3


@dataclass(slots=True)
class Cluster:
    servers: Sequence[AnyServer]
    proxy: ProxyProcess
    config: Config

    @property
    def port(self) -> int:
        return self.proxy.port

    def connect(self, database: str | None = None, **options: Any) -> Connection[Any]:
        """A client of the proxy, in autocommit mode unless told otherwise."""
        return connect_port(self.port, database, **options)

    def connect_shard(self, number: int, database: str | None = None) -> Connection[Any]:
        """A client of a shard itself, behind the proxy's back."""
        return connect_server(self.servers[number], database)


StartCluster = Callable[..., Awaitable[Cluster]]


def _config(servers: Sequence[AnyServer], max_connections: int, proxy: dict[str, Any]) -> Config:
    shards = tuple(
        ShardConfig(
            name=f"s{number}",
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            connect_timeout_s=2,
            max_connections=max_connections,
        )
        for number, server in enumerate(servers, 1)
    )
    return Config(
        proxy=ProxyConfig(listen=f"127.0.0.1:{free_port()}", max_packet_bytes=20 * 1024 * 1024, **proxy),
        users=(
            UserConfig(name=USER, password=PASSWORD),
            UserConfig(name=LIMITED_USER, password=LIMITED_PASSWORD, databases=(LIMITED_DATABASE,)),
        ),
        shards=shards,
        engine=EngineConfig(lock_wait_timeout_s=LOCK_WAIT_TIMEOUT_S),
        log=LogConfig(level="info"),
    )


async def open_cluster(
    servers: Sequence[AnyServer],
    folder: Path,
    *,
    max_connections: int = 100,
    retention_s: int | None = None,
    **proxy: Any,
) -> Cluster:
    """`proxy`: more of the configuration's [proxy]."""
    config = _config(servers, max_connections, proxy)
    if retention_s is not None:
        engine = config.engine.model_copy(update={"retention_s": retention_s})
        config = config.model_copy(update={"engine": engine})
    path = folder / "txguard.toml"
    path.write_text(to_toml(config))
    proxy = ProxyProcess(path, config, folder / "proxy.log")
    await proxy.start()
    return Cluster(servers, proxy, config)


@pytest.fixture(scope="session")
def proxy_cluster(server_kind: ServerKind) -> Iterator[Cluster]:
    """Shared: do not kill or reconfigure it."""
    folder = Path(tempfile.mkdtemp(prefix="txguard-test-"))
    servers: list[AnyServer] = []
    cluster: Cluster | None = None
    try:
        servers = _run(_start(server_kind, folder, 3))
        cluster = _run(open_cluster(servers, folder))
        yield cluster
    finally:
        if cluster is not None:
            _run(cluster.proxy.stop())
        _run(_stop(servers))
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def own_cluster(fresh_shard_servers: StartServers, tmp_path: Path) -> AsyncIterator[StartCluster]:
    """`await own_cluster(count=3)`: servers and proxy of this test alone, to kill and restart."""
    started: list[Cluster] = []

    async def start(count: int = 3, **options: Any) -> Cluster:
        cluster = await open_cluster(await fresh_shard_servers(count=count), tmp_path, **options)
        started.append(cluster)
        return cluster

    yield start
    for cluster in started:
        await cluster.proxy.stop()


_NUMBERS = itertools.count(1)


@pytest.fixture
def database(proxy_cluster: Cluster) -> Iterator[str]:
    """A database of this test's own, dropped in the end."""
    name = f"t{next(_NUMBERS)}"
    with proxy_cluster.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name}")
        yield name
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Outside of any test's event loop: session fixtures outlive them."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()
