"""[D] The decided mark: how far a shard itself knows that the cross-shard commits it takes part in are decided.

The rule: a commit record C whose `commit_ts` is at or behind the mark, and that has no lock record beside it, belongs
to a commit that is decided and carried out, for ever. So the mark passes a commit that is still outstanding only in one
local transaction with the lock record; it rises only by the word of an oracle that had been told before what the shard
holds (`is_fenced`); and no lock record is placed behind it. Whoever raises it may be slow: what an oracle once called
ended has ended, also where it was deposed since. Source: docs/protocol.md, "The decided mark".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from tso.api import Tso
from tso.errors import TsoError
from tso.types import OutstandingCommit, ShardName, Timestamp
from txguard.engine import failpoints
from txguard.engine.concurrent import settle
from txguard.engine.janitor import log_failure
from txguard.engine.resolve import RETRYABLE, delete_locks
from txguard.engine.settings import EngineSettings
from txguard.engine.shard import Shard, ShardUnavailable, borrow
from txguard.engine.undecided import ANY_ABOVE

PATIENCE_S: Final = 1.0
"""A commit that is outstanding for longer gets lock records, so that it holds up the mark no longer."""


class DecidedMarks:
    def __init__(
        self,
        shards: Mapping[ShardName, Shard],
        tso: Tso,
        settings: EngineSettings,
        is_fenced: Callable[[ShardName], bool],
    ) -> None:
        self.shards, self.tso, self.settings, self.is_fenced = shards, tso, settings, is_fenced
        self._behind: set[ShardName] = set()
        """Where this process has decided a commit since the mark rose."""
        self._first_seen: dict[Timestamp, float] = {}
        """Outstanding commits, by this process's own clock: the oracle's may be set."""
        self._locked: dict[ShardName, set[Timestamp]] = {}
        """The lock records that this process may have placed and has not deleted."""

    def add(self, participants: Iterable[ShardName]) -> None:
        """A commit over these shards is decided."""
        self._behind.update(participants)

    async def run(self) -> None:
        """Works until cancelled. A shard that is away does not hold up the others."""
        async with asyncio.TaskGroup() as group:
            for name in self.shards:
                group.create_task(self._run(name))

    async def _run(self, name: ShardName) -> None:
        looked_at = time.monotonic()
        while True:
            await asyncio.sleep(self.settings.decided_mark_interval_s)
            try:
                if (
                    name not in self._behind
                    and time.monotonic() > looked_at + self.settings.orphan_scan_interval_s
                ):
                    # What a process decided that is gone, or a resolver.
                    if await self._is_behind(name):
                        self._behind.add(name)
                    looked_at = time.monotonic()
                if name in self._behind or self._locked.get(name):
                    await self.rise(name)
            except (*RETRYABLE, TsoError):
                pass  # Whoever is away is told of elsewhere, and less often.
            except Exception as error:
                log_failure(f"the decided mark of {name} did not rise, it goes on later", error)

    async def rise(self, name: ShardName) -> None:
        """As far as the oracle's word goes. Raises ShardUnavailable and the like, TsoError."""
        await failpoints.reach("decided_mark_before_rise")
        self._behind.discard(name)  # What is added from now on is for the next time.
        try:
            async with borrow(self.shards[name], self.settings.acquire_timeout_s) as connection:
                epoch = self.tso.epoch
                self.require_fenced(name)
                statistics = await self.tso.statistics()
                if self.tso.epoch != epoch:
                    raise ShardUnavailable(f"another oracle leads since shard {name} was fenced")
                outstanding = self._outstanding(statistics.outstanding, name)
                up_to, late = self._divide(outstanding, statistics.now)
                locked = self._locked.setdefault(name, set())
                ended = locked.difference(commit.start_ts for commit in outstanding)
                locked.update(commit.start_ts for commit in late)  # also where the answer is lost
                statements = [delete_locks(list(ended))] if ended else []
                await connection.run(
                    [*statements, *rise_statements(up_to, late)], self.settings.control_timeout_s
                )
        except BaseException:
            self._behind.add(name)
            raise
        locked -= ended
        if up_to < statistics.now:
            self._behind.add(name)

    def require_fenced(self, name: ShardName) -> None:
        """Raises ShardUnavailable where older coordinators may still commit."""
        if not self.is_fenced(name):
            raise ShardUnavailable(f"shard {name} is not fenced for this epoch yet")

    async def flush(self) -> None:
        """At the end, so that the next epoch finds nothing undecided. What fails is left to it."""
        try:
            async with asyncio.timeout(self.settings.cleanup_timeout_s):
                await settle([self.rise(name) for name in tuple(self._behind)])
        except TimeoutError:
            pass

    def _outstanding(self, commits: Sequence[OutstandingCommit], name: ShardName) -> list[OutstandingCommit]:
        cross_shard = [commit for commit in commits if len(commit.participants) > 1]
        now = time.monotonic()
        self._first_seen = {
            commit.start_ts: self._first_seen.get(commit.start_ts, now) for commit in cross_shard
        }
        return [commit for commit in cross_shard if name in commit.participants]

    def _divide(
        self, outstanding: Sequence[OutstandingCommit], now: Timestamp
    ) -> tuple[Timestamp, list[OutstandingCommit]]:
        """How far the mark may rise, and the commits that need a lock record then."""
        late_before = time.monotonic() - PATIENCE_S
        young = [c for c in outstanding if self._first_seen[c.start_ts] > late_before]
        up_to = min([now, *(Timestamp(commit.commit_ts - 1) for commit in young)])
        late = [commit for commit in outstanding if commit not in young and commit.commit_ts <= up_to]
        return up_to, late

    async def _is_behind(self, name: ShardName) -> bool:
        async with borrow(self.shards[name], self.settings.acquire_timeout_s) as connection:
            [answer] = await connection.run([ANY_ABOVE], self.settings.control_timeout_s)
        return bool(answer.rows)


def rise_statements(up_to: Timestamp, late: Sequence[OutstandingCommit]) -> list[str]:
    """One local transaction, begun and ended. `late` may be outstanding beyond it."""
    rise = f"UPDATE _txguard.decided SET up_to = {up_to} WHERE id = 1 AND up_to < {up_to}"
    if not late:
        return [rise]
    rows = " UNION ALL ".join(
        f"SELECT {c.start_ts} AS start_ts, {c.commit_ts} AS commit_ts, '{','.join(c.participants)}' AS participants"
        for c in late
    )
    place = (
        "INSERT IGNORE INTO _txguard.txn_lock (start_ts, commit_ts, participants) "
        f"SELECT late.start_ts, late.commit_ts, late.participants FROM ({rows}) late "
        "JOIN _txguard.decided ON decided.id = 1 AND late.commit_ts > decided.up_to"
    )
    return [
        # READ COMMITTED: the mark as it is once its row is locked.
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "START TRANSACTION",
        "SELECT up_to FROM _txguard.decided WHERE id = 1 FOR UPDATE",
        place,
        rise,
        "COMMIT",
    ]
