"""The engine: the shards, the oracle and the workers that transactions share.

Owns the rule that a shard is fenced for this epoch before anything else is done on it: `start` does it for the
shards that answer, and `prepare` is the hook by which a pool has it done for one that returns later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from tso.api import Leader, Tso
from tso.types import ShardName
from txguard.engine.branch import Isolation
from txguard.engine.cleaner import Cleaner
from txguard.engine.concurrent import settle
from txguard.engine.decided import DecidedMarks
from txguard.engine.fence import fence
from txguard.engine.install import EpochLockBusy, NewerEpoch
from txguard.engine.janitor import Janitor
from txguard.engine.relay import Connections
from txguard.engine.resolve import Resolver
from txguard.engine.settings import EngineSettings
from txguard.engine.shard import Connection, ConnectionLost, Shard, ShardError, ShardUnavailable, borrow
from txguard.engine.statistics import Counters
from txguard.engine.transaction import Transaction

log = logging.getLogger(__name__)

SUCCESSION_TIMEOUT_S: Final = 1.0
"""How long a shard may hold up the others when the oracle has a new leader."""


class Engine:
    def __init__(
        self, shards: Mapping[ShardName, Shard], tso: Tso, settings: EngineSettings | None = None
    ) -> None:
        self.shards, self.tso = shards, tso
        self.settings = settings or EngineSettings()
        self.counters = Counters()
        self.resolver = Resolver(shards, tso, self.settings)
        self.janitor = Janitor(shards, tso, self.resolver, self.settings)
        self.decided = DecidedMarks(shards, tso, self.settings, self.is_fenced)
        self.cleaner = Cleaner(shards, tso, self.settings, self.decided)
        self._prepared: dict[ShardName, int] = {}
        """The epoch for which each shard was fenced."""
        self._successor: Leader | None = None
        self.on_unfenced: Callable[[ShardName, str], None] | None = None
        """Called when a new epoch begins and a shard, for this reason, is not fenced for it.

        Whoever reads the shard on connections of the old epoch must have it fenced first: see `prepare`.
        """
        self._preparing = {name: asyncio.Lock() for name in shards}

    async def start(self) -> dict[ShardName, Exception]:
        """Fence every shard that answers; the others, with the reason, come back and are fenced on their return."""
        self.tso.on_new_epoch(self._succeed)
        return await self._fence_all(None)

    async def _fence_all(self, timeout_s: float | None) -> dict[ShardName, Exception]:
        results = await settle([self._start(name, timeout_s) for name in self.shards])
        return {
            name: result
            for name, result in zip(self.shards, results, strict=True)
            if isinstance(result, Exception)
        }

    async def _succeed(self, leader: Leader) -> None:
        """A remote oracle has begun a new epoch. A shard that does not answer now is fenced before it is used."""
        self._successor = leader
        try:
            for name, error in (await self._fence_all(SUCCESSION_TIMEOUT_S)).items():
                reason = (
                    f"it is not fenced for epoch {leader.epoch} yet: {str(error) or 'it does not answer'}"
                )
                log.warning("shard %s: %s", name, reason)
                if self.on_unfenced is not None:
                    self.on_unfenced(name, reason)
        finally:
            self._successor = None

    def is_fenced(self, name: ShardName) -> bool:
        """Whether the shard is fenced for this epoch."""
        return self._prepared.get(name) == self.tso.epoch

    async def require_fenced(self, name: ShardName) -> None:
        """Raises ShardUnavailable."""
        if not self.is_fenced(name):
            try:
                await self._start(name)
            except (ShardError, ConnectionLost, NewerEpoch, EpochLockBusy) as error:
                raise ShardUnavailable(f"shard {name} cannot be fenced: {error}") from error

    async def _start(self, name: ShardName, timeout_s: float | None = None) -> None:
        async with (
            asyncio.timeout(timeout_s),
            borrow(self.shards[name], self.settings.acquire_timeout_s) as connection,
        ):
            await self.prepare(name, connection)

    async def prepare(self, name: ShardName, connection: Connection) -> None:
        """Fence the shard through this connection, unless this epoch has done so already."""
        async with self._preparing[name]:
            leader = self._successor or self.tso
            epoch = leader.epoch
            if self._prepared.get(name) != epoch:
                undecided = await fence(connection, leader, self.settings)
                self._prepared[name] = epoch
                log.info("shard %s fenced for epoch %d, %d undecided", name, epoch, undecided)

    async def run(self) -> None:
        """The janitor, the cleaner and who raises the decided marks, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.janitor.run())
                group.create_task(self.cleaner.run())
                group.create_task(self.decided.run())
        finally:
            await asyncio.shield(self.decided.flush())

    def transaction(
        self,
        connections: Connections,
        isolation: Isolation = Isolation.REPEATABLE_READ,
        *,
        implicit: bool = False,
    ) -> Transaction:
        return Transaction(self, connections, isolation, implicit=implicit)
