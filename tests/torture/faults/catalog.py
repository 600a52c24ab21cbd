"""The faults: each with all its particulars, so that its text says what happened.

The rule: `heal` undoes `inject`, however far that came, and both may be called in any state of the cluster; what
died for good is started again by `Cluster.supervise`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import warnings
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import aiomysql
from pymysql.err import MySQLError

from proxy.playground.errors import PlaygroundError
from proxy.playground.servers import Server
from tests.torture.children import Child, ChildFailed
from tests.torture.cluster import Cluster
from tests.torture.faults.links import HOST
from tests.torture.faults.toxics import Toxic

_SQL_TIMEOUT_S: Final = 2.0
_UNREACHABLE: Final = (MySQLError, OSError, TimeoutError, RuntimeError)


class Fault(ABC):
    @abstractmethod
    async def inject(self, cluster: Cluster) -> None: ...

    @abstractmethod
    async def heal(self, cluster: Cluster) -> None: ...


@dataclass(slots=True)
class Kill9(Fault):
    """It stays away until it is healed."""

    process: str

    async def inject(self, cluster: Cluster) -> None:
        cluster.held_down.add(self.process)
        await cluster.process(self.process).kill9()

    async def heal(self, cluster: Cluster) -> None:
        cluster.held_down.discard(self.process)


@dataclass(slots=True)
class KillWorker(Fault):
    """kill -9 of one of a proxy's workers, where it has some; the proxy itself starts another one."""

    process: str
    which: int

    async def inject(self, cluster: Cluster) -> None:
        child = cluster.process(self.process)
        assert isinstance(child, Child)
        if workers := child.workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(workers[self.which % len(workers)], signal.SIGKILL)

    async def heal(self, cluster: Cluster) -> None:
        return


@dataclass(slots=True)
class Pause(Fault):
    """SIGSTOP: connections stay open, and nothing answers. Also what a disk looks like whose fsync takes seconds."""

    process: str

    async def inject(self, cluster: Cluster) -> None:
        cluster.process(self.process).pause()

    async def heal(self, cluster: Cluster) -> None:
        cluster.process(self.process).resume()


@dataclass(slots=True)
class Restart(Fault):
    """SIGTERM, as an upgrade does."""

    process: str

    async def inject(self, cluster: Cluster) -> None:
        cluster.held_down.add(self.process)
        await cluster.process(self.process).stop()

    async def heal(self, cluster: Cluster) -> None:
        cluster.held_down.discard(self.process)


@dataclass(slots=True)
class Failpoint(Fault):
    """The proxy comes back with a failpoint armed: it dies, fails or is late at a named place of the commit."""

    process: str
    setting: str
    pid: int | None = field(default=None, repr=False)
    """Of the life that is armed."""

    async def inject(self, cluster: Cluster) -> None:
        await self._restart(cluster, self.setting)
        self.pid = self._child(cluster).pid

    async def heal(self, cluster: Cluster) -> None:
        """Where it has died there, the supervisor has started it again, without the failpoint."""
        child = self._child(cluster)
        if child.running and child.pid == self.pid:
            await self._restart(cluster, None)
        cluster.held_down.discard(self.process)

    async def _restart(self, cluster: Cluster, setting: str | None) -> None:
        child = self._child(cluster)
        cluster.held_down.add(self.process)
        await child.kill9()
        settings = ";".join(filter(None, (child.environment.get("TXGUARD_FAILPOINTS"), setting)))
        with contextlib.suppress(
            ChildFailed
        ):  # a shard or the oracle may be down: the supervisor tries again
            await child.start({"TXGUARD_FAILPOINTS": settings} if settings else None)
        cluster.held_down.discard(self.process)

    def _child(self, cluster: Cluster) -> Child:
        child = cluster.process(self.process)
        assert isinstance(child, Child)
        return child


@dataclass(slots=True)
class Poison(Fault):
    """A toxic on some links."""

    links: tuple[str, ...]
    toxic: Toxic

    async def inject(self, cluster: Cluster) -> None:
        for name in self.links:
            cluster.links[name].poison(self.toxic)

    async def heal(self, cluster: Cluster) -> None:
        for name in self.links:
            cluster.links[name].cure()


@dataclass(slots=True)
class KillConnections(Fault):
    """KILL of a part of TxGuard's connections to a server, behind its back."""

    server: str
    share: float
    seed: int

    async def inject(self, cluster: Cluster) -> None:
        rng = random.Random(self.seed)
        with contextlib.suppress(*_UNREACHABLE):
            async with _connected(cluster, self.server) as cursor:
                for thread, user in await _sessions(cursor):
                    if user == "root" and rng.random() < self.share:
                        with contextlib.suppress(MySQLError):  # it has gone by itself
                            await cursor.execute(f"KILL {thread}")

    async def heal(self, cluster: Cluster) -> None:
        return


@dataclass(slots=True)
class KillQueries(Fault):
    """KILL QUERY of a part of TxGuard's connections to a server, over and over: it meets them anywhere in a packet."""

    server: str
    share: float
    seed: int
    rounds: int

    async def inject(self, cluster: Cluster) -> None:
        rng = random.Random(self.seed)
        with contextlib.suppress(*_UNREACHABLE):
            async with _connected(cluster, self.server) as cursor:
                for _ in range(self.rounds):
                    for thread, user in await _sessions(cursor):
                        if user == "root" and rng.random() < self.share:
                            with contextlib.suppress(MySQLError):  # it has gone by itself
                                await cursor.execute(f"KILL QUERY {thread}")

    async def heal(self, cluster: Cluster) -> None:
        return


