"""A whole TxGuard to be tortured: servers, oracles, proxies, and a link on every connection between them.

Clients reach each proxy through a link, proxies and oracles each shard, proxies each oracle. `supervise` starts again
what has ended, unless a fault holds it down, as systemd would.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

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
from proxy.playground.errors import PlaygroundError
from proxy.playground.installations import Installation
from proxy.playground.processes import free_port, greets
from proxy.playground.servers import Server, start_all, stop_servers
from tests.torture.children import Child, ChildFailed, Victim
from tests.torture.faults.links import HOST, Link

RETENTION_S: Final = 60
LOCK_WAIT_S: Final = 4
PROXY_CLIENTS: Final = 120
_SECRET: Final = "torture"
_TMPFS: Final = "size=700m"
_SUPERVISE_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Shape:
    servers: int = 3
    proxies: int = 2
    oracles: int = 2
    """One leads, the others stand by."""
    workers: int = 1
    """Processes of the last proxy."""
    small_disk: bool = False
    """The last server's data lie on a small file system of their own, which a fault can fill (root only)."""
    fake_clock: Path | None = None
    """libfaketime, under which the oracles then run."""


@dataclass(slots=True)
class Cluster:
    shape: Shape
    folder: Path
    servers: list[Server]
    oracles: list[Child] = field(default_factory=list)
    proxies: list[Child] = field(default_factory=list)
    links: dict[str, Link] = field(default_factory=dict)
    """By name: "client-p1", "p1-s2", "p1-o1", "o1-s2"."""
    held_down: set[str] = field(default_factory=set)
    starting: set[str] = field(default_factory=set)
    """What the supervisor is starting now."""

    @property
    def client_ports(self) -> list[int]:
        return [self.links[f"client-p{n}"].port for n in range(1, self.shape.proxies + 1)]

    def clock_file(self, oracle: str) -> Path:
        """What libfaketime reads: how far the oracle's wall clock is off."""
        return self.folder / f"{oracle}.clock"

    @property
    def disk(self) -> Path:
        return self.servers[-1].folder

    def process(self, name: str) -> Victim:
        """By name: "s1", "o1", "p1"."""
        group: Mapping[str, list[Server] | list[Child]] = {
            "s": self.servers,
            "o": self.oracles,
            "p": self.proxies,
        }
        return group[name[0]][int(name[1:]) - 1]

    @property
    def names(self) -> list[str]:
        groups = (("s", self.servers), ("o", self.oracles), ("p", self.proxies))
        return [f"{letter}{n}" for letter, group in groups for n in range(1, len(group) + 1)]

    @property
    def complete(self) -> bool:
        return not self.starting and all(self.process(name).running for name in self.names)

    async def supervise(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in self.names:
                group.create_task(self._supervise(name))

    async def _supervise(self, name: str) -> None:
        process = self.process(name)
        while True:
            if name not in self.held_down and not process.running:
                self.starting.add(name)
                # It may fail to start, for a full disk, or for a server that is down: then it is tried again.
                with contextlib.suppress(ChildFailed, PlaygroundError):
                    await process.start()
                self.starting.discard(name)
            await asyncio.sleep(_SUPERVISE_EVERY_S)


@contextlib.asynccontextmanager
async def open_cluster(
    installation: Installation, folder: Path, shape: Shape, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Cluster]:
    """`environment` is the proxies'. Everything that was started is stopped, whatever happens."""
    servers = [Server(installation, folder / f"s{n}") for n in range(1, shape.servers + 1)]
    cluster = Cluster(shape, folder, servers)
    async with contextlib.AsyncExitStack() as stack:
        if shape.small_disk:
            stack.enter_context(_small_disk(cluster.disk))
        stack.push_async_callback(_stop, cluster)
        await start_all(servers)
        ports = [free_port() for _ in range(shape.oracles)]
        for number in range(1, shape.oracles + 1):
            await _open_links(cluster, f"o{number}", [], stack)
            cluster.oracles.append(_oracle(cluster, number, ports))
        for number in range(1, shape.proxies + 1):
            await _open_links(cluster, f"p{number}", ports, stack)
            proxy = _proxy(cluster, number)
            proxy.environment |= environment or {}
            client = Link(f"client-p{number}", proxy.port)
            cluster.links[client.name] = await stack.enter_async_context(client)
            cluster.proxies.append(proxy)
        async with asyncio.TaskGroup() as group:
            for child in [*cluster.oracles, *cluster.proxies]:
                group.create_task(child.start())
        yield cluster


async def _open_links(
    cluster: Cluster, owner: str, oracle_ports: list[int], stack: contextlib.AsyncExitStack
) -> None:
    targets = {f"s{n}": server.port for n, server in enumerate(cluster.servers, 1)}
    targets |= {f"o{n}": port for n, port in enumerate(oracle_ports, 1)}
    for name, port in targets.items():
        link = await stack.enter_async_context(Link(f"{owner}-{name}", port))
        cluster.links[link.name] = link


async def _stop(cluster: Cluster) -> None:
    for name in cluster.names:
        cluster.process(name).resume()
    await asyncio.gather(*(child.stop() for child in [*cluster.proxies, *cluster.oracles]))
    await stop_servers(cluster.servers)


def _config(cluster: Cluster, owner: str, listen: int, oracle_ports: list[int]) -> Config:
    """As `owner` sees the shards: through its links."""
    shards = tuple(
        ShardConfig(
            name=f"s{n}",
            host=HOST,
            port=cluster.links[f"{owner}-s{n}"].port,
            user=server.user,
            password=server.password,
            connect_timeout_s=2,
            max_connections=60,
        )
        for n, server in enumerate(cluster.servers, 1)
    )
    addresses = tuple(f"{HOST}:{port}" for port in oracle_ports)
    return Config(
        proxy=ProxyConfig(listen=f"{HOST}:{listen}", max_connections=PROXY_CLIENTS),
        users=(UserConfig(name="root", password=""),),
        shards=shards,
        tso=TsoConfig(embedded=False, addresses=addresses, secret=_SECRET),
        engine=EngineConfig(retention_s=RETENTION_S, lock_wait_timeout_s=LOCK_WAIT_S),
        log=LogConfig(level="info", format="json"),
    )


def _write(cluster: Cluster, name: str, config: Config) -> Path:
    path = cluster.folder / f"{name}.toml"
    path.write_text(to_toml(config))
    return path


def _oracle(cluster: Cluster, number: int, ports: list[int]) -> Child:
    name, port = f"o{number}", ports[number - 1]
    path = _write(cluster, name, _config(cluster, name, free_port(), ports))
    command = ["-c", "from proxy.cli import main; main()", "tso"]
    arguments = [*command, "--config", str(path), "--address", f"{HOST}:{port}"]
    child = Child(name, port, arguments, cluster.folder / f"{name}.log", lambda: _listens(port))
    if cluster.shape.fake_clock is not None:
        cluster.clock_file(name).write_text("+0\n")
        child.environment |= {
            "LD_PRELOAD": str(cluster.shape.fake_clock),
            "FAKETIME_TIMESTAMP_FILE": str(cluster.clock_file(name)),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
    return child


def _proxy(cluster: Cluster, number: int) -> Child:
    name, port = f"p{number}", free_port()
    oracles = [cluster.links[f"{name}-o{n}"].port for n in range(1, cluster.shape.oracles + 1)]
    path = _write(cluster, name, _config(cluster, name, port, oracles))
    workers = cluster.shape.workers if number == cluster.shape.proxies else 1
    arguments = ["-m", "proxy", "--config", str(path), "--workers", str(workers)]
    log = cluster.folder / f"{name}.log"
    return Child(name, port, arguments, log, lambda: greets(asyncio.open_connection(HOST, port)))


async def _listens(port: int) -> bool:
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(HOST, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", _TMPFS, "txguard-torture", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def can_mount(folder: Path) -> bool:
    """Whether this process may mount a small file system there."""
    if os.geteuid() != 0:
        return False
    trial = folder / "mount-trial"
    trial.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "txguard-torture", str(trial)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode == 0:
        subprocess.run(["umount", str(trial)], check=False)
    trial.rmdir()
    return mounted.returncode == 0


def find_fake_clock() -> Path | None:
    """Debian's libfaketime, where it is installed."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else None
