"""Ports and child processes."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from pathlib import Path

from proxy.playground.processes import free_port, greets, port_is_free, spawn, tail, terminate


def test_a_port_in_use_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not port_is_free("127.0.0.1", port)
    assert port_is_free("127.0.0.1", port)


def test_free_ports_lie_below_those_of_outgoing_connections() -> None:
    assert all(20_000 <= free_port() < 32_000 for _ in range(5))


async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    child = spawn([sys.executable, "-c", script], output=tmp_path / "log")
    while "up" not in tail(tmp_path / "log"):
        await asyncio.sleep(0.01)
    began = time.monotonic()
    await terminate(child, 0.2)
    assert child.returncode == -9
    assert time.monotonic() - began < 5


async def test_who_greets_and_who_does_not() -> None:
    async def serve(first: bytes) -> bool:
        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(first)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            return await greets(asyncio.open_connection(*server.sockets[0].getsockname()))

    assert await serve(b"\x4a\x00\x00\x00\x0a8.0")
    assert not await serve(b"\x4a\x00\x00\x00\xff\x10\x04Too many connections")
    assert not await serve(b"")
    assert not await greets(asyncio.open_connection("127.0.0.1", free_port()))


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log) == "(no log)"
    log.write_bytes(b"\xff one\ntwo\nthree\n")
    assert tail(log, 2) == "two\nthree"
