"""The long run: a steady load for as long as asked, and what it must not do to the shards or to the clients.

sysbench commits updates at the asked rate; beside it, clients lock rows of several shards and wait for one another,
always in the order of the keys, so that no deadlock can be. Asked: the rate is kept in every interval, the history
holds no more than the retention's commits, and no transaction is told of a deadlock. Prints a line a minute, and at
the end one line for all.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import NamedTuple

import aiomysql
import pymysql
from pymysql.constants import ER

from proxy.bench import sysbench, transfers
from proxy.bench.world import HOST, World, open_world
from proxy.config import EngineConfig
from proxy.playground.installations import Installation

THREADS = 16
INTERVAL_S = 10
"""sysbench tells its rate for each such interval."""
DIP = 0.95
"""An interval below this part of the asked rate is a dip; chance alone (4 sigma) takes it to 0.97."""
SLACK_S = 30
"""The history may hold the commits of the retention, and of this long."""
LOCKERS = 8
HOT_ACCOUNTS = 6
HELD_S = 0.3
RETRIED = frozenset({ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT})
_INTERVAL = re.compile(r"^\[ (\d+)s \] thds: \d+ tps: ([\d.]+) .*lat \(ms,\d+%\): ([\d.]+)")


class Interval(NamedTuple):
    """`at_s`: since the beginning. `p95_ms`: of the commits' latency."""

    at_s: float
    per_s: float
    p95_ms: float


@dataclass(slots=True)
class Soak:
    """What was seen so far."""

    world: World
    rate: int
    minutes: float
    retention_s: int
    began: float = field(default_factory=time.monotonic)
    intervals: list[Interval] = field(default_factory=list)
    history: list[int] = field(default_factory=list)
    """Rows of all history tables, once a minute."""
    locked: int = 0
    """Transactions that took their locks in order and committed."""
    conflicts: int = 0

    @property
    def bound(self) -> int:
        return self.rate * (self.retention_s + SLACK_S)

    async def run(self) -> bool:
        """Whether all that was asked held."""
        await asyncio.to_thread(transfers.prepare, self.world)
        async with _connection(self.world.proxy) as connection, connection.cursor() as cursor:
            await cursor.execute(f"CREATE DATABASE {sysbench.DATABASE}")
        await sysbench.prepare(self.world.proxy, sysbench.DATABASE)
        self.began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(self._lock(number)) for number in range(LOCKERS)]
            beside.append(group.create_task(self._watch()))
            await self._commit()
            for task in beside:
                task.cancel()
        return await self._judge()

    async def _commit(self) -> None:
        lines = sysbench.follow(
            "oltp_update_non_index",
            self.world.proxy,
            sysbench.DATABASE,
            f"--threads={THREADS}",
            f"--rate={self.rate}",
            f"--time={int(self.minutes * 60)}",
            f"--report-interval={INTERVAL_S}",
            "run",
        )
        async with contextlib.aclosing(lines):
            async for line in lines:
                if found := _INTERVAL.match(line):
                    self.intervals.append(Interval(*map(float, found.groups())))

    async def _lock(self, number: int) -> None:
        """Locks held long enough for others to wait, and for the detector to look at them while they do."""
        rng = random.Random(number)
        async with (
            _connection(self.world.proxy, transfers.DATABASE) as connection,
            connection.cursor() as cursor,
        ):
            while True:
                try:
                    await connection.begin()
                    for account in sorted(rng.sample(range(HOT_ACCOUNTS), 3)):
                        await cursor.execute(
                            "SELECT balance FROM account WHERE id = %s FOR UPDATE", (account,)
                        )
                        await asyncio.sleep(rng.random() * HELD_S)
                    await cursor.execute("UPDATE account SET balance = balance + 1 WHERE id = %s", (account,))
                    await connection.commit()
                    self.locked += 1
                except pymysql.MySQLError as error:
                    if error.args[0] not in RETRIED:
                        raise
                    self.conflicts += 1
                    await connection.rollback()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(60)
            rows, records, mebibytes = await self._sizes()
            self.history.append(rows)
            last = self.intervals[-6:] or [Interval(0.0, 0.0, 0.0)]
            print(
                f"{(time.monotonic() - self.began) / 60:5.1f} min  "
                f"commits/s {statistics.mean(one.per_s for one in last):,.0f} "
                f"(least {min(one.per_s for one in last):,.0f})  p95 {max(one.p95_ms for one in last):.1f} ms  "
                f"history {rows:,} rows, records {records:,}, files {mebibytes:,.0f} MiB  "
                f"ordered locks {self.locked:,} ({self.conflicts} conflicts)",
                flush=True,
            )

    async def _sizes(self) -> tuple[int, int, float]:
        """Rows of history, commit records, MiB of the files of both, over all shards."""
        rows = records = size = 0
        for port in self.world.servers:
            async with _connection(port) as connection, connection.cursor() as cursor:
                await cursor.execute("SELECT history_name FROM _txguard.managed")
                for (name,) in await cursor.fetchall():
                    await cursor.execute(f"SELECT COUNT(*) FROM _txguard.`{name}`")
                    rows += (await cursor.fetchone())[0]
                await cursor.execute("SELECT COUNT(*) FROM _txguard.txn")
                records += (await cursor.fetchone())[0]
                await cursor.execute("SELECT VERSION()")
                mariadb = "mariadb" in (await cursor.fetchone())[0].lower()
                spaces = "innodb_sys_tablespaces" if mariadb else "innodb_tablespaces"
                await cursor.execute(
                    f"SELECT SUM(file_size) FROM information_schema.{spaces} WHERE name LIKE '\\_txguard/%'"
                )
                size += int((await cursor.fetchone())[0])
        return rows, records, size / 2**20

    async def _judge(self) -> bool:
        async with _connection(self.world.proxy) as connection, connection.cursor() as cursor:
            await cursor.execute("SHOW TXGUARD DEADLOCKS")
            victims = len(await cursor.fetchall())
        before = [one for one in self.intervals if one.at_s <= self.retention_s]
        cleaning = [one for one in self.intervals if one.at_s > self.retention_s]
        dips = sum(one.per_s < DIP * self.rate for one in self.intervals)
        most = max(self.history, default=0)
        mean = statistics.mean(one.per_s for one in self.intervals)
        good = bool(cleaning) and not dips and most <= self.bound and not victims and self.locked > 0
        print(
            f"soak: minutes={self.minutes:g} commits_per_s={mean:.0f} "
            f"p95_ms={_median_p95(before):.2f} p95_ms_cleaning={_median_p95(cleaning):.2f} dips={dips} "
            f"history_rows={most} bound={self.bound} ordered_locks={self.locked} conflicts={self.conflicts} "
            f"deadlock_victims={victims} {'OK' if good else 'FAILED'}",
            flush=True,
        )
        return good


def _median_p95(intervals: list[Interval]) -> float:
    return statistics.median(one.p95_ms for one in intervals) if intervals else 0.0


@contextlib.asynccontextmanager
async def _connection(port: int, database: str | None = None) -> AsyncIterator[aiomysql.Connection]:
    connection = await aiomysql.connect(host=HOST, port=port, user="root", db=database, autocommit=True)
    try:
        yield connection
    finally:
        connection.close()


async def run_soak(installation: Installation, rate: int, minutes: float, retention_s: int) -> bool:
    """Whether all that was asked held."""
    print(f"{installation.label}, {rate:,} commits/s for {minutes:g} minutes", flush=True)
    async with open_world(installation, EngineConfig(retention_s=retention_s)) as world:
        return await Soak(world, rate, minutes, retention_s).run()
