"""Stops what a shard's thread runs, from another connection."""

from __future__ import annotations

from proxy.executor.services import Services
from tso.types import ShardName
from txguard.engine.shard import ConnectionLost, ShardError, ShardUnavailable, borrow


async def kill_thread(services: Services, shard: ShardName, thread_id: int, what: str) -> None:
    """A shard that does not answer, or a thread that is gone already, needs no killing."""
    settings = services.engine.settings
    try:
        async with borrow(services.engine.shards[shard], settings.acquire_timeout_s) as connection:
            await connection.run([f"KILL {what} {thread_id}"], settings.control_timeout_s)
    except (ShardUnavailable, ShardError, ConnectionLost):
        pass
