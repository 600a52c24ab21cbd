"""A DSN as the source: `mysql://user:password@host:port/database?charset=utf8mb4`.

Parameters: charset, connect_timeout (seconds), init_command (one statement, run on each new connection),
unix_socket.

Plain functions get pymysql connections, of which up to `MAX_IDLE` are kept between transactions. Async
functions get an aiomysql connection each: an event loop that ends has no place to close idle ones. Where the
cost of connecting counts, use `aiomysql.create_pool` or an AsyncEngine as the source.
"""

from __future__ import annotations

import contextlib
import os
import time
import urllib.parse
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

MAX_IDLE: Final = 8
PING_AFTER_S: Final = 1.0
"""A connection idle for longer is asked whether it still lives before it is used."""

_SCHEMES: Final = frozenset({"mysql", "mariadb", "mysql+pymysql", "mysql+aiomysql"})
_PARAMETERS: Final[dict[str, Callable[[str], Any]]] = {
    "charset": str,
    "connect_timeout": int,
    "init_command": str,
    "unix_socket": str,
}


@dataclass(frozen=True, slots=True)
class Dsn:
    """`parameters` are keyword arguments that pymysql.connect and aiomysql.connect share, but for the
    database."""

    parameters: dict[str, Any]
    database: str | None


def parse_dsn(text: str) -> Dsn:
    """Raises ValueError that says what is wrong, without the password."""
    url = urllib.parse.urlsplit(text)
    if url.scheme not in _SCHEMES:
        raise ValueError(f"a DSN begins with mysql:// or mariadb://, not {url.scheme!r}")
    parameters: dict[str, Any] = {
        "host": url.hostname or "127.0.0.1",
        "port": url.port or 3306,
        "user": urllib.parse.unquote(url.username or ""),
        "password": urllib.parse.unquote(url.password or ""),
        "charset": "utf8mb4",
        "connect_timeout": 10,
    }
    for name, value in urllib.parse.parse_qsl(url.query, keep_blank_values=True):
        if name not in _PARAMETERS:
            raise ValueError(f"unknown DSN parameter {name!r}; known are {', '.join(sorted(_PARAMETERS))}")
        parameters[name] = _PARAMETERS[name](value)
    return Dsn(parameters, urllib.parse.unquote(url.path.lstrip("/")) or None)


class PymysqlPool:
    """Idle pymysql connections of one process; any thread may take one. Calling it gives a connection's
    manager."""

    def __init__(self, dsn: Dsn) -> None:
        self._dsn = dsn
        self._pid = os.getpid()
        self._idle: deque[tuple[Any, float]] = deque()

    def __call__(self) -> AbstractContextManager[Any]:
        return self._lend()

    @contextlib.contextmanager
    def _lend(self) -> Iterator[Any]:
        connection = self._take() or self._connect()
        try:
            yield connection
        except BaseException:
            # The others went to the same server: none of them is to be trusted now.
            for other, _ in _drain(self._idle):
                _close(other)
            _close(connection)
            raise
        if len(self._idle) < MAX_IDLE:
            self._idle.append((connection, time.monotonic()))
        else:
            _close(connection)

    def _connect(self) -> Any:
        import pymysql

        return pymysql.connect(**self._dsn.parameters, database=self._dsn.database, autocommit=True)

    def _take(self) -> Any | None:
        """The connection used last, if it still lives."""
        if self._pid != os.getpid():  # after a fork they are the parent's: no COM_QUIT from here
            self._pid, self._idle = os.getpid(), deque()
        while True:
            try:
                connection, since = self._idle.pop()
            except IndexError:
                return None
            if time.monotonic() - since < PING_AFTER_S:
                return connection
            try:
                connection.ping(reconnect=False)
            except Exception:
                _close(connection)
            else:
                return connection


def aiomysql_opener(dsn: Dsn) -> Callable[[], Any]:
    """Gives the asynchronous context manager of a new aiomysql connection."""

    def open_connection() -> Any:
        import aiomysql

        return aiomysql.connect(**dsn.parameters, db=dsn.database, autocommit=True)

    return open_connection


def _drain(idle: deque[tuple[Any, float]]) -> Iterator[tuple[Any, float]]:
    while True:
        try:
            yield idle.pop()
        except IndexError:
            return


def _close(connection: Any) -> None:
    with contextlib.suppress(Exception):
        connection.close()
