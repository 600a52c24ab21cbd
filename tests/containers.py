"""Servers in Docker containers, for machines without a MariaDB or MySQL server of their own.

The same life and faults as `proxy.playground.servers.Server`: kill -9, restart on the same port with the same
data, pause. Used only where a Docker engine answers and no server program is on the machine.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pymysql

from proxy.playground.processes import free_port
from proxy.playground.servers import ServerFailed, ServerKind

IMAGES = {ServerKind.MARIADB: "mariadb:11", ServerKind.MYSQL: "mysql:8.4"}
_COMMAND = (
    "--innodb-flush-log-at-trx-commit=1 --max-connections=500 --skip-name-resolve --skip-log-bin "
    "--max-allowed-packet=128M --loose-innodb-snapshot-isolation=OFF"
)
_START_TIMEOUT_S = 120.0


class ContainerServer:
    host = "127.0.0.1"
    user = "root"
    password = ""

    def __init__(self, kind: ServerKind) -> None:
        from testcontainers.core.container import DockerContainer

        self.kind = kind
        self.port = free_port()
        prefix = "MARIADB" if kind is ServerKind.MARIADB else "MYSQL"
        self._container: Any = (
            DockerContainer(IMAGES[kind])
            .with_bind_ports(3306, self.port)
            .with_env(f"{prefix}_ALLOW_EMPTY_{'ROOT_' if prefix == 'MARIADB' else ''}PASSWORD", "yes")
            .with_command(_COMMAND)
        )
        self._made = False

    async def start(self) -> None:
        if self._made:
            await asyncio.to_thread(self._container.get_wrapped_container().start)
        else:
            await asyncio.to_thread(self._container.start)
            self._made = True
        await asyncio.to_thread(self._wait_ready)

    async def stop(self) -> None:
        """The container and its data are gone after this."""
        if self._made:
            self._made = False
            await asyncio.to_thread(self._container.stop)

    async def kill9(self) -> None:
        container = self._container.get_wrapped_container()
        await asyncio.to_thread(container.kill)
        await asyncio.to_thread(container.wait)

    async def restart(self) -> None:
        await asyncio.to_thread(self._container.get_wrapped_container().restart)
        await asyncio.to_thread(self._wait_ready)

    def pause(self) -> None:
        self._container.get_wrapped_container().pause()

    def resume(self) -> None:
        self._container.get_wrapped_container().unpause()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                pymysql.connect(host=self.host, port=self.port, user=self.user, connect_timeout=5).close()
            except pymysql.Error as error:
                if time.monotonic() > deadline:
                    raise ServerFailed(f"{IMAGES[self.kind]} on port {self.port}: {error}") from error
                time.sleep(0.5)
            else:
                return


def engine_answers() -> bool:
    """Whether a Docker engine runs here."""
    try:
        import docker

        client = docker.from_env(timeout=5)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except Exception:  # whatever docker's client raises where there is no engine
        return False
