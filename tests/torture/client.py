"""One client of the cluster: runs operations over MySQL connections to either proxy, and records them honestly.

The rule of outcomes (docs/errors.md): a transaction whose COMMIT was not sent is FAIL; so is one that was answered
with an error that promises that nothing happened. Every other error, a lost connection and a passed deadline, in
COMMIT or in an autocommit write, is INFO. A read that failed is FAIL: it cannot have changed anything.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import aiomysql
from pymysql.err import MySQLError

from tests.torture.anomalies import Level
from tests.torture.faults.links import HOST
from tests.torture.history import Outcome, Recorder

CONNECT_TIMEOUT_S: Final = 3.0
STATEMENT_TIMEOUT_S: Final = 8.0
THINKS: Final = 0.1
LONGEST_THOUGHT_S: Final = 0.03
ASKS_ITS_NAME: Final = 0.5
"""How often a transaction asks for its start_ts before COMMIT, so that an unknown outcome can be learnt."""
NOTHING_HAPPENED: Final = frozenset({1040, 1062, 1205, 1213, 1412, 1451, 1452, 9102, 9103, 9104, 9105})
"""Of a COMMIT or an autocommit statement that was answered so, nothing is or will be there."""
UNDETERMINED: Final = 9101
BROKEN: Final = (MySQLError, OSError, EOFError, TimeoutError, AttributeError, RuntimeError)
"""What aiomysql raises for errors and for connections cut anywhere: a half packet is also an AttributeError."""

Rows = list[tuple[Any, ...]]


class GiveUp(Exception):
    """The workload itself wants no COMMIT."""


class Attempt:
    """What an operation's body works with. `known` is recorded, should the body not come to its end."""

    def __init__(self, client: Client, known: Any) -> None:
        self._client = client
        self.known = known
        self.affected = 0
        self.start_ts = 0
        """By which its outcome can be asked for; 0: not asked."""

    async def run(self, sql: str) -> Rows:
        """One statement. Now and then the client thinks before it, so that transactions overlap in many ways."""
        if self._client.rng.random() < THINKS:
            await asyncio.sleep(self._client.rng.uniform(0, LONGEST_THOUGHT_S))
        rows, self.affected = await self._client.execute(sql)
        return rows

    async def refused(self, sql: str, errno: int) -> bool:
        """Whether the statement was undone with this error, after which the transaction goes on."""
        try:
            await self.run(sql)
        except MySQLError as error:
            if errno_of(error) != errno:
                raise
            return True
        return False


Body = Callable[[Attempt], Awaitable[Any]]


