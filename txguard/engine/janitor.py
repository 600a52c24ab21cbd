"""The janitor: settles what no coordinator settles any more.

The rule: every orphan that the oracle hands out is resolved again and again until its shards have answered, if only
that it was settled and cleaned while this process was frozen; and a lock record that the oracle does not know as
outstanding does not stay. Safe to run in several processes at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from tso.api import Tso
from tso.errors import TsoError
from tso.types import Orphan, ShardName, Timestamp
from txguard.engine.resolve import RETRYABLE, Forgotten, Resolver
from txguard.engine.settings import EngineSettings
from txguard.engine.shard import Shard, borrow
from txguard.engine.undecided import parse_participants

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
LONGEST_UNDO_S = 600.0
"""Each try gets twice the time of the last: the undo of a very large transaction must come to its end, too."""


class Janitor:
    def __init__(
        self, shards: Mapping[ShardName, Shard], tso: Tso, resolver: Resolver, settings: EngineSettings
    ) -> None:
        self.shards, self.tso, self.resolver, self.settings = shards, tso, resolver, settings

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._scan_for_forgotten_locks())
            while True:
                try:
                    orphan = await self.tso.next_orphan()
                except Exception as error:
                    log_failure("no orphan could be had", error)
                    await asyncio.sleep(LONGEST_PAUSE_S)
                else:
                    group.create_task(self._settle(orphan))

    async def _settle(self, orphan: Orphan) -> None:
        pause_s, timeout_s = FIRST_PAUSE_S, self.settings.control_timeout_s
        while True:
            try:
                outcome = await self.resolver.resolve(orphan, timeout_s)
            except Forgotten as error:
                log.warning("transaction %d is left alone: %s", orphan.start_ts, error)
                return
            except Exception as error:
                log_failure(f"transaction {orphan.start_ts} is still undecided", error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                timeout_s = min(2 * timeout_s, LONGEST_UNDO_S)
            else:
                log.info("transaction %d resolved: %s", orphan.start_ts, outcome.name.lower())
                return

    async def _scan_for_forgotten_locks(self) -> None:
        """A coordinator that placed lock records and died leaves those of commits that are decided by now."""
        while True:
            await asyncio.sleep(self.settings.orphan_scan_interval_s)
            for name in self.shards:
                try:
                    await self._scan(name)
                except Exception as error:
                    log_failure(f"no scan of {name}", error)

    async def _scan(self, name: ShardName) -> None:
        query = (
            "SELECT start_ts, commit_ts, participants FROM _txguard.txn_lock "
            f"WHERE created_at < NOW(3) - INTERVAL {int(self.settings.orphan_age_ms * 1000)} MICROSECOND LIMIT 1000"
        )
        async with borrow(self.shards[name], self.settings.acquire_timeout_s) as connection:
            answers = await connection.run([query], self.settings.control_timeout_s)
        if not answers[0].rows:
            return
        # Asked after the locks were read: what is not outstanding now was decided before.
        outstanding = {commit.start_ts for commit in (await self.tso.statistics()).outstanding}
        for start_ts, commit_ts, participants in answers[0].rows:
            key = Timestamp(int(start_ts or 0))
            if key not in outstanding:
                try:
                    found = Orphan(key, Timestamp(int(commit_ts or 0)), parse_participants(participants))
                    await self.resolver.resolve(found)
                except Exception as error:  # One whose shard is away must not hold up the others.
                    log_failure(f"the lock of transaction {key} on {name} stays", error)


def log_failure(what: str, error: Exception) -> None:
    """The workers go on whatever happens; what is no shard's or oracle's doing is a defect, and loud."""
    if isinstance(error, (*RETRYABLE, TsoError)):
        log.info("%s: %s", what, error)
    else:
        log.error("%s, by a defect", what, exc_info=error)
