"""A shard reached through aiomysql: for tools, tests and Python programs. The proxy has raw connections of its own.

Owns: `AiomysqlShard`, a small pool that meets the engine's `Shard`; `AiomysqlConnection`, which meets `Connection`
and `RelayConnection` (a statement is a `str`, a reply a decoded `AiomysqlReply`); `AiomysqlConnections`, which
gives a transaction its connections. Statements go out as one multi-statement packet, which the server stops at the
first that fails. A connection whose state is not known for certain (deadline, cancellation, a broken socket) is
dropped, never given back: the server then rolls its local transaction back.
"""

from __future__ import annotations

import asyncio
import collections
import ssl
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import aiomysql
from pymysql.constants import FIELD_TYPE
from pymysql.err import MySQLError

from tso.types import ShardName
from txguard.engine.shard import ConnectionLost, OnDone, Rows, ShardError, ShardUnavailable, Value

T = TypeVar("T")

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_CONNECTION_ENDED = frozenset({1053, 1152, 1927, 3169, 4031})
"""Error packets after which the server closes: shutdown, aborted, killed (MariaDB, MySQL), interaction timeout."""

_FIRST_CLIENT_ERROR, _LAST_CLIENT_ERROR = 2000, 2999
"""Numbers that the client library makes up for a broken socket; no server sends them."""

_INTEGERS = (
    FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG, FIELD_TYPE.YEAR,
)  # fmt: skip
_DECODERS: dict[int, Any] = {
    **dict.fromkeys(_INTEGERS, int),
    **dict.fromkeys((FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE), float),
}
"""Everything else (decimals and dates too) stays the text that the server sent; binary columns stay bytes."""

_SESSION = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"


@dataclass(frozen=True, slots=True)
class Dsn:
    """How to connect. `unix_socket` wins over host and port; `tls` needs a server that offers TLS."""

    host: str = "127.0.0.1"
    port: int = 3306
    user: str = "root"
    password: str = ""
    unix_socket: str | None = None
    database: str | None = None
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class AiomysqlReply:
    """The answer to a client's statement. `columns` and `rows` are empty for an OK packet."""

    error: ShardError | None
    affected_rows: int = 0
    columns: tuple[str, ...] = ()
    rows: Sequence[Sequence[Value]] = ()
    insert_id: int = 0
    warning_count: int = 0

    @property
    def has_rows(self) -> bool:
        return bool(self.columns)

    async def drain(self) -> None:
        """Nothing is streamed here."""


