"""One worker: a proxy that takes its role from the supervisor and ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import structlog

from proxy.config import Config
from proxy.server.listener import SharedPort
from proxy.server.main import Team, serve
from proxy.workers.colleagues import WorkerColleagues
from proxy.workers.link import Link, Role
from proxy.workers.shares import share_of


async def run_worker(config: Config, link_fd: int) -> None:
    """Serve until cancelled, or until the supervisor is gone. Raises what `serve` does."""
    link = await Link.open(socket.socket(fileno=link_fd))
    first = await link.receive()
    if first is None:
        return
    role = Role(**first["role"])
    structlog.contextvars.bind_contextvars(worker=role.number)
    colleagues = WorkerColleagues(link, role)
    unix_socket = None if role.unix_socket is None else socket.socket(fileno=role.unix_socket)
    team = Team(SharedPort(role.number, role.count, unix_socket), colleagues)
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(colleagues.listen())
        serving = group.create_task(
            serve(share_of(config, role), lambda addresses: link.send({"ready": list(addresses)}), team)
        )
        await asyncio.wait({listening, serving}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    link.close()
