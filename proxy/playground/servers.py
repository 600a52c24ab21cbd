"""One private database server: its folder, its life, and the faults that tests do to it.

A server is durable (every commit is on disk when it is acknowledged), listens on loopback TCP and on a
socket in its folder, and lets `root` in without a password. It keeps its port over restarts. It dies with the
process that started it. Bound to no event loop: a server started in one may be stopped in another.
"""

from __future__ import annotations

import asyncio
import enum
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from proxy.playground.errors import PlaygroundError
from proxy.playground.installations import (
    Installation,
    NoServerFound,
    ServerKind,
    find_server,
    find_servers,
)
from proxy.playground.processes import free_port, greets, port_is_free, spawn, tail, terminate, wait_ended
from proxy.playground.templates import make_datadir, size_options

__all__ = [
    "Installation",
    "NoServerFound",
    "Server",
    "ServerFailed",
    "ServerKind",
    "ServerState",
    "find_server",
    "find_servers",
    "start_all",
    "start_servers",
    "stop_servers",
]

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
_LONGEST_SOCKET_PATH = 100  # bytes; sun_path of unix(7) has 108

_COMMON = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--max-connections=500",
    "--max-allowed-packet=128M",
    "--character-set-server=utf8mb4",
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-buffer-size=8M",
    "--table-open-cache=800",
    "--table-definition-cache=800",
)
_BY_KIND = {
    # Its own snapshot isolation (default since 11.6) undoes a whole local transaction at a conflict: see the doctor.
    ServerKind.MARIADB: ("--skip-log-bin", "--loose-innodb-snapshot-isolation=OFF"),
    # performance_schema stays on: it has data_lock_waits. The sizes take 250 MB off what it sets aside.
    ServerKind.MYSQL: (
        "--disable-log-bin",
        "--mysqlx=OFF",
        "--secure-file-priv=NULL",
        "--temptable-max-ram=16M",
        "--performance-schema-digests-size=200",
        "--performance-schema-error-size=1",
        "--performance-schema-accounts-size=16",
        "--performance-schema-hosts-size=16",
        "--performance-schema-users-size=16",
        "--performance-schema-max-digest-length=256",
        "--performance-schema-max-thread-instances=600",
        "--performance-schema-events-statements-history-long-size=0",
        "--performance-schema-events-waits-history-long-size=0",
        "--performance-schema-events-stages-history-long-size=0",
        "--performance-schema-events-transactions-history-long-size=0",
    ),
}


class ServerState(enum.Enum):
    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"


class ServerFailed(PlaygroundError):
    """A server did not start; the text ends with its error log's last lines."""


class Server:
    """A server in `folder`, whose data directory is made at the first start and kept after."""

    host = "127.0.0.1"
    user = "root"
    password = ""

    def __init__(
        self,
        installation: Installation,
        folder: Path,
        *,
        port: int | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """`options` are more server options, such as "--log-bin"; they win over the defaults."""
        self.installation = installation
        self.folder = folder
        self.port = port if port is not None else free_port()
        self._port_is_ours = port is None
        self._options = tuple(options)
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False
        self._socket_folder: Path | None = None

    @property
    def kind(self) -> ServerKind:
        return self.installation.kind

    @property
    def datadir(self) -> Path:
        return self.folder / "data"

    @property
    def error_log(self) -> Path:
        return self.folder / "server.log"

    @property
    def socket(self) -> Path:
        """In the folder, or in a temporary one where the folder's path is too long for a socket."""
        path = self.folder / "server.sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return path
        if self._socket_folder is None:
            self._socket_folder = Path(tempfile.mkdtemp(prefix="txguard-"))
        return self._socket_folder / "server.sock"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def state(self) -> ServerState:
        if self._process is None or self._process.poll() is not None:
            return ServerState.STOPPED
        return ServerState.PAUSED if self._paused else ServerState.RUNNING

    @property
    def running(self) -> bool:
        return self.state is not ServerState.STOPPED

    async def start(self) -> None:
        """Start and wait until clients are let in. Raises ServerFailed, TemplateFailed."""
        if self.running:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.datadir.exists():
            await make_datadir(self.installation, self.datadir)
        for attempt in range(3):
            if attempt and self._port_is_ours and not port_is_free(self.host, self.port):
                self.port = free_port()  # somebody took it between the choice and the start
            self._process = spawn(self._command(), output=self.error_log, cwd=self.folder)
            self._paused = False
            if await self._wait_ready():
                self._port_is_ours = False  # from now on clients know it
                return
            if not self._port_is_ours or port_is_free(self.host, self.port):
                break
        raise ServerFailed(
            f"{self.installation.label} in {self.folder} did not start on port {self.port}. "
            f"The end of {self.error_log}:\n{tail(self.error_log)}"
        )

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when the server does not end in time."""
        if self._process is not None:
            await terminate(self._process, STOP_TIMEOUT_S)
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder = None

    async def kill9(self) -> None:
        """The crash: SIGKILL, no chance to flush anything. The server's port and data stay for `start`."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            await wait_ended(self._process, STOP_TIMEOUT_S)

    async def restart(self) -> None:
        """Stop when running, then start with the same port and data."""
        await self.stop()
        await self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, as on a hung machine."""
        if self.state is ServerState.RUNNING and self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            os.waitpid(self._process.pid, os.WUNTRACED)  # Until then some of its threads may go on.
            self._paused = True

    def resume(self) -> None:
        if self.state is ServerState.PAUSED and self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._paused = False

    def _command(self) -> list[str]:
        scratch = self.folder / "tmp"
        scratch.mkdir(exist_ok=True)
        own = [
            f"--datadir={self.datadir}",
            f"--tmpdir={scratch}",
            f"--port={self.port}",
            f"--socket={self.socket}",
            f"--pid-file={self.folder / 'server.pid'}",
        ]
        if os.geteuid() == 0:
            own.append("--user=root")
        options = (*_COMMON, *_BY_KIND[self.kind], *size_options(self.kind), *self._options)
        return [*self.installation.command, "--no-defaults", *self.installation.fixed_options, *own, *options]

    async def _wait_ready(self) -> bool:
        """True once the server greets; False when its process ended. Raises ServerFailed at the deadline."""
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        try:
            while self._process.poll() is None:
                if time.monotonic() > deadline:
                    raise ServerFailed(
                        f"{self.installation.label} in {self.folder} not ready after {START_TIMEOUT_S:.0f} s. "
                        f"The end of {self.error_log}:\n{tail(self.error_log)}"
                    )
                if await greets(asyncio.open_unix_connection(self.socket)):
                    return self._process.poll() is None
                await asyncio.sleep(0.05)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        return False


async def start_servers(
    installation: Installation, folder: Path, count: int, *, options: Sequence[str] = ()
) -> list[Server]:
    """Start `count` servers side by side in folder/s1, s2, …; when one fails none is left behind."""
    servers = [Server(installation, folder / f"s{number}", options=options) for number in range(1, count + 1)]
    await start_all(servers)
    return servers


async def start_all(servers: Sequence[Server]) -> None:
    """Start them side by side; when one fails none is left running."""
    try:
        async with asyncio.TaskGroup() as group:
            for server in servers:
                group.create_task(server.start())
    except BaseException as error:
        await stop_servers(servers)
        if isinstance(error, ExceptionGroup):
            raise error.exceptions[0] from None
        raise


async def stop_servers(servers: Sequence[Server]) -> None:
    """Stop all of them side by side; one that does not stop is killed."""
    await asyncio.gather(*(server.stop() for server in servers), return_exceptions=True)
