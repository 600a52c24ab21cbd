"""How the engine reaches a shard: the Protocols that a connection and its pool must meet.

The proxy's raw connections and aiomysql's both do. A connection runs one packet at a time; the statements
of one packet stop at the first that fails, as MySQL's do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from tso.types import ShardName

Value = int | float | str | bytes | None
"""A column of a decoded control result. Numbers may come as str or bytes from some drivers: use int()."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The decoded answer to one control statement; `rows` is empty for an OK packet."""

    rows: Sequence[Sequence[Value]]
    affected_rows: int = 0


class ShardError(Exception):
    """An ERR packet from a shard."""

    def __init__(self, errno: int, sqlstate: str, message: str) -> None:
        super().__init__(errno, sqlstate, message)
        self.errno, self.sqlstate, self.message = errno, sqlstate, message


class ConnectionLost(Exception):
    """The connection ended, timed out or was aborted: what its last packet did is not known."""


class ShardUnavailable(Exception):
    """No connection to the shard could be had in time; nothing was sent."""


class Reply(Protocol):
    """The answer to a client's statement, in whatever form the connection relays it."""

    @property
    def error(self) -> ShardError | None: ...

    @property
    def affected_rows(self) -> int: ...

    @property
    def has_rows(self) -> bool:
        """It is a result set, which may be empty."""
        ...

    async def drain(self) -> None:
        """Read and forget what a streamed reply still has to come, so that its connection is free again."""
        ...


OnDone = Callable[[Exception | None], None]


class Connection(Protocol):
    @property
    def thread_id(self) -> int:
        """CONNECTION_ID() on the shard, for KILL."""
        ...

    @property
    def closed(self) -> bool: ...

    async def run(self, statements: Sequence[str], timeout_s: float | None) -> list[Rows]:
        """Run control statements in one packet. Raises ShardError at the first failing one, or ConnectionLost."""
        ...

    def run_nowait(self, statements: Sequence[str], on_done: OnDone, timeout_s: float | None) -> None:
        """As `run`, without a task, for statements whose answers are of no interest.

        `on_done(error)` is called once, later. Raises ConnectionLost or ShardError where nothing was sent.
        """
        ...

    def abort(self) -> None:
        """Drop the socket at once; the server rolls the local transaction back."""
        ...


class Shard(Protocol):
    @property
    def name(self) -> ShardName: ...

    async def acquire(self, timeout_s: float) -> Connection:
        """A connection with no open transaction, for the engine's own work. Raises ShardUnavailable."""
        ...

    def release(self, connection: Connection) -> None:
        """Give back a connection with no open transaction; a closed one is forgotten."""
        ...


@asynccontextmanager
async def borrow(shard: Shard, timeout_s: float) -> AsyncIterator[Connection]:
    """A connection for control statements. After any failure it is dropped: a local transaction may be open on it."""
    connection = await shard.acquire(timeout_s)
    try:
        yield connection
    except BaseException:
        connection.abort()
        raise
    finally:
        shard.release(connection)
