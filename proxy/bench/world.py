"""The servers, the proxy and HAProxy that a run measures; all private, all stopped at its end."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from proxy.config import EngineConfig
from proxy.playground.installations import Installation
from proxy.playground.playground import Options, Playground
from proxy.playground.processes import free_port, port_is_free

HOST = "127.0.0.1"
HAPROXY_CONFIG = """
global
    maxconn 2000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen mysql
    bind {host}:{port}
    server one {host}:{backend}
"""


class HAProxyMissing(Exception):
    """No haproxy program is on this machine."""


@dataclass(frozen=True, slots=True)
class World:
    """Ports on 127.0.0.1. `servers` are the three shards; HAProxy stands before the first."""

    proxy: int
    haproxy: int
    servers: tuple[int, ...]
    proxy_pid: int


@contextlib.asynccontextmanager
async def open_world(installation: Installation, engine: EngineConfig) -> AsyncIterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="txguard-bench-"))
    options = Options(folder / "playground", installation, 3, host=HOST, port=free_port(), engine=engine)
    playground = Playground(options)
    try:
        await playground.start()
        try:
            assert playground.proxy is not None
            ports = tuple(server.port for server in playground.servers)
            async with _haproxy(folder, ports[0]) as haproxy:
                yield World(playground.options.port, haproxy, ports, _pid(playground))
        finally:
            await playground.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pid(playground: Playground) -> int:
    assert playground.proxy is not None
    pid = playground.proxy.pid
    assert pid is not None
    return pid


@contextlib.asynccontextmanager
async def _haproxy(folder: Path, backend: int) -> AsyncIterator[int]:
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise HAProxyMissing("no haproxy here: install Debian's package haproxy, or run `make bench`")
    port = free_port()
    config = folder / "haproxy.cfg"
    config.write_text(HAPROXY_CONFIG.format(host=HOST, port=port, backend=backend))
    process = await asyncio.create_subprocess_exec(program, "-db", "-f", str(config))
    try:
        while port_is_free(HOST, port):
            if process.returncode is not None:
                raise HAProxyMissing(f"{program} ended with status {process.returncode}")
            await asyncio.sleep(0.05)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
