"""A connection for the time of one transaction, whatever the driver: `SyncLease` and `AsyncLease`.

A source yields context managers (a pymysql connection is one, so are SQLAlchemy's and what
`aiomysql.Pool.acquire()` returns); a lease enters one and leaves it exactly once. PEP 249 connections and
SQLAlchemy's differ in how a statement is run; nothing else in the package knows of that difference.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any, Final

SERVER_STATUS_IN_TRANS: Final = 1
_MYSQL_DIALECTS: Final = frozenset({"mysql", "mariadb"})


def _is_sqlalchemy(connection: Any) -> bool:
    return hasattr(connection, "exec_driver_sql")


def _check_dialect(connection: Any) -> None:
    if _is_sqlalchemy(connection) and connection.dialect.name not in _MYSQL_DIALECTS:
        raise TypeError(f"@transactional works on MySQL connections, not on {connection.dialect.name}")


def in_transaction(connection: Any) -> bool | None:
    """What the server's last OK packet said of an open transaction; None where the driver does not tell."""
    with contextlib.suppress(Exception):
        if _is_sqlalchemy(connection):
            plain = getattr(connection, "sync_connection", connection)
            connection = plain.connection.driver_connection
        status = getattr(connection, "server_status", None)
        if isinstance(status, int):
            return bool(status & SERVER_STATUS_IN_TRANS)
    return None


def _in_autocommit(connection: Any) -> bool:
    """What the driver knows without asking; False where it does not tell."""
    get_autocommit = getattr(connection, "get_autocommit", None)
    return bool(get_autocommit()) if callable(get_autocommit) else False


class SyncLease:
    """Steps on a blocking connection."""

    def __init__(self, manager: Any) -> None:
        if not hasattr(manager, "__enter__"):
            raise TypeError(
                f"a plain function needs blocking connections; its source gave {type(manager).__name__}"
            )
        self._manager = manager
        self._manual_commit_before = False
        self.connection: Any = manager.__enter__()
        try:
            _check_dialect(self.connection)
        except BaseException as error:
            self.release(error)
            raise

    def execute(self, statement: str) -> None:
        if _is_sqlalchemy(self.connection):
            self.connection.exec_driver_sql(statement)
            return
        cursor = self.connection.cursor()
        try:
            cursor.execute(statement)
        finally:
            cursor.close()

    def commit(self) -> None:
        self.connection.commit()

    def rollback(self) -> None:
        self.connection.rollback()

    def autocommit(self) -> None:
        if _is_sqlalchemy(self.connection):
            self.connection.execution_options(isolation_level="AUTOCOMMIT")  # until it is closed
        elif not _in_autocommit(self.connection):
            self.execute("SET autocommit = 1")
            self._manual_commit_before = True

    def release(self, error: BaseException | None) -> None:
        """Leave the context manager; with `error`, so that the connection is not used again."""
        with contextlib.suppress(Exception):
            if error is not None:
                getattr(self.connection, "invalidate", self.connection.close)()
            elif self._manual_commit_before:
                self.execute("SET autocommit = 0")
        with contextlib.suppress(Exception):
            self._manager.__exit__(*_exit_arguments(error))


class AsyncLease:
    """Steps on an asyncio connection. Made by `open`."""

    def __init__(self, manager: Any, connection: Any) -> None:
        self._manager = manager
        self._manual_commit_before = False
        self.connection: Any = connection

    @classmethod
    async def open(cls, manager: Any) -> AsyncLease:
        if not hasattr(manager, "__aenter__") and inspect.isawaitable(manager):
            manager = await manager
        if not hasattr(manager, "__aenter__"):
            raise TypeError(
                f"an async function needs asyncio connections; its source gave {type(manager).__name__}"
            )
        lease = cls(manager, await manager.__aenter__())
        try:
            _check_dialect(lease.connection)
        except BaseException as error:
            await lease.release(error)
            raise
        return lease

    async def execute(self, statement: str) -> None:
        if _is_sqlalchemy(self.connection):
            await self.connection.exec_driver_sql(statement)
            return
        async with self.connection.cursor() as cursor:
            await cursor.execute(statement)

    async def commit(self) -> None:
        await self.connection.commit()

    async def rollback(self) -> None:
        await self.connection.rollback()

    async def autocommit(self) -> None:
        if _is_sqlalchemy(self.connection):
            await self.connection.execution_options(isolation_level="AUTOCOMMIT")  # until it is closed
        elif not _in_autocommit(self.connection):
            await self.execute("SET autocommit = 1")
            self._manual_commit_before = True

    async def release(self, error: BaseException | None) -> None:
        """Leave the context manager; with `error`, so that the connection is not used again."""
        with contextlib.suppress(Exception):
            if error is not None:
                ended = getattr(self.connection, "invalidate", self.connection.close)()
                if inspect.isawaitable(ended):
                    await ended
            elif self._manual_commit_before:
                await self.execute("SET autocommit = 0")
        with contextlib.suppress(Exception):
            await self._manager.__aexit__(*_exit_arguments(error))


class GivenManager:
    """A connection that the caller gave, and keeps: it stays open, unless it broke (SyncLease.release)."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __enter__(self) -> Any:
        return self._connection

    def __exit__(self, *_: object) -> None: ...

    async def __aenter__(self) -> Any:
        return self._connection

    async def __aexit__(self, *_: object) -> None: ...


Opener = Callable[[], Any]
"""Gives the context manager of one connection."""


def _exit_arguments(error: BaseException | None) -> tuple[Any, Any, Any]:
    return (None, None, None) if error is None else (type(error), error, error.__traceback__)
