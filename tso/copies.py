"""One copy of the oracle's lease: a row of `_txguard.tso` in a MySQL or MariaDB server, and what may be asked of it.

Rules: every write is one statement with its condition in it, so that whoever stops half-way holds no lock. Within
an epoch the bound only rises, so a row never looks again as it once did; only `Release`, at the end of a term, may
bring the bound back down to what was served. A request that failed may still be carried out later: each of them is
harmless then (`tso.election`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import aiomysql
import pymysql
from pymysql.constants import CLIENT, ER

from tso.errors import BoundStoreError
from tso.types import Timestamp

log = logging.getLogger(__name__)


class Row(NamedTuple):
    """`leader`, of `epoch`, serves timestamps below `bound`, for `lease_ms` after it began to write this."""

    epoch: int
    bound: Timestamp
    lease_ms: int
    """0: nobody has the lease."""
    leader: str


@dataclass(frozen=True, slots=True)
class Read:
    """Answered with the row, which is made when it is missing."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Put `row` in the place of `seen`, if that still stands there; the bound never falls."""

    seen: Row
    row: Row


@dataclass(frozen=True, slots=True)
class Renew:
    """Write `row`, unless a newer epoch is there; the bound never falls."""

    row: Row


@dataclass(frozen=True, slots=True)
class Release:
    """The end of the term of `epoch`: nobody has the lease, and all that was served is below `bound`."""

    epoch: int
    bound: Timestamp


Request = Read | Claim | Renew | Release
Reply = Row | None
"""None: done. A row: the answer to `Read`, or what stands there and refused the write."""

CONNECT_TIMEOUT_S: Final = 5.0

_CREATE = (
    "CREATE DATABASE IF NOT EXISTS _txguard",
    "CREATE TABLE IF NOT EXISTS _txguard.tso ("
    "id TINYINT UNSIGNED NOT NULL PRIMARY KEY, epoch BIGINT UNSIGNED NOT NULL, "
    "`bound` BIGINT UNSIGNED NOT NULL, lease_ms INT UNSIGNED NOT NULL, leader VARCHAR(255) NOT NULL"
    ") ENGINE=InnoDB",
    "INSERT IGNORE INTO _txguard.tso VALUES (1, 0, 0, 0, '')",
)
_EXTEND = (  # a row of before there were standbys: its oracle, if it still runs, has a lease of 3 s
    "ALTER TABLE _txguard.tso ADD COLUMN lease_ms INT UNSIGNED NOT NULL DEFAULT 3000, "
    "ADD COLUMN leader VARCHAR(255) NOT NULL DEFAULT ''",
)
_READ = "SELECT epoch, `bound`, lease_ms, leader FROM _txguard.tso WHERE id = 1"
_WRITE = "UPDATE _txguard.tso SET epoch = %s, `bound` = GREATEST(`bound`, %s), lease_ms = %s, leader = %s WHERE id = 1"
_RELEASE = "UPDATE _txguard.tso SET `bound` = %s, lease_ms = 0 WHERE id = 1 AND epoch = %s"
_REPAIRS = {ER.BAD_DB_ERROR: _CREATE, ER.NO_SUCH_TABLE: _CREATE, ER.BAD_FIELD_ERROR: _EXTEND}


def statement(request: Claim | Renew | Release) -> tuple[str, tuple[Any, ...]]:
    """The write as SQL, with its parameters."""
    match request:
        case Claim(seen, row):
            seen_here = (seen.epoch, seen.bound, seen.lease_ms)
            return f"{_WRITE} AND epoch = %s AND `bound` = %s AND lease_ms = %s", (*row, *seen_here)
        case Renew(row):
            return f"{_WRITE} AND epoch <= %s", (*row, row.epoch)
        case Release(epoch, bound):
            return _RELEASE, (bound, epoch)


