"""Links on real sockets: what passes, what is held, and how a connection ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.torture.faults.links import HOST, Link
from tests.torture.faults.toxics import BlackHole, Cut, Direction, End, ResetPeer, Toxic


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    """To a server that answers every line with itself."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    async with Link("test", server.sockets[0].getsockname()[1]) as opened:
        yield opened
    server.close()


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
