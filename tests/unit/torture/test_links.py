"""Links on real sockets: what passes, what is held, and how a connection ends."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from typing import cast

import pytest

from proxy.playground.processes import free_port
from tests.torture.faults.links import HOST, Link
from tests.torture.faults.toxics import BlackHole, Cut, Direction, End, ResetPeer, Toxic


class Echo(asyncio.Protocol):
    """Answers everything with itself; its transport closes when the other side does."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    """To a server that echoes."""
    server = await asyncio.get_running_loop().create_server(Echo, HOST, 0)
    async with server, Link("test", server.sockets[0].getsockname()[1]) as opened:
        yield opened


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> bytes:
    writer.write(line)
    async with asyncio.timeout(5):
        return await reader.readline()


async def test_without_a_toxic_everything_passes(link: Link) -> None:
    reader, writer = await asyncio.open_connection(HOST, link.port)
    long = b"x" * 60_000 + b"\n"
    assert await ask(reader, writer, b"one\n") == b"one\n"
    assert await ask(reader, writer, long) == long
    writer.close()
    async with asyncio.timeout(5):
        assert await reader.read() == b""


async def test_what_a_black_hole_held_comes_after_all(link: Link) -> None:
    reader, writer = await asyncio.open_connection(HOST, link.port)
    assert await ask(reader, writer, b"one\n") == b"one\n"
    link.poison(BlackHole(None))
    writer.write(b"two\n")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await reader.readline()
    link.cure()
    async with asyncio.timeout(5):
        assert await reader.readline() == b"two\n"
    writer.close()


async def test_a_cut_ends_in_the_middle(link: Link) -> None:
    link.poison(Cut(Direction.DOWN, 3, End.CLOSE))
    reader, writer = await asyncio.open_connection(HOST, link.port)
    writer.write(b"abcdef\n")
    async with asyncio.timeout(5):
        assert await reader.read() == b"abc"
    writer.close()


@pytest.mark.parametrize("toxic", [ResetPeer(), Cut(Direction.UP, 1, End.RESET)])
async def test_a_reset_is_a_reset(link: Link, toxic: Toxic) -> None:
    reader, writer = await asyncio.open_connection(HOST, link.port)
    assert await ask(reader, writer, b"one\n") == b"one\n"
    link.poison(toxic)
    with pytest.raises(ConnectionResetError):
        await ask(reader, writer, b"two\n")
    writer.close()


@pytest.mark.parametrize("turns", range(7))
def test_a_client_that_comes_at_the_very_end_leaves_no_socket(turns: int) -> None:
    """Open sockets make the collection of garbage warn, which fails the test."""

    async def serve() -> socket.socket:
        async with Link("test", free_port()) as link:
            client = socket.create_connection((HOST, link.port))
            for _ in range(turns):
                await asyncio.sleep(0)
            return client

    with asyncio.run(serve()):
        gc.collect()
