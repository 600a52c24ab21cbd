"""The rest of a large answer, drawn in chunks while the shard is held back.

Owns `ReplyStream`, what a RelayReply draws from. At most HIGH_WATER_BYTES and one read of the socket are held
here: then the socket is not read until a chunk is taken.
"""

from __future__ import annotations

import asyncio

from proxy.backend.reply import Chunk
from proxy.backend.statements import HIGH_WATER_BYTES
from proxy.wire.response_scanner import ResponseScanner
from txguard.engine.shard import ConnectionLost


class ReplyStream:
    __slots__ = ("_buffer", "_complete", "_failure", "_loop", "_paused", "_scanner", "_transport", "_waiter")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        scanner: ResponseScanner,
        rest: bytearray,
    ) -> None:
        """`rest` is what has come but was not handed over; `scanner` stands in it. Reading is paused."""
        self._loop = loop
        self._transport = transport
        self._scanner = scanner
        self._buffer = rest
        self._paused = True
        self._complete = False
        self._failure: ConnectionLost | None = None
        self._waiter: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> bool:
        """More of the answer. True: it is complete. Raises MalformedPacket."""
        self._buffer += data
        self._complete = self._scanner.scan(self._buffer)
        if not self._complete and len(self._buffer) >= HIGH_WATER_BYTES:
            self._paused = True
            self._transport.pause_reading()
        self._wake()
        return self._complete

    @property
    def status(self) -> int:
        return self._scanner.status

    @property
    def surplus(self) -> int:
        """Bytes that came after the end of the answer."""
        return len(self._buffer) - self._scanner.position

    def lost(self, failure: ConnectionLost) -> None:
        self._failure = failure
        self._wake()

    async def next_chunk(self) -> Chunk | None:
        """None: the answer is complete. Raises ConnectionLost."""
        while True:
            ready = min(self._scanner.position, len(self._buffer))
            if ready:
                chunk = Chunk(self._buffer[:ready], tuple(self._scanner.marks))
                del self._buffer[:ready]
                self._scanner.forget(ready)
                self._resume()
                return chunk
            if self._complete:
                return None
            if self._failure is not None:
                raise self._failure
            self._resume()
            self._waiter = self._loop.create_future()
            await self._waiter

    def _resume(self) -> None:
        if self._paused and not self._complete and self._failure is None:
            self._paused = False
            self._transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
