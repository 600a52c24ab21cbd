"""Resolve: decide an undecided transaction and carry the outcome out. Anyone may, any number at once, at any time.

The rule: a commit record is written once, so a tombstone placed where none exists decides "rolled back", and
records on every participant decide "committed". Whoever comes so late that the records may have been cleaned learns
nothing, and places nothing [R7]. The oracle hears of a roll-back before the undo (dependants give
up their row locks) and of the end after it. A crash anywhere here leaves work that the next resolver repeats.
Source: docs/protocol.md, "Resolve".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tso.api import Tso
from tso.types import Orphan, Outcome, ShardName, Timestamp
from txguard.engine import failpoints
from txguard.engine.blockers import Blockers
from txguard.engine.concurrent import gather, settle
from txguard.engine.managed import ManagedTable, list_managed
from txguard.engine.marks import place_tombstone
from txguard.engine.settings import EngineSettings
from txguard.engine.shard import ConnectionLost, Shard, ShardError, ShardUnavailable, borrow
from txguard.engine.undo import undo

UNDO_PATIENCE_S = 0.05
"""An undo that takes longer is looked at, which takes as long again and more: whoever blocks it is killed."""


NO_SUCH_TABLE, NO_SUCH_DATABASE = 1146, 1049


class Undecided(Exception):
    """No participant holds a tombstone and one does not answer: nobody can know the outcome yet."""


class Forgotten(Undecided):
    """It was decided, carried out and cleaned long ago: nothing is left to do, and nobody can tell the outcome."""


@dataclass(frozen=True, slots=True)
class Decision:
    transaction: Orphan
    outcome: Outcome
    records: tuple[Outcome | Exception, ...]
    """Of each participant, as it was found; an exception where it did not answer."""


class Resolver:
    def __init__(self, shards: Mapping[ShardName, Shard], tso: Tso, settings: EngineSettings) -> None:
        self.shards, self.tso, self.settings = shards, tso, settings
        self._blockers = Blockers(settings)

    async def resolve(self, transaction: Orphan, timeout_s: float | None = None) -> Outcome:
        """Decide and carry out. Raises Undecided, or ShardUnavailable and the like with the work half done: call again.

        `timeout_s` for each statement; a large undo may need more than the settings allow.
        """
        decision = await self.decide(transaction, timeout_s)
        await self.carry_out(decision, timeout_s)
        return decision.outcome

    async def decide(self, transaction: Orphan, timeout_s: float | None = None) -> Decision:
        """Durable from here on. Raises Undecided, or Forgotten."""
        await failpoints.reach("resolve_before_tombstone")
        timeout_s = timeout_s or self.settings.control_timeout_s
        records = await settle(
            [self._record_or_tombstone(name, transaction, timeout_s) for name in transaction.participants]
        )
        return Decision(transaction, _outcome(transaction, records), tuple(records))

    async def carry_out(self, decision: Decision, timeout_s: float | None = None) -> None:
        """The oracle hears of a roll-back before the undo, and of the end after it."""
        transaction, outcome = decision.transaction, decision.outcome
        timeout_s = timeout_s or self.settings.control_timeout_s
        await self.tso.decide(transaction.start_ts, outcome)
        await failpoints.reach("resolve_after_decide")
        if outcome is Outcome.COMMITTED:
            await gather([self._forget_lock(name, transaction.start_ts) for name in transaction.participants])
        else:
            await gather(
                [
                    self._roll_back(
                        name, transaction, timeout_s, has_record=not isinstance(record, Exception)
                    )
                    for name, record in zip(transaction.participants, decision.records, strict=True)
                ]
            )
        await failpoints.reach("resolve_before_end")
        await self.tso.end_commit(transaction.start_ts, outcome)

    def _shard(self, name: ShardName) -> Shard:
        try:
            return self.shards[name]
        except KeyError:
            raise Undecided(f"the configuration has no shard {name}") from None

    async def _record_or_tombstone(self, name: ShardName, transaction: Orphan, timeout_s: float) -> Outcome:
        """The shard's record, after placing a tombstone if there was none. Waits for a prewrite under way."""
        start_ts = transaction.start_ts
        statements = [
            place_tombstone(transaction),
            f"SELECT state FROM _txguard.txn WHERE start_ts = {start_ts}",
        ]
        async with borrow(self._shard(name), self.settings.acquire_timeout_s) as connection:
            answers = await connection.run(statements, timeout_s)
        await failpoints.reach("resolve_one_tombstone")
        if not answers[1].rows:
            raise Forgotten(f"what became of transaction {start_ts} was cleaned on {name}")
        state = answers[1].rows[0][0]
        return Outcome(state.decode() if isinstance(state, bytes) else state)

    async def _forget_lock(self, name: ShardName, start_ts: Timestamp) -> None:
        async with borrow(self._shard(name), self.settings.acquire_timeout_s) as connection:
            await connection.run([delete_locks([start_ts])], self.settings.control_timeout_s)

    async def _roll_back(
        self, name: ShardName, transaction: Orphan, timeout_s: float, *, has_record: bool
    ) -> None:
        """A shard that did not answer before has no record for certain: a late prewrite must find one, and fail."""
        if not has_record:
            await self._record_or_tombstone(name, transaction, timeout_s)
        shard = self._shard(name)
        async with borrow(shard, self.settings.acquire_timeout_s) as connection:
            tables = await list_managed(connection, timeout_s)
        try:
            await self._undo(shard, tables, transaction.start_ts, timeout_s)
        except ShardError as error:
            if error.errno != NO_SUCH_TABLE:
                raise
            # DROP TABLE was interrupted half-way, and its clean-up is still to come.
            await self._undo(shard, await self._present(shard, tables), transaction.start_ts, timeout_s)
        await failpoints.reach("resolve_one_undone")

    async def _undo(
        self, shard: Shard, tables: Sequence[ManagedTable], start_ts: Timestamp, timeout_s: float
    ) -> None:
        """The undo waits for nobody: whoever holds a row that it restores cannot commit, and is killed."""
        async with borrow(shard, self.settings.acquire_timeout_s) as connection, asyncio.TaskGroup() as group:
            task = group.create_task(settle([undo(connection, tables, start_ts, timeout_s)]))
            while not task.done():
                done, _ = await asyncio.wait({task}, timeout=UNDO_PATIENCE_S)
                if not done:
                    await settle([self._blockers.kill(shard, connection.thread_id)])
        [result] = task.result()
        if isinstance(result, Exception):
            raise result

    async def _present(self, shard: Shard, tables: Sequence[ManagedTable]) -> list[ManagedTable]:
        """Those of `tables` that still have both their rows and their history."""
        present: list[ManagedTable] = []
        for table in tables:
            probes = [f"SELECT 1 FROM {name} LIMIT 0" for name in (table.source, table.history)]
            try:
                async with borrow(shard, self.settings.acquire_timeout_s) as connection:
                    await connection.run(probes, self.settings.control_timeout_s)
            except ShardError as error:
                if error.errno not in (NO_SUCH_TABLE, NO_SUCH_DATABASE):
                    raise
            else:
                present.append(table)
        return present


def _outcome(transaction: Orphan, records: Sequence[Outcome | Exception]) -> Outcome:
    if Outcome.ROLLED_BACK in records:
        return Outcome.ROLLED_BACK
    for record in records:
        if isinstance(record, Forgotten):
            # A record C of another participant may have been read before this one was undone, there and here.
            raise record
        if isinstance(record, Exception):
            raise Undecided(f"transaction {transaction.start_ts}: {record}") from record
    return Outcome.COMMITTED


def delete_locks(start_ts: Sequence[Timestamp]) -> str:
    """Lock records of decided transactions, in one statement."""
    return f"DELETE FROM _txguard.txn_lock WHERE start_ts IN ({','.join(map(str, start_ts))})"


RETRYABLE = (Undecided, ShardUnavailable, ConnectionLost, ShardError)
"""What a resolver meets while a shard is away: the janitor tries again."""
