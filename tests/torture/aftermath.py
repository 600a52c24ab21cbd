"""After a round: does everything answer, is nothing left behind, and do the shards keep the protocol's invariants?

Of docs/protocol.md's invariants, the inspector checks I1 and I2 (records), and that rows have writers (I5); what is
left behind is I8. The histories' checkers see the rest (I3, I4, I6, I7, I9).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import aiomysql

from proxy.playground.servers import Server
from tests.torture.arena import Arena, NotAnswering
from tests.torture.client import BROKEN
from tests.torture.cluster import RETENTION_S
from tso.types import ShardName
from txguard.engine.aiomysql_shard import Dsn
from txguard.engine.undecided import UNDECIDED
from txguard.inspector import Limits, ShardAddress, Verdict, inspect

ORPHANS_WITHIN_S: Final = 10.0
_POLL_S: Final = 0.2  # MariaDB renews innodb_trx only where nobody has looked for 0.1 s
_LOCKS: Final = f"SELECT COUNT(*) FROM ({UNDECIDED}) undecided"
_OPEN: Final = (
    "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_mysql_thread_id NOT IN (0, CONNECTION_ID())"
)


@dataclass(frozen=True, slots=True)
class Aftermath:
    violations: tuple[str, ...]
    orphans: int


async def look(arena: Arena) -> Aftermath:
    violations = []
    try:
        await _everything_answers(arena)
    except NotAnswering as error:
        violations.append(f"a service does not answer: {error}")
    left = await left_behind(arena, ORPHANS_WITHIN_S)
    orphans = sum(left.values())
    if orphans:
        told = ", ".join(f"{shard}: {count}" for shard, count in left.items() if count)
        violations.append(f"locks and open transactions are left after {ORPHANS_WITHIN_S:g} s: {told}")
    return Aftermath((*violations, *await _invariants(arena)), orphans)


async def _everything_answers(arena: Arena) -> None:
    """Each proxy reads from and writes to all shards."""
    for port in arena.cluster.client_ports:
        await arena.insist("SELECT COUNT(*) FROM home", port)
        await arena.insist("UPDATE home SET touched = touched + 1", port)


async def left_behind(arena: Arena, within_s: float) -> dict[str, int]:
    """Locks and open transactions by server, once there is none or the time is up."""
    deadline = time.monotonic() + within_s
    while True:
        left = {f"s{n}": await _count(server) for n, server in enumerate(arena.cluster.servers, 1)}
        if not any(left.values()) or time.monotonic() > deadline:
            return left
        await asyncio.sleep(_POLL_S)


async def _count(server: Server) -> int:
    """Locks and open transactions on a server; one that cannot be asked counts for one."""
    try:
        async with asyncio.timeout(5):
            connection = await aiomysql.connect(host=server.host, port=server.port, user=server.user)
            try:
                async with connection.cursor() as cursor:
                    total = 0
                    for query in (_LOCKS, _OPEN):
                        await cursor.execute(query)
                        total += int((await cursor.fetchone())[0])
                    return total
            finally:
                connection.close()
    except BROKEN:
        return 1


async def _invariants(arena: Arena) -> list[str]:
    report = await inspect(
        (),
        proxy_dsn=None,
        shards=[
            ShardAddress(ShardName(f"s{n}"), Dsn(server.host, server.port, server.user, server.password))
            for n, server in enumerate(arena.cluster.servers, 1)
        ],
        limits=Limits(timeout_s=10.0, settle_s=10.0, retention_s=RETENTION_S),
    )
    return [
        f"invariant: {finding.name}: {finding.verdict.value} {finding.detail}"
        for finding in report.findings
        if finding.verdict is not Verdict.HOLDS
    ]
