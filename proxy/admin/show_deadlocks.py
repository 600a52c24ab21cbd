"""SHOW TXGUARD DEADLOCKS: the last deadlocks over shards, of all proxies, the newest first; one row a transaction.

What one shard sees by itself it ends by itself: its SHOW ENGINE INNODB STATUS tells of those.
"""

from __future__ import annotations

from proxy.admin.sources import Sources
from proxy.session.deadlock_log import read_deadlocks
from proxy.session.results import LocalResult

_NAMES = (
    "Found_at",
    "Victim",
    "Start_ts",
    "Proxy",
    "Session",
    "Waits_on_shard",
    "Waits_for",
    "Statement",
)


async def show_deadlocks(sources: Sources) -> LocalResult:
    engine = sources.services.engine
    return LocalResult.of(
        _NAMES,
        [
            (
                member.found_at,
                "yes" if member.victim else "no",
                member.start_ts,
                member.proxy,
                member.connection_id,
                member.shard,
                member.waits_for,
                member.statement,
            )
            for member in await read_deadlocks(engine.shards, engine.settings)
        ],
    )
