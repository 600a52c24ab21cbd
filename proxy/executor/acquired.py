"""A shard connection for a session that has to wait for one.

Apart from `connections.py` as `proxy/backend/awaited.py` is from its connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.backend.connection import BackendConnection
from proxy.backend.pool import BackendPool
from tso.types import ShardName

if TYPE_CHECKING:
    from proxy.executor.connections import SessionConnections


async def acquired(
    connections: SessionConnections, pool: BackendPool, shard: ShardName, timeout_s: float
) -> BackendConnection:
    connection = await pool.acquire(timeout_s, connections.profile)
    connections.held[connection] = shard
    return connection