class MySQLCopy:
    """`connect_args` are those of `aiomysql.connect`. One request at a time.

    The server must be durable (innodb_flush_log_at_trx_commit=1, which `txguard doctor` checks).
    """

    running: asyncio.Task[Reply | BoundStoreError] | None = None

    def __init__(self, connect_args: Mapping[str, Any], timeout_s: float) -> None:
        self._connect_args = dict(connect_args)
        self._timeout_s = timeout_s
        self._connection: Any = None

    @property
    def place(self) -> str:
        arguments = self._connect_args
        return arguments.get("unix_socket") or (
            f"{arguments.get('host', 'localhost')}:{arguments.get('port', 3306)}"
        )

    def start(self, request: Request) -> asyncio.Task[Reply | BoundStoreError] | None:
        """Have it done. None while the last request is under way: one that nobody waits for any more goes on.

        So a server that hangs is not connected to again and again, and one that is slow to connect to gets there.
        """
        if self.running is not None and not self.running.done():
            return None
        self.running = asyncio.create_task(self._settled(request))  # noqa: TID251 - ended by `aclose`
        return self.running

    async def aclose(self) -> None:
        if self.running is not None:
            self.running.cancel()
            await asyncio.wait((self.running,))
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await connection.ensure_closed()
        except (pymysql.MySQLError, OSError, TimeoutError):
            connection.close()

    async def _settled(self, request: Request) -> Reply | BoundStoreError:
        try:
            return await self._perform(request)
        except BoundStoreError as error:
            return error
        except Exception as error:  # a defect, on one copy, must not end the lease
            log.exception("a copy of the oracle's lease could not be asked")
            return BoundStoreError(f"{self.place}: {error!r}")

    async def _perform(self, request: Request) -> Reply:
        """Raises BoundStoreError when the server does not do it; it may still happen then."""
        if isinstance(request, Read):
            return await self._row() or await self._made_row()
        if await self._execute(*statement(request), counting=True):
            return None
        if found := await self._row():
            return found
        raise BoundStoreError(f"{self.place} has lost the row of _txguard.tso; restart the oracle")

    async def _row(self) -> Row | None:
        try:
            found = await self._execute(_READ)
        except BoundStoreError as error:
            repairs = _REPAIRS.get(_errno(error))
            if repairs is None:
                raise
            await self._repair(repairs)
            found = await self._execute(_READ)
        return Row(*found[0]) if found else None

    async def _made_row(self) -> Row:
        await self._repair(_CREATE)
        [found] = await self._execute(_READ)
        return Row(*found)

    async def _repair(self, statements: tuple[str, ...]) -> None:
        for each in statements:
            try:
                await self._execute(each)
            except BoundStoreError as error:
                if _errno(error) != ER.DUP_FIELDNAME:  # another oracle was faster
                    raise

    async def _execute(self, text: str, parameters: tuple[Any, ...] = (), *, counting: bool = False) -> Any:
        """Rows, or with `counting` the number of rows matched. A connection that failed is not used again."""
        try:
            connection = await self._connected()
            async with asyncio.timeout(self._timeout_s):
                async with connection.cursor() as cursor:
                    matched = await cursor.execute(text, parameters or None)
                    return matched if counting else await cursor.fetchall()
        except BaseException as error:
            self._drop()
            if isinstance(error, TimeoutError):
                raise BoundStoreError(f"{self.place} does not answer") from error
            if isinstance(error, (pymysql.MySQLError, OSError, asyncio.IncompleteReadError)):
                raise BoundStoreError(f"{self.place}: {error}") from error
            raise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.closed:
            arguments = {
                **self._connect_args,
                "autocommit": True,
                "client_flag": self._connect_args.get("client_flag", 0) | CLIENT.FOUND_ROWS,
                "init_command": "SET SESSION sql_notes = 0",
            }
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                self._connection = await aiomysql.connect(**arguments)
        return self._connection


def _errno(error: BoundStoreError) -> int:
    cause = error.__cause__
    return cause.args[0] if isinstance(cause, pymysql.MySQLError) and cause.args else 0
