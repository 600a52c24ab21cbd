"""A TCP proxy between two parts of the cluster, which does what its toxic says.

The rule: without a toxic every byte passes, in order; a toxic that is taken away releases what it held. The bytes
of one connection that a toxic cut are lost with the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterable
from functools import partial
from types import TracebackType
from typing import Final, Self

from proxy.playground.processes import free_port
from tests.torture.faults.toxics import Direction, End, Send, Step, Toxic, Wait
from tso.service import stop_accepting

HOST: Final = "127.0.0.1"
_CHUNK: Final = 65_536
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Link:
    """Listens on a free port and connects each client on to `target`."""

    def __init__(self, name: str, target: int) -> None:
        self.name, self.target = name, target
        self.port = free_port()
        self.toxic: Toxic | None = None
        self._calm = asyncio.Event()
        self._calm.set()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"Link({self.name})"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        await stop_accepting(self._server)
        await self.cut()

    def poison(self, toxic: Toxic) -> None:
        self.toxic = toxic
        self._calm.clear()

    def cure(self) -> None:
        self.toxic = None
        self._calm.set()

    async def cut(self) -> None:
        """End every connection; new ones are taken."""
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Known from here on: a task cancelled before its first step would leave its connection open."""
        task = asyncio.create_task(self._serve(reader, writer))  # noqa: TID251 - `cut` ends it
        self._connections.add(task)
        task.add_done_callback(partial(self._over, writer))

    def _over(self, writer: asyncio.StreamWriter, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other: asyncio.StreamWriter | None = None
        try:
            if self.toxic is not None:
                await self._perform(self.toxic.at_connect(), None)
            upstream, other = await asyncio.open_connection(HOST, self.target)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(Direction.UP, reader, other))
                group.create_task(self._pump(Direction.DOWN, upstream, writer))
        except* (_Ended, OSError) as ended:
            if any(isinstance(error, _Ended) and error.how is End.RESET for error in _flat(ended)):
                for side in filter(None, (writer, other)):
                    _reset(side)
        except* asyncio.CancelledError:
            pass
        finally:
            if other is not None:
                other.close()

    async def _pump(
        self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        passed = 0
        while data := await reader.read(_CHUNK):
            if self.toxic is None:
                writer.write(data)
            else:
                await self._perform(self.toxic.steps(direction, data, passed), writer)
            passed += len(data)
            await writer.drain()
        if self.toxic is not None:
            await self._perform(self.toxic.at_close(), writer)
        raise _Ended(End.CLOSE)

    async def _perform(self, steps: Iterable[Step], writer: asyncio.StreamWriter | None) -> None:
        for step in steps:
            if isinstance(step, End):
                raise _Ended(step)
            if isinstance(step, Wait):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(step.seconds):
                        await self._calm.wait()
            elif writer is not None:
                assert isinstance(step, Send)
                writer.write(step.data)


class _Ended(Exception):
    """The connection is over; how the other side hears of it."""

    def __init__(self, how: End) -> None:
        super().__init__(how.value)
        self.how = how


def _flat(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _flat(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _reset(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket | None = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