class AiomysqlConnection:
    """One connection. Not safe for two packets at a time."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._running: asyncio.Future[Any] | None = None

    @classmethod
    async def connect(cls, dsn: Dsn, timeout_s: float) -> AiomysqlConnection:
        """Raises OSError, TimeoutError or MySQLError."""
        async with asyncio.timeout(timeout_s):
            raw = await aiomysql.connect(
                host=dsn.host,
                port=dsn.port,
                user=dsn.user,
                password=dsn.password,
                unix_socket=dsn.unix_socket,
                db=dsn.database,
                ssl=dsn.tls,
                charset="utf8mb4",
                autocommit=True,
                conv=_DECODERS,
                init_command=_SESSION,
            )
        return cls(raw)

    @property
    def thread_id(self) -> int:
        return int(self._raw.thread_id())

    @property
    def closed(self) -> bool:
        return bool(self._raw.closed)

    @property
    def server_version(self) -> str:
        return str(self._raw.get_server_info())

    @property
    def in_transaction(self) -> bool:
        return bool(self._raw.get_transaction_status())

    async def run(self, statements: Sequence[str], timeout_s: float | None) -> list[Rows]:
        """Run control statements in one packet. Raises ShardError at the first failing one, or ConnectionLost."""
        if not statements:
            return []
        replies = await self._exchange(statements, timeout_s)
        if (error := replies[-1].error) is not None:
            raise error
        return [Rows(reply.rows, reply.affected_rows) for reply in replies]

    def run_nowait(self, statements: Sequence[str], on_done: OnDone, timeout_s: float | None) -> None:
        running = self._running = _started(self.run(statements, timeout_s))
        running.add_done_callback(lambda ended: on_done(_error_of(ended)))

    def relay_nowait(
        self,
        statement: str,
        on_reply: Callable[[AiomysqlReply | None, Exception | None], None],
        timeout_s: float | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        running = self._running = _started(self.relay(prefix, statement, timeout_s))

        def answer(ended: asyncio.Future[tuple[list[Rows], AiomysqlReply]]) -> None:
            error = _error_of(ended)
            on_reply(ended.result()[1] if error is None else None, error)

        running.add_done_callback(answer)

    async def relay(
        self, prefix: Sequence[str], statement: str, timeout_s: float | None
    ) -> tuple[list[Rows], AiomysqlReply]:
        """Control statements and the client's statement in one packet; its error, if any, is in the reply.

        Raises ShardError when the prefix failed (the statement did not run then), or ConnectionLost.
        """
        replies = await self._exchange([*prefix, statement], timeout_s)
        if len(replies) <= len(prefix):
            error = replies[-1].error
            assert error is not None, "the server stops early only at an error"
            raise error
        answers = [Rows(reply.rows, reply.affected_rows) for reply in replies[: len(prefix)]]
        return answers, replies[len(prefix)]

    def abort(self) -> None:
        self._raw.close()

    async def _exchange(self, statements: Sequence[str], timeout_s: float | None) -> list[AiomysqlReply]:
        """One packet; one reply for each statement that ran, the last of which may be an error."""
        async with self._unharmed(timeout_s):
            return await self._replies("; ".join(statements))

    async def _replies(self, packet: str) -> list[AiomysqlReply]:
        replies = []
        try:
            await self._raw.query(packet)
            replies.append(self._reply())
            while self._raw._result.has_next:
                await self._raw.next_result()
                replies.append(self._reply())
        except MySQLError as error:
            replies.append(AiomysqlReply(_shard_error(error)))
        return replies

    def _reply(self) -> AiomysqlReply:
        result = self._raw._result
        columns = tuple(column[0] for column in result.description or ())
        return AiomysqlReply(
            error=None,
            affected_rows=0 if result.description else result.affected_rows,
            columns=columns,
            rows=result.rows or (),
            insert_id=result.insert_id or 0,
            warning_count=result.warning_count,
        )

    @asynccontextmanager
    async def _unharmed(self, timeout_s: float | None) -> AsyncIterator[None]:
        """Drop the connection when the block does not end with a whole answer."""
        try:
            async with asyncio.timeout(timeout_s):
                yield
        except BaseException as error:
            self.abort()
            if isinstance(error, ConnectionLost | OSError | EOFError | MySQLError):
                raise ConnectionLost(str(error) or "the deadline passed") from error
            raise


class AiomysqlShard:
    """A pool of at most `limit` connections to one server."""

    def __init__(self, name: ShardName, dsn: Dsn, *, limit: int = 64) -> None:
        self._name = name
        self._dsn = dsn
        self._idle: collections.deque[AiomysqlConnection] = collections.deque()
        self._in_use: set[AiomysqlConnection] = set()
        self._places = asyncio.Semaphore(limit)

    @property
    def name(self) -> ShardName:
        return self._name

    async def acquire(self, timeout_s: float) -> AiomysqlConnection:
        """A connection with no open transaction. Raises ShardUnavailable."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise ShardUnavailable(f"shard {self._name}: every connection is in use") from error
        try:
            connection = self._idle_connection() or await AiomysqlConnection.connect(self._dsn, timeout_s)
        except BaseException as error:
            self._places.release()
            if isinstance(error, OSError | MySQLError):
                raise ShardUnavailable(f"shard {self._name}: {error}") from error
            raise
        self._in_use.add(connection)
        return connection

    def release(self, connection: AiomysqlConnection) -> None:
        """Take back a connection with no open transaction; a closed one is forgotten."""
        if connection not in self._in_use:
            raise ValueError("this connection does not belong to the pool, or was released before")
        self._in_use.remove(connection)
        if not connection.closed:
            self._idle.append(connection)
        self._places.release()

    @asynccontextmanager
    async def connection(self, timeout_s: float = 5.0) -> AsyncIterator[AiomysqlConnection]:
        """A connection for one block; dropped when the block fails, for its transaction may be open."""
        connection = await self.acquire(timeout_s)
        try:
            yield connection
        except BaseException:
            connection.abort()
            raise
        finally:
            self.release(connection)

    def close(self) -> None:
        """Drop every connection, those in use too."""
        for connection in (*self._idle, *self._in_use):
            connection.abort()
        self._idle.clear()

    def _idle_connection(self) -> AiomysqlConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and not connection._raw._reader.at_eof():
                return connection
            connection.abort()
        return None


class AiomysqlConnections:
    """What a transaction needs to get at its shards by name."""

    def __init__(self, shards: Mapping[ShardName, AiomysqlShard]) -> None:
        self._shards = shards

    def acquire_nowait(self, shard: ShardName) -> None:
        return None

    async def acquire(self, shard: ShardName, timeout_s: float) -> AiomysqlConnection:
        return await self._shards[shard].acquire(timeout_s)

    def release(self, shard: ShardName, connection: AiomysqlConnection) -> None:
        self._shards[shard].release(connection)


def _started(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Its end is heard by whoever asked: no group is needed."""
    return asyncio.create_task(work)  # noqa: TID251


def _error_of(ended: asyncio.Future[Any]) -> Exception | None:
    if ended.cancelled():
        return ConnectionLost("the statement was interrupted")
    error = ended.exception()
    return error if error is None or isinstance(error, Exception) else ConnectionLost(str(error))


def _shard_error(error: MySQLError) -> ShardError:
    """The server's error packet, or ConnectionLost when there was none or the server hangs up after it."""
    errno = error.args[0] if error.args else 0
    message = str(error.args[1]) if len(error.args) > 1 else str(error)
    if not isinstance(errno, int) or errno == 0 or errno in _CONNECTION_ENDED:
        raise ConnectionLost(message) from error
    if _FIRST_CLIENT_ERROR <= errno <= _LAST_CLIENT_ERROR:
        raise ConnectionLost(message) from error
    return ShardError(errno, getattr(error, "sqlstate", None) or "HY000", message)
