"""Gathers the messages of one moment into one frame: one write for all that one turn of the loop had to say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tso.messages import Message
from tso.wire import encode_frame

MAX_UNSENT_BYTES: Final = 16 * 1024 * 1024


class Outbox:
    """`before_flush` may add the last messages of the moment."""

    def __init__(self, writer: asyncio.StreamWriter, before_flush: Callable[[], None] | None = None) -> None:
        self._writer = writer
        self._before_flush = before_flush
        self._messages: list[tuple[int, Message]] = []
        self._scheduled = False

    def add(self, request_id: int, message: Message) -> None:
        self._messages.append((request_id, message))
        self.schedule()

    def schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        if self._before_flush is not None:
            self._before_flush()
        self._scheduled = False
        messages, self._messages = self._messages, []
        transport = self._writer.transport
        if not messages or transport.is_closing():
            return
        self._writer.write(encode_frame(messages))
        if transport.get_write_buffer_size() > MAX_UNSENT_BYTES:  # the peer does not read
            transport.abort()
