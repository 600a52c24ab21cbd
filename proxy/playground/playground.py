"""A whole TxGuard on this machine: N private servers, their txguard.toml, and the proxy in front.

Whatever goes wrong at whichever point, nothing that was started is left running: `start` cleans up after itself,
`stop` may be called at any time, and a kill -9 of this process takes the children along (`processes.spawn`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
from proxy.playground.folder import Contents, Folder, PlaygroundRefused
from proxy.playground.installations import Installation, ServerKind
from proxy.playground.processes import port_is_free, why_not_free
from proxy.playground.proxy_process import ProxyProcess
from proxy.playground.servers import Server, start_all, stop_servers
from proxy.playground.supervisor import supervise

_SHARD_CONNECTIONS = 400  # of the 500 that a private server allows


@dataclass(frozen=True, slots=True)
class Options:
    folder: Path
    installation: Installation
    shards: int = 3
    fresh: bool = False
    host: str = "127.0.0.1"
    port: int = 4000
    environment: tuple[tuple[str, str], ...] = ()
    """For the proxy's process, beside this one's own."""
    engine: EngineConfig = field(default_factory=EngineConfig)


class Playground:
    """Life: `start`, perhaps `supervise`, `stop`. `servers` and `proxy` may be killed and started in between."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.folder = Folder(options.folder)
        self.servers: list[Server] = []
        self.proxy: ProxyProcess | None = None

    async def start(self) -> None:
        """Raises PlaygroundRefused, ServerFailed, TemplateFailed or ProxyFailed; nothing is running then."""
        self._check_port()
        self.folder.lock()
        try:
            self.servers = self._lay_out()
            await start_all(self.servers)
            self._record()
            config = self._write_config()
            self.proxy = ProxyProcess(
                self.folder.config, config, self.folder.proxy_log, environment=self.options.environment
            )
            await self.proxy.start()
        except BaseException:
            await self.stop()
            raise

    async def supervise(self, tell: Callable[[str], None]) -> None:
        """Bring back what dies, until cancelled."""
        assert self.proxy is not None, "supervise follows start"
        named = {f"s{number}": server for number, server in enumerate(self.servers, 1)}
        await supervise({**named, "the proxy": self.proxy}, tell)

    async def stop(self) -> None:
        """The proxy first, so that it ends its transactions; then the servers; then the lock."""
        try:
            if self.proxy is not None:
                await self.proxy.stop()
        finally:
            await stop_servers(self.servers)
            self.folder.unlock()

    def _check_port(self) -> None:
        host, port = self.options.host, self.options.port
        if (reason := why_not_free(host, port)) is not None:
            raise PlaygroundRefused(
                f"cannot listen on {host}:{port} ({reason}): choose another --port or --host"
            )

    def _lay_out(self) -> list[Server]:
        """The servers, not started, over the folder's data or over none."""
        options = self.options
        if options.fresh:
            self.folder.clear()
        before = self.folder.read()
        if before is not None:
            self._check_contents(before)
        ports: Sequence[int | None] = before.ports if before is not None else [None] * options.shards
        return [
            Server(options.installation, self.folder.shard(number), port=_still_free(port))
            for number, port in enumerate(ports, 1)
        ]

    def _check_contents(self, before: Contents) -> None:
        """Data of another product, a newer server or another number of shards is not what was asked for."""
        wanted = self.options.installation
        if before.kind != wanted.kind.value:
            raise PlaygroundRefused(
                f"{self.folder.path} has data of {before.kind}: use --server {before.kind}, or --fresh to drop them"
            )
        if _release(before.version) > _release(wanted.version):
            raise PlaygroundRefused(
                f"{self.folder.path} has data of {before.kind} {before.version}, which {wanted.version} cannot read: "
                "use --fresh to drop them"
            )
        if len(before.ports) != self.options.shards:
            raise PlaygroundRefused(
                f"{self.folder.path} has data of {len(before.ports)} shards: use --shards {len(before.ports)}, "
                "or --fresh to drop them"
            )

    def _record(self) -> None:
        installation = self.options.installation
        ports = tuple(server.port for server in self.servers)
        self.folder.write(Contents(installation.kind.value, installation.version, ports))

    def _write_config(self) -> Config:
        config = Config(
            proxy=ProxyConfig(listen=f"{self.options.host}:{self.options.port}"),
            users=(UserConfig(name="root", password=""),),
            engine=self.options.engine,
            shards=tuple(
                ShardConfig(
                    name=f"s{number}",
                    host=server.host,
                    port=server.port,
                    user=server.user,
                    password=server.password,
                    max_connections=_SHARD_CONNECTIONS,
                )
                for number, server in enumerate(self.servers, 1)
            ),
            tso=TsoConfig(embedded=True),
            log=LogConfig(level="info", format="console"),
        )
        head = "# Written by `txguard playground` at each start: changes made here are lost.\n\n"
        self.folder.config.write_text(head + to_toml(config), encoding="utf-8")
        return config


def describe(playground: Playground) -> str:
    """How to connect, for the terminal."""
    options = playground.options
    host, port = options.host, options.port
    product = {ServerKind.MARIADB: "MariaDB", ServerKind.MYSQL: "MySQL"}[options.installation.kind]
    client = "mariadb" if options.installation.kind is ServerKind.MARIADB else "mysql"
    servers = "\n".join(
        f"  s{number}       {server.host}:{server.port}   {server.socket}"
        for number, server in enumerate(playground.servers, 1)
    )
    return f"""\
TxGuard on {len(playground.servers)} {product} {options.installation.version} servers, in {playground.folder.path}

  proxy    {host}:{port}    user root, no password
{servers}

Connect to the proxy; the servers behind it are for looking at.
  shell        {client} -h {host} -P {port} -u root
  PyMySQL      pymysql.connect(host="{host}", port={port}, user="root")
  SQLAlchemy   create_engine("mysql+pymysql://root@{host}:{port}/")
  DSN          mysql://root@{host}:{port}/

Configuration {playground.folder.config}, log {playground.folder.proxy_log}
Data are kept; --fresh starts anew. Ctrl-C stops everything."""


def _still_free(port: int | None) -> int | None:
    return port if port is not None and port_is_free(Server.host, port) else None


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
