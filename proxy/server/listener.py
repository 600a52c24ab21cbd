"""Where clients connect: the listening sockets, the limit on connections, the tasks of commands, the orderly stop.

Owns `Listener`. `run` binds, serves until `stop`, then lets statements end, tells idle clients (error 1053) and
returns when the last session has been closed. Every task of every connection lives in its task group.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import stat
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from proxy.errors import ProxyError
from proxy.server.connection_phase import Identity
from proxy.server.front import FrontConnection, Turn
from proxy.server.handler import SessionFactory

log = structlog.get_logger(__name__)

KEEPALIVE_IDLE_S = 120
SWEEP_S = 15.0
BACKLOG = 1024
CUT_OFF_S = 2.0
"""How long a session may take to let go once its client was dropped at the end."""


class TooManyConnections(ProxyError):
    """As many clients are connected as max_connections allows; try again later, or raise it."""

    errno = 1040
    sqlstate = "08004"


class ShutdownInProgress(ProxyError):
    """The proxy is stopping; connect again, to another proxy if there is one."""

    errno = 1053
    sqlstate = "08S01"


class IdleTooLong(ProxyError):
    """The client sent nothing for longer than idle_timeout_s."""

    errno = 4031
    sqlstate = "HY000"


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """The bounds on one client. Times in seconds."""

    max_connections: int = 10_000
    max_packet_bytes: int = 64 * 1024 * 1024
    handshake_timeout_s: float = 10.0
    idle_timeout_s: float = 28_800.0
    write_timeout_s: float = 60.0
    """How long a client may leave an answer unread before it is dropped."""
    stop_timeout_s: float = 30.0
    """How long statements may take to end when the proxy stops."""


@dataclass(frozen=True, slots=True)
class ListenerStatistics:
    connections: int
    running: int
    """Connections with a command in hand."""
    accepted_total: int
    refused_total: int


@dataclass(frozen=True, slots=True)
class SharedPort:
    """This process is number `number`, from 1, of `count` on one address. They share one listening Unix socket."""

    number: int
    count: int
    unix_socket: socket.socket | None


class Listener:
    def __init__(
        self,
        identity: Identity,
        session_factory: SessionFactory,
        settings: ListenerSettings,
        *,
        host: str | None = "127.0.0.1",
        port: int = 0,
        socket_path: Path | None = None,
        tls: ssl.SSLContext | None = None,
        shared: SharedPort | None = None,
    ) -> None:
        """`host` None: the Unix socket only. `port` 0: any that is free, see `addresses`.

        `shared`: other processes listen there, too.
        """
        self.identity = identity
        self.session_factory = session_factory
        self.settings = settings
        self.tls = tls
        self.farewell = ShutdownInProgress("Server shutdown in progress")
        self.loop: asyncio.AbstractEventLoop
        self.started = asyncio.Event()
        """Set when clients can connect."""
        self._host, self._port, self._socket_path = host, port, socket_path
        self._stop_asked = asyncio.Event()
        self._empty = asyncio.Event()
        self._connections: set[FrontConnection] = set()
        self._shared = shared
        self._ids = connection_ids() if shared is None else connection_ids(shared.number, shared.count)
        self._tasks: asyncio.TaskGroup
        self._running: set[asyncio.Task[None]] = set()
        self._accepted_total = self._refused_total = 0
        self._servers: list[asyncio.Server] = []

    @property
    def addresses(self) -> list[str]:
        """host:port of each listening TCP socket, and the Unix socket's path."""
        names = [sock.getsockname() for server in self._servers for sock in server.sockets]
        return [f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name) for name in names]

    def statistics(self) -> ListenerStatistics:
        running = sum(connection.turn is not Turn.IDLE for connection in self._connections)
        return ListenerStatistics(len(self._connections), running, self._accepted_total, self._refused_total)

    async def run(self) -> None:
        """Serve until `stop` is called. Raises OSError when an address cannot be bound."""
        self.loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as self._tasks:
            await self._bind()
            sweeper = self._tasks.create_task(self._sweep())
            self.started.set()
            try:
                await self._stop_asked.wait()
                await self._stop()
            finally:
                sweeper.cancel()
                self._unbind()
                await self._cut_off()

    def stop(self) -> None:
        """Begin the orderly stop; `run` returns when it is over."""
        self._stop_asked.set()

    # ---------------------------------------------------------------- for FrontConnection

    def admit(self, connection: FrontConnection) -> ProxyError | None:
        """Take a new connection in, or say why not."""
        if self._stop_asked.is_set():
            return self.farewell
        if len(self._connections) >= self.settings.max_connections:
            self._refused_total += 1
            return TooManyConnections("Too many connections")
        self._accepted_total += 1
        self._connections.add(connection)
        return None

    def forget(self, connection: FrontConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.create_task(_guard(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def tune(self, transport: asyncio.Transport) -> tuple[str, bool]:
        """Set the socket up; give the peer's address and whether the channel is safe as it is."""
        sock = transport.get_extra_info("socket")
        if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
            return str(self._socket_path or "socket"), True
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
        peer = transport.get_extra_info("peername") or ("", 0)
        return f"{peer[0]}:{peer[1]}", False

    # ---------------------------------------------------------------- start and stop

    async def _bind(self) -> None:
        if self._host is not None:
            self._servers.append(
                await self.loop.create_server(
                    self._accept,
                    self._host,
                    self._port,
                    backlog=BACKLOG,
                    reuse_port=self._shared is not None or None,
                )
            )
        if self._shared is not None:
            if (listening := self._shared.unix_socket) is not None:
                self._servers.append(await self.loop.create_unix_server(self._accept, sock=listening))
        elif self._socket_path is not None:
            remove_stale_socket(self._socket_path)
            self._servers.append(
                await self.loop.create_unix_server(self._accept, str(self._socket_path), backlog=BACKLOG)
            )
        log.info("listening", addresses=self.addresses)

    def _accept(self) -> FrontConnection:
        return FrontConnection(self, next(self._ids))

    def _unbind(self) -> None:
        for server in self._servers:
            server.close()
        if self._socket_path is not None and self._shared is None:
            self._socket_path.unlink(missing_ok=True)

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.stop()
        if not await self._emptied(self.settings.stop_timeout_s):
            log.warning("statements did not end in time and are cut off", connections=len(self._connections))

    async def _cut_off(self) -> None:
        """Drop the clients that are left. Their sessions let go by themselves, or are cancelled after a moment."""
        for connection in list(self._connections):
            connection.kill()
        if not await self._emptied(CUT_OFF_S):
            for task in list(self._running):
                task.cancel()

    async def _emptied(self, timeout_s: float) -> bool:
        if not self._connections:
            return True
        self._empty.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    async def _sweep(self) -> None:
        """Send idle clients away. Rounds are counted: no command looks at a clock, no client has a timer."""
        pause_s = min(SWEEP_S, self.settings.idle_timeout_s / 4)
        rounds = self.settings.idle_timeout_s / pause_s
        error = IdleTooLong(
            "The client was disconnected by the server because of inactivity. "
            "See idle_timeout_s in txguard.toml for configuring this behavior."
        )
        while True:
            await asyncio.sleep(pause_s)
            for connection in list(self._connections):
                connection.idle_rounds += 1
                if connection.turn is Turn.IDLE and connection.idle_rounds > rounds:
                    connection.dismiss(error)


async def _guard(work: Coroutine[Any, Any, None]) -> None:
    """A failure of one connection's clean-up must not take the others down with the task group."""
    try:
        await work
    except Exception as error:
        log.error("a connection's task failed", exc_info=error)


def connection_ids(number: int = 1, count: int = 1) -> Iterator[int]:
    """Those of one of `count` processes: no other gives out the same, and (id - 1) % count tells whose an id is."""
    while True:
        yield from range(number, 2**32, count)


def remove_stale_socket(path: Path) -> None:
    """A socket file left by a process that was killed; never a file of another kind."""
    try:
        if stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()
    except FileNotFoundError:
        pass


def make_server_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """Raises OSError or ssl.SSLError when they cannot be read or do not belong together."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context
