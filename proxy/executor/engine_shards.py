"""A pool as the engine, the catalog and data definition see it: the connections of their own control statements.

They run under one profile, which is the sessions' own as far as TxGuard sets it, so that a connection that goes from
one to the other has nothing to switch.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.backend.connection import BackendConnection
from proxy.backend.pool import BackendPool
from proxy.backend.profile import SessionProfile
from tso.types import ShardName
from txguard.engine.shard import Connection


@dataclass(frozen=True, slots=True)
class EngineShard:
    """The engine's `Shard`, over a pool."""

    pool: BackendPool
    profile: SessionProfile

    @property
    def name(self) -> ShardName:
        return self.pool.name

    async def acquire(self, timeout_s: float) -> BackendConnection:
        return await self.pool.acquire(timeout_s, self.profile)

    def release(self, connection: Connection) -> None:
        assert isinstance(connection, BackendConnection)
        self.pool.release(connection)
