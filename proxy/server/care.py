"""What the proxy does beside serving: idle connections closed, shards that come and go told, their defaults asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from proxy.backend.circuit import CircuitState
from proxy.backend.pool import BackendPool
from proxy.executor.connections import Pools
from proxy.executor.services import Services
from proxy.session.profiles import ServerDefaults
from tso.types import ShardName
from txguard.engine.shard import ConnectionLost, ShardError, ShardUnavailable, borrow

log = structlog.get_logger(__name__)

TRIM_INTERVAL_S = 15.0
IDLE_S = 120
WATCH_INTERVAL_S = 0.5
PROBE_TIMEOUT_S = 2.0

_DEFAULTS = (
    "SELECT CHARACTER_SET_NAME, DEFAULT_COLLATE_NAME FROM information_schema.CHARACTER_SETS",
    "SELECT @@GLOBAL.sql_mode, VERSION()",
)
_UNREACHABLE = (ShardUnavailable, ConnectionLost, ShardError)


async def care_for_pools(groups: Sequence[Pools]) -> None:
    """Close connections that nobody needs any more. Runs until cancelled."""
    while True:
        await asyncio.sleep(TRIM_INTERVAL_S)
        for pool in (pool for pools in groups for pool in pools.values()):
            pool.trim(IDLE_S)


async def watch_shards(pools: Pools) -> None:
    """Log every change between up and down, and try a shard that is down so that it comes back by itself."""
    known = {name: pool.statistics().state is CircuitState.UP for name, pool in pools.items()}
    while True:
        await asyncio.sleep(WATCH_INTERVAL_S)
        for name, pool in pools.items():
            if pool.statistics().state is CircuitState.DOWN:
                await _probe(pool)
            _tell(name, pool, known)


async def _probe(pool: BackendPool) -> None:
    try:
        async with borrow(pool, PROBE_TIMEOUT_S):
            pass
    except _UNREACHABLE:
        pass
    except Exception as error:
        log.error("shard_probe_failed", shard=pool.name, exc_info=error)


def _tell(name: ShardName, pool: BackendPool, known: dict[ShardName, bool]) -> None:
    statistics = pool.statistics()
    up = statistics.state is CircuitState.UP
    if up == known[name] or statistics.state is CircuitState.PROBING:
        return
    known[name] = up
    if up:
        log.info("shard_up", shard=name, address=statistics.address, version=statistics.server_version)
    else:
        log.warning("shard_down", shard=name, address=statistics.address, reason=statistics.last_error)


async def load_defaults(services: Services, defaults: ServerDefaults) -> None:
    """Ask the first shard that answers. The shards are alike in this: the doctor sees to it."""
    settings = services.engine.settings
    for shard in services.engine.shards.values():
        try:
            async with borrow(shard, settings.acquire_timeout_s) as connection:
                charsets, others = await connection.run(_DEFAULTS, settings.control_timeout_s)
        except _UNREACHABLE:
            continue
        defaults.collations.update((_text(name), _text(collation)) for name, collation in charsets.rows)
        defaults.sql_mode, defaults.version = (_text(value) for value in others.rows[0])
        return


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
