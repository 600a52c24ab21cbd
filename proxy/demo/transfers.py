"""Two ways to move money: an ordinary pymysql program, and functions decorated with `@transactional`.

The first reads both balances in its snapshot, computes, and writes the results: were a concurrent change
lost, the sum would show it. It does what any MySQL program does about errors: a conflict is a transfer that
failed, a connection lost in COMMIT is one whose outcome it does not know. The second adds and subtracts in
the database, and leaves the errors to the decorator.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import aiomysql
import pymysql
from pymysql.connections import Connection
from pymysql.cursors import Cursor

from proxy.demo.bank import DATABASE
from proxy.demo.journal import Journal, Outcome
from proxy.demo.progress import Reporter
from txguard import OutcomeUndetermined, transactional
from txguard.errors import TxGuardError
from txguard.transactional import AiomysqlConnection, AsyncPool
from txguard.transactional.classify import Failure, classify, classify_commit

THINK_S: Final = 0.004
"""Between two transfers of a worker: the demo shows correctness, and leaves the machine some air."""
AFTER_ERROR_S: Final = 0.2
PATIENCE: Final = "SET SESSION innodb_lock_wait_timeout = 3"
"""Each client's init_command: who waits longer for a row gives up, and tries again."""
HOT_SHARE: Final = 0.1
"""Of all transfers, those between the first few accounts of each shard, so that some conflict."""
HOT_ACCOUNTS: Final = 7

_READ: Final = f"SELECT balance FROM {DATABASE}.account WHERE id = %s"
_WRITE: Final = f"UPDATE {DATABASE}.account SET balance = %s WHERE id = %s"
_WITHDRAW: Final = f"UPDATE {DATABASE}.account SET balance = balance - %s WHERE id = %s AND balance >= %s"
_DEPOSIT: Final = f"UPDATE {DATABASE}.account SET balance = balance + %s WHERE id = %s"
_RECORD: Final = f"INSERT INTO {DATABASE}.transfer (source, id, target, amount) VALUES (%s, %s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Transfer:
    id: int
    source: int
    target: int
    amount: Decimal
    crosses: bool


class Overdrawn(Exception):
    """The source has less than the amount: an error of the business, not of the database."""


@dataclass(slots=True)
class Plan:
    """Draws transfers: half of them across shards. `shards` are the accounts of each."""

    shards: Sequence[Sequence[int]]
    worker: int
    chance: random.Random
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def next(self) -> Transfer:
        crosses = self.chance.random() < 0.5
        homes = [shard for shard in self.shards if len(shard) > 1]
        first, second = self.chance.sample(homes, 2) if crosses else [self.chance.choice(homes)] * 2
        few = HOT_ACCOUNTS if self.chance.random() < HOT_SHARE else None
        source = self.chance.choice(first[:few])
        target = self.chance.choice([account for account in second[:few] if account != source])
        amount = Decimal(self.chance.randint(1, 2_000)) / 100
        return Transfer(self.worker * 10_000_000 + next(self._numbers), source, target, amount, crosses)


class PymysqlWorker:
    """One thread, one connection, no library but the driver."""

    def __init__(self, where: dict[str, Any], plan: Plan, journal: Journal, reporter: Reporter) -> None:
        self._where, self._plan, self._journal, self._reporter = where, plan, journal, reporter
        self._connection: Any = None

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            pause_s = THINK_S if self._try(self._plan.next()) else AFTER_ERROR_S
            stop.wait(pause_s)
        if self._connection is not None:
            self._connection.close()

    def _try(self, transfer: Transfer) -> bool:
        """False: the proxy did not answer as it should, so wait a little."""
        started = time.monotonic()
        committing = False
        try:
            if self._connection is None:
                self._connection = pymysql.connect(**self._where, autocommit=True)
            if not self._move(transfer):
                self._connection.rollback()
                return True
            committing = True
            self._connection.commit()
        except (pymysql.err.MySQLError, OSError) as error:
            failure = classify_commit(error) if committing else classify(error)
            return self._failed(transfer, failure, error)
        self._journal.write(Outcome.ACKNOWLEDGED, transfer.id, transfer.source)
        self._reporter.transferred(transfer.crosses, (time.monotonic() - started) * 1000)
        return True

    def _move(self, transfer: Transfer) -> bool:
        """False: the source has less than the amount."""
        self._connection.begin()
        with self._connection.cursor() as cursor:
            balances = []
            for account in (transfer.source, transfer.target):
                cursor.execute(_READ, (account,))
                balances.append(cursor.fetchone()[0])
            if balances[0] < transfer.amount:
                return False
            cursor.execute(_WRITE, (balances[0] - transfer.amount, transfer.source))
            cursor.execute(_WRITE, (balances[1] + transfer.amount, transfer.target))
            cursor.execute(_RECORD, (transfer.source, transfer.id, transfer.target, transfer.amount))
        return True

    def _failed(self, transfer: Transfer, failure: Failure, error: Exception) -> bool:
        outcome = Outcome.UNKNOWN if failure is Failure.UNDETERMINED else Outcome.FAILED
        self._journal.write(outcome, transfer.id, transfer.source)
        if failure is Failure.CONFLICT:
            self._reporter.conflict()
            if rolled_back(self._connection):
                return True
        if failure is Failure.UNDETERMINED:
            self._reporter.unknown()
        self._reporter.error(error)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection._force_close()  # close() would say goodbye to a proxy that may be gone
        return False


