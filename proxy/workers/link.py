"""Messages between supervisor and worker: one JSON object a line, over a socket pair. Owns the framing and `Role`."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import asdict, dataclass
from typing import Any, Final

Message = dict[str, Any]

LONGEST_LINE: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Role:
    """What a worker is told first. `number` counts from 1 to `count`."""

    number: int
    count: int
    oracle_address: str | None
    """Of the supervisor's oracle; None: the configured service."""
    oracle_secret: str | None
    unix_socket: int | None
    """The listening Unix socket that all workers share, as a file descriptor."""


def role_message(role: Role) -> Message:
    return {"role": asdict(role)}


class Link:
    """One end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, end: socket.socket) -> Link:
        return cls(*await asyncio.open_connection(sock=end, limit=LONGEST_LINE))

    def send(self, message: Message) -> None:
        """What is sent to a process that is gone goes nowhere."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def receive(self) -> Message | None:
        """None: the other side has ended."""
        try:
            line = await self._reader.readline()
        except (OSError, ValueError):
            return None
        if not line.endswith(b"\n"):
            return None
        message: Message = json.loads(line)
        return message

    def close(self) -> None:
        self._writer.close()
