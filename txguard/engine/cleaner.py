"""Cleaning: commit records and history behind the safe point.

The rule: a cross-shard record goes only when every shard has answered that its decided mark has passed it, and that
it holds no lock record of that transaction, nor of one with a lower `commit_ts`; otherwise a participant that was down
all the while would find no record of the outcome on its return and roll its part back. A shard answers once it is
fenced for this epoch, so that nothing of an older one is to come. A tombstone stays while a local transaction may live
that it must refuse. The marks of [R7] say how far a shard was cleaned, and rise first. Everything is deleted in small
batches under READ COMMITTED, which takes no gap locks. Source: docs/protocol.md, "Cleaning".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from tso.api import Tso
from tso.clock import timestamp_at
from tso.types import ShardName, Timestamp
from txguard.engine.concurrent import settle
from txguard.engine.decided import DecidedMarks
from txguard.engine.install import ANY_MARK, SINGLE_SHARD_MARK
from txguard.engine.janitor import log_failure
from txguard.engine.managed import list_managed
from txguard.engine.managed_table import ManagedTable
from txguard.engine.marks import raise_mark
from txguard.engine.retention import (
    expire_statements,
    expired_query,
    keep_statements,
    kept_histories,
    list_retentions,
)
from txguard.engine.settings import EngineSettings
from txguard.engine.shard import Connection, Shard, borrow
from txguard.engine.undo import clean_statements

LATE_AFTER_S = 60.0
"""Tombstones are not cleaned while a local transaction that writes is older than this."""

READ_COMMITTED = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"


class Cleaner:
    def __init__(
        self,
        shards: Mapping[ShardName, Shard],
        tso: Tso,
        settings: EngineSettings,
        marks: DecidedMarks,
    ) -> None:
        self.shards, self.tso, self.settings, self.marks = shards, tso, settings, marks

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await asyncio.sleep(self.settings.clean_interval_s)
            try:
                await self.clean_once()
            except Exception as error:
                log_failure("cleaning failed, it goes on later", error)

    async def clean_once(self) -> None:
        """Delete what lies behind the safe point on every shard that answers."""
        safe_point = await self.tso.safe_point(self.settings.retention_ms)
        names = list(self.shards)
        answers = await settle([self._settled(name, safe_point) for name in names])
        all_answered = not any(isinstance(answer, Exception) for answer in answers)
        up = [name for name, answer in zip(names, answers, strict=True) if not isinstance(answer, Exception)]
        # What is not settled everywhere must still find, or be given, its records; and so what came after it.
        settled = min([safe_point, *(answer for answer in answers if not isinstance(answer, Exception))])
        for result in await settle(
            [self._clean_shard(name, safe_point, settled if all_answered else Timestamp(0)) for name in up]
        ):
            if isinstance(result, Exception):
                raise result
        for result in await settle([self._clean_kept(name, safe_point) for name in up]):
            if isinstance(result, Exception):
                raise result

    async def _settled(self, name: ShardName, safe_point: Timestamp) -> Timestamp:
        """How far every cross-shard commit is decided, as far as this shard knows; `safe_point` if it can be.

        Raises ShardUnavailable where older coordinators may still commit.
        """
        decided, held = await self._decided(name)
        if decided < safe_point:  # Nobody has committed here for long.
            await self.marks.rise(name)
            decided, held = await self._decided(name)
        return min([decided, *(Timestamp(commit_ts - 1) for commit_ts in held)])

    async def _decided(self, name: ShardName) -> tuple[Timestamp, list[Timestamp]]:
        """The decided mark, and then the `commit_ts` of the lock records: those of the mark, or of a later one."""
        queries = [
            "SELECT up_to FROM _txguard.decided WHERE id = 1",
            "SELECT commit_ts FROM _txguard.txn_lock",
        ]
        async with borrow(self.shards[name], self.settings.acquire_timeout_s) as connection:
            self.marks.require_fenced(name)
            mark, locks = await connection.run(queries, self.settings.control_timeout_s)
        return Timestamp(int(mark.rows[0][0] or 0)), [Timestamp(int(row[0] or 0)) for row in locks.rows]

    async def _clean_shard(self, name: ShardName, safe_point: Timestamp, settled: Timestamp) -> None:
        """Up to `settled` everything; up to the safe point what no other shard has a part of."""
        batch, timeout_s = self.settings.clean_batch, self.settings.control_timeout_s
        marks = [raise_mark(SINGLE_SHARD_MARK, safe_point), raise_mark(ANY_MARK, settled)]
        async with borrow(self.shards[name], self.settings.acquire_timeout_s) as connection:
            states = "= 'C'" if await self._may_be_late(connection) else "<> 'M'"
            query = (
                f"SELECT start_ts FROM _txguard.txn WHERE commit_ts <= {safe_point} AND state {states} "
                f"AND (commit_ts <= {settled} OR participants IS NULL) ORDER BY commit_ts LIMIT {batch}"
            )

            async def oldest() -> int:
                [answer] = await connection.run([query], timeout_s)
                gone = [Timestamp(int(row[0] or 0)) for row in answer.rows]
                if gone:
                    await self._forget(connection, gone, marks)
                return len(gone)

            await self._in_batches(oldest)

    async def _in_batches(self, step: Callable[[], Awaitable[int]]) -> None:
        """Until `step` finds less than a batch. As much rest as work: the shard's clients come in between."""
        while True:
            started = time.monotonic()
            if await step() < self.settings.clean_batch:
                return
            await asyncio.sleep(time.monotonic() - started)

    async def _forget(self, connection: Connection, gone: Sequence[Timestamp], marks: Sequence[str]) -> None:
        """One local transaction. What `gone` replaced in a table with a retention of its own stays."""
        timeout_s = self.settings.control_timeout_s
        await connection.run([READ_COMMITTED, "START TRANSACTION", *marks], timeout_s)
        # Only now: from here on whoever has a table keep more waits for this transaction.
        own = await list_retentions(connection, timeout_s)
        tables = await list_managed(connection, timeout_s)
        keep = keep_statements([table for table in tables if table.history_name in own], gone)
        clean = clean_statements([table for table in tables if table.history_name not in own], gone)
        await connection.run([*keep, *clean, "COMMIT"], timeout_s)

    async def _clean_kept(self, name: ShardName, safe_point: Timestamp) -> None:
        """What tables with a retention of their own have kept for long enough, or of tables that are gone."""
        timeout_s = self.settings.control_timeout_s
        async with borrow(self.shards[name], self.settings.acquire_timeout_s) as connection:
            histories = await kept_histories(connection, timeout_s)
            if not histories:
                return
            own = await list_retentions(connection, timeout_s)
            tables = {table.history_name: table for table in await list_managed(connection, timeout_s)}
            for history in histories:
                table = tables.get(history) if history in own else None
                longer_ms = max(0, own.get(history, 0) * 1000 - self.settings.retention_ms)
                up_to = Timestamp(max(0, safe_point - timestamp_at(longer_ms)))
                expired = partial(self._expire, connection, history, table, up_to)
                await self._in_batches(expired)

    async def _expire(
        self, connection: Connection, history: str, table: ManagedTable | None, up_to: Timestamp
    ) -> int:
        """The oldest batch of what is kept for `table`; None: it is gone, or has no retention of its own any more."""
        batch, timeout_s = self.settings.clean_batch, self.settings.control_timeout_s
        query = expired_query(history, None if table is None else up_to, batch)
        [answer] = await connection.run([query], timeout_s)
        if answer.rows:
            gone = [Timestamp(int(row[0] or 0)) for row in answer.rows]
            latest = Timestamp(int(answer.rows[-1][1] or 0))
            statements = expire_statements(history, table, gone, latest)
            await connection.run([READ_COMMITTED, "START TRANSACTION", *statements, "COMMIT"], timeout_s)
        return len(answer.rows)

    async def _may_be_late(self, connection: Connection) -> bool:
        """Whether a local transaction is so old that its coordinator may have been given up, and yet commit it."""
        grace_s = min(LATE_AFTER_S, self.settings.retention_ms / 2000)
        query = (
            "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_rows_modified > 0 "
            f"AND trx_started < NOW() - INTERVAL {int(grace_s * 1_000_000)} MICROSECOND"
        )
        [answer] = await connection.run([query], self.settings.control_timeout_s)
        return int(answer.rows[0][0] or 0) > 0
