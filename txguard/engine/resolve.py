"""Resolve: decide an undecided transaction and carry the outcome out. Anyone may, any number at once, at any time.

The rule: a commit record is written once, so a tombstone placed where none exists decides "rolled back", and
records on every participant decide "committed". The oracle hears of a roll-back before the undo (dependants give
up their row locks) and of the end after it. A crash anywhere here leaves work that the next resolver repeats.
Source: docs/protocol.md, "Resolve".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from tso.api import Tso
from tso.types import Outcome, ShardName, Timestamp
from txguard.engine import failpoints
from txguard.engine.blockers import kill_blockers_of
from txguard.engine.concurrent import gather, settle
from txguard.engine.managed import list_managed
from txguard.engine.settings import EngineSettings
from txguard.engine.shard import Connection, ConnectionLost, Shard, ShardError, ShardUnavailable, borrow
from txguard.engine.undo import undo

UNDO_PATIENCE_S = 0.1
"""An undo that takes longer is looked at: whoever blocks it is killed."""


class Undecided(Exception):
    """No participant holds a tombstone and one does not answer: nobody can know the outcome yet."""


class Resolver:
    def __init__(self, shards: Mapping[ShardName, Shard], tso: Tso, settings: EngineSettings) -> None:
        self.shards, self.tso, self.settings = shards, tso, settings
        self._known: dict[Timestamp, Outcome] = {}

    def known_outcome(self, start_ts: Timestamp) -> Outcome | None:
        """What a `resolve` that has not ended yet has already decided, durably."""
        return self._known.get(start_ts)

    async def resolve(
        self, start_ts: Timestamp, commit_ts: Timestamp, participants: Sequence[ShardName]
    ) -> Outcome:
        """Decide and carry out. Raises Undecided, or ShardUnavailable and the like with the work half done: call again."""
        outcome = await self._decide(start_ts, commit_ts, participants)
        self._known[start_ts] = outcome
        await self.tso.decide(start_ts, outcome)
        await failpoints.reach("resolve_after_decide")
        await gather([self._carry_out(shard, start_ts, outcome) for shard in participants])
        await failpoints.reach("resolve_before_end")
        await self.tso.end_commit(start_ts, outcome)
        self._known.pop(start_ts, None)
        return outcome

    async def _decide(
        self, start_ts: Timestamp, commit_ts: Timestamp, participants: Sequence[ShardName]
    ) -> Outcome:
        await failpoints.reach("resolve_before_tombstone")
        records = await settle(
            [self._record_or_tombstone(shard, start_ts, commit_ts, participants) for shard in participants]
        )
        if Outcome.ROLLED_BACK in records:
            return Outcome.ROLLED_BACK
        for record in records:
            if isinstance(record, Exception):
                raise Undecided(f"transaction {start_ts}: {record}") from record
        return Outcome.COMMITTED

    async def _record_or_tombstone(
        self, name: ShardName, start_ts: Timestamp, commit_ts: Timestamp, participants: Sequence[ShardName]
    ) -> Outcome:
        """The shard's record, after placing a tombstone if there was none. Waits for a prewrite under way."""
        statements = [
            "INSERT IGNORE INTO _txguard.txn (start_ts, commit_ts, state, participants) "
            f"VALUES ({start_ts}, {commit_ts}, 'R', '{','.join(participants)}')",
            f"SELECT state FROM _txguard.txn WHERE start_ts = {start_ts}",
        ]
        async with borrow(self.shards[name], self.settings.acquire_timeout_s) as connection:
            answers = await connection.run(statements, self.settings.control_timeout_s)
        await failpoints.reach("resolve_one_tombstone")
        state = answers[1].rows[0][0]
        return Outcome(state.decode() if isinstance(state, bytes) else state)

    async def _carry_out(self, name: ShardName, start_ts: Timestamp, outcome: Outcome) -> None:
        shard = self.shards[name]
        async with borrow(shard, self.settings.acquire_timeout_s) as connection:
            if outcome is Outcome.COMMITTED:
                await connection.run([delete_locks([start_ts])], self.settings.control_timeout_s)
            else:
                await self._undo(shard, connection, start_ts)
                await failpoints.reach("resolve_one_undone")

    async def _undo(self, shard: Shard, connection: Connection, start_ts: Timestamp) -> None:
        """The undo waits for nobody: whoever holds a row that it restores cannot commit, and is killed."""
        timeout_s = self.settings.control_timeout_s
        tables = await list_managed(connection, timeout_s)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(settle([undo(connection, tables, start_ts, timeout_s)]))
            while not task.done():
                done, _ = await asyncio.wait({task}, timeout=UNDO_PATIENCE_S)
                if not done:
                    await settle([kill_blockers_of(shard, connection.thread_id, self.settings)])
        [result] = task.result()
        if isinstance(result, Exception):
            raise result


def delete_locks(start_ts: Sequence[Timestamp]) -> str:
    """Lock records of decided transactions, in one statement."""
    return f"DELETE FROM _txguard.txn_lock WHERE start_ts IN ({','.join(map(str, start_ts))})"


RETRYABLE = (Undecided, ShardUnavailable, ConnectionLost, ShardError)
"""What a resolver meets while a shard is away: the janitor tries again."""