@dataclass(slots=True)
class Crowd(Fault):
    """max_connections of a server is reached: those that are there stay, nobody else is let in."""

    server: str
    usual: int = field(default=0, repr=False)
    connection: Any = field(default=None, repr=False)
    """Kept open: later there might be no way in."""

    async def inject(self, cluster: Cluster) -> None:
        with contextlib.suppress(*_UNREACHABLE):
            async with asyncio.timeout(_SQL_TIMEOUT_S):
                self.connection = await _connect(cluster, self.server)
                cursor = await self.connection.cursor()
                await cursor.execute("SELECT @@max_connections")
                [usual] = await cursor.fetchone()
                present = len(await _sessions(cursor))
                self.usual = int(usual)
                await cursor.execute(f"SET GLOBAL max_connections = {max(10, present)}")

    async def heal(self, cluster: Cluster) -> None:
        """A server that was killed meanwhile has come back with its own setting."""
        connection, self.connection = self.connection, None
        if not self.usual or connection is None:
            return
        try:
            async with asyncio.timeout(_SQL_TIMEOUT_S), connection.cursor() as cursor:
                await cursor.execute(f"SET GLOBAL max_connections = {self.usual}")
        except _UNREACHABLE:  # another fault has cut it: nobody gets in any more, so start it anew
            await cluster.process(self.server).kill9()
        finally:
            connection.close()


@dataclass(slots=True)
class ProxyCrowd(Fault):
    """Idle clients until the proxy lets no more in."""

    process: str
    idle: list[Any] = field(default_factory=list, repr=False)

    async def inject(self, cluster: Cluster) -> None:
        child = cluster.process(self.process)
        assert isinstance(child, Child)
        with contextlib.suppress(*_UNREACHABLE):
            for _ in range(200):
                async with asyncio.timeout(_SQL_TIMEOUT_S):
                    self.idle.append(await aiomysql.connect(host=HOST, port=child.port, user="root"))

    async def heal(self, cluster: Cluster) -> None:
        for connection in self.idle:
            connection.close()
        self.idle.clear()


@dataclass(slots=True)
class FullDisk(Fault):
    """The last server's file system has no free byte."""

    async def inject(self, cluster: Cluster) -> None:
        descriptor = os.open(cluster.disk / "ballast", os.O_CREAT | os.O_WRONLY)
        try:
            free = os.statvfs(cluster.disk)
            os.posix_fallocate(descriptor, 0, free.f_bavail * free.f_frsize)
        except OSError:  # the server was faster
            pass
        finally:
            os.close(descriptor)

    async def heal(self, cluster: Cluster) -> None:
        (cluster.disk / "ballast").unlink(missing_ok=True)


@dataclass(slots=True)
class StalledCommits(Fault):
    """A server reads, but no statement that writes and no commit gets through, as when its fsync takes seconds."""

    server: str
    connection: Any = field(default=None, repr=False)

    async def inject(self, cluster: Cluster) -> None:
        with contextlib.suppress(*_UNREACHABLE):
            async with asyncio.timeout(_SQL_TIMEOUT_S):
                self.connection = await _connect(cluster, self.server)
                cursor = await self.connection.cursor()
                await cursor.execute("FLUSH TABLES WITH READ LOCK")

    async def heal(self, cluster: Cluster) -> None:
        """The lock ends with its connection, also one that is not granted yet."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


@dataclass(slots=True)
class ClockJump(Fault):
    """An oracle's wall clock steps; the monotonic one goes on."""

    oracle: str
    seconds: int

    async def inject(self, cluster: Cluster) -> None:
        cluster.clock_file(self.oracle).write_text(f"{self.seconds:+d}\n")

    async def heal(self, cluster: Cluster) -> None:
        cluster.clock_file(self.oracle).write_text("+0\n")


async def _connect(cluster: Cluster, server: str) -> Any:
    target = cluster.process(server)
    assert isinstance(target, Server)
    return await aiomysql.connect(
        host=target.host, port=target.port, user=target.user, autocommit=True, connect_timeout=_SQL_TIMEOUT_S
    )


async def _sessions(cursor: Any) -> list[tuple[int, str]]:
    """(id, user) of the server's others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MySQL 9 would rather be asked by a name that MariaDB does not know
        await cursor.execute("SHOW PROCESSLIST")
    own = cursor.connection.thread_id()
    return [(row[0], row[1]) for row in await cursor.fetchall() if row[0] != own]


@contextlib.asynccontextmanager
async def _connected(cluster: Cluster, server: str) -> AsyncIterator[Any]:
    """A cursor on the server itself, for a moment."""
    async with asyncio.timeout(_SQL_TIMEOUT_S):
        connection = await _connect(cluster, server)
        try:
            async with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()


async def heal_all(cluster: Cluster, faults: list[Fault]) -> None:
    for fault in faults:
        with contextlib.suppress(ChildFailed, PlaygroundError):
            await fault.heal(cluster)
