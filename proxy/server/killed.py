"""What a KILL QUERY leaves behind on a shard, whoever sent it, is mended.

- Between two statements of one packet: MariaDB and MySQL answer the first, say that more results follow, and send
  none. The connection is dropped; otherwise its client would wait for ever.
- While MariaDB opens a table: that instance of the table has triggers that are not parsed, and each write that is
  given it fails with error 1064. Unused instances are closed (FLUSH TABLES), which nobody has to wait for.
"""

from __future__ import annotations

import asyncio

import structlog

from proxy.executor.services import Services
from tso.types import ShardName
from txguard.engine.concurrent import settle
from txguard.engine.shard import ConnectionLost, Rows, ShardError, ShardUnavailable, borrow

log = structlog.get_logger(__name__)

LOOK_INTERVAL_S = 1.0
UNANSWERED_S = 1.0
"""How long the rest of an answer has not come before the shard is asked whether it will."""

_IDLE = (
    "SELECT ID FROM information_schema.PROCESSLIST "
    "WHERE COMMAND IN ('Sleep', 'Killed') AND INFO IS NULL AND ID IN ({})"
)
"""MariaDB calls an idle one Killed until its next statement."""


async def mend_killed(services: Services) -> None:
    """Runs until cancelled."""
    while True:
        await asyncio.sleep(LOOK_INTERVAL_S)
        names = list(services.pools)
        for name, result in zip(names, await settle([_mend(services, name) for name in names]), strict=True):
            if isinstance(result, ShardUnavailable | ConnectionLost | ShardError):
                log.info("not_mended_after_kill", shard=name, reason=str(result))
            elif isinstance(result, Exception):
                log.error("not_mended_after_kill", shard=name, exc_info=result)


async def _mend(services: Services, name: ShardName) -> None:
    pools = (services.pools[name], services.control[name])
    waiting = services.pools[name].half_answered(UNANSWERED_S)
    if any(pool.take_broken_trigger() for pool in pools):
        log.warning("triggers_broken", shard=name, remedy="FLUSH TABLES, which is done now; it needs RELOAD")
        await _control(services, name, "FLUSH LOCAL TABLES")
    if not waiting:
        return
    threads = ", ".join(str(connection.thread_id) for connection in waiting)
    answer = await _control(services, name, _IDLE.format(threads))
    idle = {int(row[0] or 0) for row in answer.rows}
    for connection, part in waiting.items():
        if connection.thread_id in idle and connection.half_answered == part:
            log.warning("statements_cut_short", shard=name, thread=connection.thread_id)
            connection.abort("a KILL QUERY came between two statements, and the shard dropped the rest")


async def _control(services: Services, name: ShardName, statement: str) -> Rows:
    settings = services.engine.settings
    async with borrow(services.engine.shards[name], settings.acquire_timeout_s) as connection:
        [answer] = await connection.run([statement], settings.control_timeout_s)
    return answer