class TransactionalWorker:
    """One thread; the transaction is a decorated function."""

    def __init__(self, dsn: str, plan: Plan, journal: Journal, reporter: Reporter) -> None:
        self._plan, self._journal, self._reporter = plan, journal, reporter
        self._attempts = 0

        @transactional(dsn)
        def move(connection: Connection[Cursor], transfer: Transfer) -> None:
            self._attempts += 1
            with connection.cursor() as cursor:
                if not cursor.execute(_WITHDRAW, (transfer.amount, transfer.source, transfer.amount)):
                    raise Overdrawn
                cursor.execute(_DEPOSIT, (transfer.amount, transfer.target))
                cursor.execute(_RECORD, (transfer.source, transfer.id, transfer.target, transfer.amount))

        self._move = move

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            transfer = self._plan.next()
            self._attempts = 0
            started = time.monotonic()
            try:
                self._move(transfer)
            except Overdrawn:
                continue
            except (TxGuardError, pymysql.err.MySQLError, OSError) as error:
                note_failure(transfer, error, self._journal, self._reporter)
                stop.wait(AFTER_ERROR_S)
            else:
                self._journal.write(Outcome.ACKNOWLEDGED, transfer.id, transfer.source)
                self._reporter.transferred(transfer.crosses, (time.monotonic() - started) * 1000)
            self._reporter.conflict(max(0, self._attempts - 1))
            stop.wait(THINK_S)


async def transfer_in_tasks(
    where: dict[str, Any], plans: Sequence[Plan], journal: Journal, reporter: Reporter, stop: threading.Event
) -> None:
    """The same with asyncio: one task per plan, over one aiomysql pool."""
    pool: AsyncPool
    async with aiomysql.create_pool(**where, autocommit=True, minsize=0, maxsize=len(plans)) as pool:

        @transactional(pool)
        async def move(connection: AiomysqlConnection, transfer: Transfer) -> None:
            async with connection.cursor() as cursor:
                if not await cursor.execute(_WITHDRAW, (transfer.amount, transfer.source, transfer.amount)):
                    raise Overdrawn
                await cursor.execute(_DEPOSIT, (transfer.amount, transfer.target))
                await cursor.execute(
                    _RECORD, (transfer.source, transfer.id, transfer.target, transfer.amount)
                )

        async def work(plan: Plan) -> None:
            while not stop.is_set():
                transfer = plan.next()
                started = time.monotonic()
                try:
                    await move(transfer)
                except Overdrawn:
                    continue
                except (TxGuardError, pymysql.err.MySQLError, OSError) as error:
                    note_failure(transfer, error, journal, reporter)
                    await asyncio.sleep(AFTER_ERROR_S)
                else:
                    journal.write(Outcome.ACKNOWLEDGED, transfer.id, transfer.source)
                    reporter.transferred(transfer.crosses, (time.monotonic() - started) * 1000)
                await asyncio.sleep(THINK_S)

        async with asyncio.TaskGroup() as group:
            for plan in plans:
                group.create_task(work(plan))


def rolled_back(connection: Any) -> bool:
    """After a conflict; False: the connection is gone."""
    try:
        connection.rollback()
    except (pymysql.err.MySQLError, OSError):
        return False
    return True


def note_failure(transfer: Transfer, error: Exception, journal: Journal, reporter: Reporter) -> None:
    """The decorator says of every failure whether its outcome is known."""
    unknown = isinstance(error, OutcomeUndetermined)
    journal.write(Outcome.UNKNOWN if unknown else Outcome.FAILED, transfer.id, transfer.source)
    if unknown:
        reporter.unknown()
    reporter.error(error)
