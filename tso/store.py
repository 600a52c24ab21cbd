"""Where the oracle persists its epoch and its bound: one row of `_txguard.tso`, in MySQL or MariaDB.

Rule: every write names the epoch that makes it, and has no effect once there is a newer one. The bound only
rises, so that a write that was held up on the way cannot lower it behind a later one; only `release`, at
the end of a term, may bring it back down to what was served.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import aiomysql
import pymysql
from pymysql.constants import CLIENT, ER

from tso.errors import BoundStoreError, Deposed
from tso.types import Timestamp

_CREATE = (
    "CREATE DATABASE IF NOT EXISTS _txguard",
    "CREATE TABLE IF NOT EXISTS _txguard.tso ("
    "id TINYINT UNSIGNED NOT NULL PRIMARY KEY, epoch BIGINT UNSIGNED NOT NULL, "
    "`bound` BIGINT UNSIGNED NOT NULL"
    ") ENGINE=InnoDB",
    "INSERT IGNORE INTO _txguard.tso VALUES (1, 0, 0)",
)
_READ = "SELECT epoch, `bound` FROM _txguard.tso WHERE id = 1"
_ABSENT = frozenset((ER.BAD_DB_ERROR, ER.NO_SUCH_TABLE))


class Term(NamedTuple):
    """A leader's term: its epoch, and the bound below which earlier leaders may have served."""

    epoch: int
    bound: Timestamp


class BoundStore(Protocol):
    """Every method raises BoundStoreError when the store fails; what it was asked may still happen then."""

    async def begin_term(self) -> Term:
        """Increment the epoch durably: from now on no earlier leader can raise the bound."""
        ...

    async def raise_bound(self, epoch: int, bound: Timestamp) -> None:
        """Persist a bound, durably. Raises Deposed when `epoch` is not the newest."""
        ...

    async def release(self, epoch: int, bound: Timestamp) -> None:
        """The end of a term: `bound` is above all that was served and may be lower than the one persisted."""
        ...

    async def aclose(self) -> None: ...


class MySQLBoundStore:
    """The row in a MySQL or MariaDB server. `connect_args` are those of `aiomysql.connect`.

    The server must be durable (innodb_flush_log_at_trx_commit=1, which `txguard doctor` checks).
    """

    def __init__(self, connect_args: Mapping[str, Any], *, timeout_s: float = 1.0) -> None:
        self._connect_args = dict(connect_args)
        self._timeout_s = timeout_s
        self._connection: Any = None
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"MySQLBoundStore({self._place})"

    async def begin_term(self) -> Term:
        async with self._lock:
            await self._create_if_absent()
            # A crash after COMMIT and before its answer leaves an epoch that nobody used: harmless.
            await self._execute("START TRANSACTION")
            [(epoch, bound)] = await self._execute(_READ + " FOR UPDATE")
            await self._execute("UPDATE _txguard.tso SET epoch = %s WHERE id = 1", epoch + 1)
            await self._execute("COMMIT")
            return Term(epoch + 1, Timestamp(bound))

    async def raise_bound(self, epoch: int, bound: Timestamp) -> None:
        await self._update("GREATEST(`bound`, %s)", epoch, bound)

    async def release(self, epoch: int, bound: Timestamp) -> None:
        await self._update("%s", epoch, bound)

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await connection.ensure_closed()
        except (pymysql.MySQLError, OSError, TimeoutError):
            connection.close()

    @property
    def _place(self) -> str:
        arguments = self._connect_args
        server = arguments.get("unix_socket") or (
            f"{arguments.get('host', 'localhost')}:{arguments.get('port', 3306)}"
        )
        return f"{server}/_txguard.tso"

    async def _update(self, expression: str, epoch: int, bound: Timestamp) -> None:
        async with self._lock:
            statement = f"UPDATE _txguard.tso SET `bound` = {expression} WHERE id = 1 AND epoch = %s"
            if await self._execute(statement, bound, epoch, counting=True):
                return
            found = await self._execute(_READ)
        if not found:
            raise BoundStoreError(f"{self._place} has lost its row; restart the oracle")
        raise Deposed(
            f"epoch {epoch} was deposed by epoch {found[0][0]}: another oracle runs on {self._place}; "
            "stop one of them"
        )

    async def _create_if_absent(self) -> None:
        try:
            if await self._execute(_READ):
                return
        except BoundStoreError as error:
            if not (isinstance(error.__cause__, pymysql.MySQLError) and error.__cause__.args[0] in _ABSENT):
                raise
        for statement in _CREATE:
            await self._execute(statement)

    async def _execute(self, statement: str, *parameters: int, counting: bool = False) -> Any:
        """Rows, or with `counting` the number of rows matched. A connection that failed is not used again."""
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._connected()
                async with connection.cursor() as cursor:
                    matched = await cursor.execute(statement, parameters or None)
                    return matched if counting else await cursor.fetchall()
        except BaseException as error:
            self._drop()
            if isinstance(error, TimeoutError):
                raise BoundStoreError(f"no answer from {self._place} within {self._timeout_s:g} s") from error
            if isinstance(error, (pymysql.MySQLError, OSError, asyncio.IncompleteReadError)):
                raise BoundStoreError(f"{self._place}: {error}") from error
            raise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.closed:
            self._connection = await aiomysql.connect(
                **{
                    **self._connect_args,
                    "autocommit": True,
                    "client_flag": self._connect_args.get("client_flag", 0) | CLIENT.FOUND_ROWS,
                    "init_command": "SET SESSION sql_notes = 0",
                }
            )
        return self._connection