class Client:
    """One process in Jepsen's sense: one operation at a time."""

    def __init__(
        self,
        process: int,
        ports: Sequence[int],
        database: str,
        level: Level,
        recorder: Recorder,
        rng: random.Random,
    ) -> None:
        self.process, self.rng, self.recorder = process, rng, recorder
        self._ports, self._database, self._level = ports, database, level
        self.strange: list[str] = []
        """Answers that no state of the database has."""
        self.unknown: list[tuple[int, int]] = []
        """(place among the recorder's events, start_ts) of unknown outcomes that can be asked for."""
        self._connection: Any = None

    async def transaction(self, f: str, asked: Any, body: Body, *, read_only: bool = False) -> Outcome | None:
        """BEGIN, the body, COMMIT. None: there is no connection to be had."""
        return await self._operation(
            f, asked, self._in_transaction(body, read_only=read_only), read_only=read_only
        )

    async def single(self, f: str, asked: Any, body: Body, *, read_only: bool = False) -> Outcome | None:
        """The body is one autocommit statement."""
        return await self._operation(f, asked, body, read_only=read_only)

    async def execute(self, sql: str) -> tuple[Rows, int]:
        async with asyncio.timeout(STATEMENT_TIMEOUT_S):
            async with self._connection.cursor() as cursor:
                affected = await cursor.execute(sql)
                return list(await cursor.fetchall()), affected

    def drop(self) -> None:
        """Without a word to the other side, as a client that vanishes."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def connected(self) -> bool:
        """To either proxy, as a load balancer would have it; now and then to another one."""
        if self._connection is not None and self.rng.random() < 0.02:
            self.drop()
        if self._connection is None:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    self._connection = await aiomysql.connect(
                        host=HOST,
                        port=self.rng.choice(self._ports),
                        user="root",
                        db=self._database,
                        autocommit=True,
                        connect_timeout=CONNECT_TIMEOUT_S,
                    )
                await self.execute(f"SET SESSION TRANSACTION ISOLATION LEVEL {self._level.value}")
            except BROKEN:
                self.drop()
                return False
        return True

    async def _operation(self, f: str, asked: Any, body: Body, *, read_only: bool) -> Outcome | None:
        if not await self.connected():
            await asyncio.sleep(self.rng.uniform(0.02, 0.2))
            return None
        self.recorder.invoke(self.process, f, asked)
        attempt = Attempt(self, asked)
        try:
            value = await body(attempt)
        except GiveUp:
            self.recorder.complete(self.process, Outcome.FAIL, f, attempt.known, "gave up")
            return Outcome.FAIL
        except _Failed as failed:
            return await self._failed(f, attempt, failed.cause, certain=True)
        except BROKEN as error:
            return await self._failed(f, attempt, error, certain=read_only or promises_nothing(error))
        except ValueError as error:  # an answer without the row that is always there
            self.strange.append(f"{f} {asked}: {error}")
            return await self._failed(f, attempt, error, certain=True)
        self.recorder.complete(self.process, Outcome.OK, f, value)
        return Outcome.OK

    async def _failed(self, f: str, attempt: Attempt, error: BaseException, *, certain: bool) -> Outcome:
        outcome = Outcome.FAIL if certain else Outcome.INFO
        self.recorder.complete(self.process, outcome, f, attempt.known, f"{type(error).__name__}: {error}")
        start_ts = attempt.start_ts or told_start_ts(error)
        if outcome is Outcome.INFO and start_ts:
            self.unknown.append((len(self.recorder.events) - 1, start_ts))
        if errno_of(error) not in NOTHING_HAPPENED:
            self.drop()
        await asyncio.sleep(self.rng.uniform(0.0, 0.05))
        return outcome

    def _in_transaction(self, body: Body, *, read_only: bool) -> Body:
        async def begin_and_commit(attempt: Attempt) -> Any:
            try:
                await attempt.run("BEGIN")
                value = await body(attempt)
                if not read_only and self.rng.random() < ASKS_ITS_NAME:
                    [[attempt.start_ts]] = await attempt.run("SELECT @@txguard_start_ts")
            except BROKEN as error:
                await self._roll_back()
                raise _Failed(error) from error
            except GiveUp:
                await self._roll_back()
                raise
            attempt.known = value
            await attempt.run("COMMIT")
            return value

        return begin_and_commit

    async def _roll_back(self) -> None:
        """A client that cannot say so leaves, and leaves the rest to the proxy."""
        try:
            if self.rng.random() < 0.1:
                self.drop()
            else:
                await self.execute("ROLLBACK")
        except BROKEN:
            self.drop()


class _Failed(Exception):
    """Before COMMIT was sent."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


def errno_of(error: BaseException) -> int | None:
    number = error.args[0] if isinstance(error, MySQLError) and error.args else None
    return number if isinstance(number, int) else None


def told_start_ts(error: BaseException) -> int:
    """Error 9101 names the transaction; 0: another error."""
    named = re.search(r"transaction (\d+)", str(error)) if errno_of(error) == UNDETERMINED else None
    return int(named[1]) if named else 0


def promises_nothing(error: BaseException) -> bool:
    return errno_of(error) in NOTHING_HAPPENED
