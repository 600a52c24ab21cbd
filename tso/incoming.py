"""Reads the messages that arrive on a connection, at either end."""

from __future__ import annotations

import asyncio
from typing import Final

from tso.messages import Message
from tso.wire import MAX_FRAME_BYTES, Decoder

READ_BYTES: Final = 256 * 1024


class Incoming:
    """The messages that arrive on a connection, in the portions in which they do."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._decoder = Decoder()

    def trust(self) -> None:
        """Take frames of full size from now on."""
        self._decoder.max_frame_bytes = MAX_FRAME_BYTES

    async def some(self) -> list[tuple[int, Message]]:
        """At least one message, or none at the end of the stream. Raises WireError, OSError."""
        while data := await self._reader.read(READ_BYTES):
            if messages := list(self._decoder.feed(data)):
                return messages
        return []
