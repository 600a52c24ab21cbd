"""Deadlocks over shards: InnoDB sees one shard, so the proxies look for the cycles that go over several.

Owns `DeadlockWatch`, which gathers who waits and what the shards' lock tables say, and has the victim give way with
error 1213. Who that is, `wait_graph` says. Over an oracle in this process there is no other proxy, and its own sessions
are all; otherwise the proxies meet at the `WaitingBoard`. Shards are asked only while at least two sessions have waited
for a while, one of them with connections to several. `innodb_lock_wait_timeout` is the backstop.
Source: docs/protocol.md, "Deadlocks over shards".
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from time import monotonic
from typing import Final

import structlog

from proxy.executor.services import Services
from proxy.session.deadlock_log import write_deadlock
from proxy.session.registry import SessionRegistry
from proxy.session.wait_graph import Deadlock, Edge, Suspects, Waiter, may_be_deadlocked
from proxy.session.waiting_board import NOT_REACHED, WaitingBoard, meeting_place
from tso.embedded import EmbeddedTso
from tso.types import ShardName
from txguard.engine.concurrent import settle
from txguard.engine.shard import borrow

log = structlog.get_logger(__name__)

REPORT_INTERVAL_S: Final = 0.08
QUIET_INTERVAL_S: Final = 0.16
"""Between looks at this process's own sessions while none of them waits."""
LOOK_INTERVAL_S: Final = 0.25
"""MariaDB renews its copy of the lock tables where nobody has looked for 0.1 s: undos need a gap, too."""
SECOND_LOOK_S: Final = 0.12
"""How long after the look that showed a cycle."""
WAITS_LONG_S: Final = 0.05
STATEMENT_BYTES: Final = 1_000
"""As much of a statement is kept."""

_MARIADB: Final = (
    # The first row says that the copy is of this very look: it shows the look itself.
    "SELECT /* {nonce} */ own.trx_mysql_thread_id, 0 FROM information_schema.innodb_trx own "
    "WHERE own.trx_mysql_thread_id = CONNECTION_ID() AND own.trx_query LIKE '%/* {nonce} */%' UNION ALL "
    "SELECT waiter.trx_mysql_thread_id, holder.trx_mysql_thread_id FROM information_schema.innodb_lock_waits waits "
    "JOIN information_schema.innodb_trx waiter ON waiter.trx_id = waits.requesting_trx_id "
    "JOIN information_schema.innodb_trx holder ON holder.trx_id = waits.blocking_trx_id "
    # Who holds shared locks only has the id 0, as has everybody who only reads.
    "AND (holder.trx_id <> 0 OR holder.trx_rows_locked > 0)"
)
_MYSQL: Final = (
    "SELECT CONNECTION_ID(), 0 UNION ALL "
    "SELECT waiter.processlist_id, holder.processlist_id FROM performance_schema.data_lock_waits waits "
    "JOIN performance_schema.threads waiter ON waiter.thread_id = waits.requesting_thread_id "
    "JOIN performance_schema.threads holder ON holder.thread_id = waits.blocking_thread_id"
)


class DeadlockWatch:
    def __init__(self, services: Services, registry: SessionRegistry) -> None:
        self._services, self._registry = services, registry
        alone = isinstance(services.engine.tso, EmbeddedTso)
        self._board = None if alone else WaitingBoard(services)
        self._suspects = Suspects()
        self._rounds = itertools.count(1)
        self._looked_at = 0.0
        self.found = 0

    async def run(self) -> None:
        """Look until cancelled."""
        busy = False
        while True:
            await asyncio.sleep(REPORT_INTERVAL_S if busy else QUIET_INTERVAL_S)
            try:
                busy = await self.round()
            except NOT_REACHED as error:
                log.info("deadlock_look_failed", reason=str(error))
            except Exception as error:
                log.error("deadlock_look_failed", exc_info=error)

    async def round(self) -> bool:
        """Report who waits; look, when it is upon this proxy and time to. Whether anybody waits."""
        own = self._own_waiters()
        waiters: list[Waiter] | None = own
        if self._board is not None:
            waiters = await self._board.exchange(own)
            for start_ts in self._board.lost:
                self._give_way(start_ts)
        if waiters is None or not may_be_deadlocked(waiters):
            self._suspects.clear()
        elif monotonic() - self._looked_at > (SECOND_LOOK_S if self._suspects else LOOK_INTERVAL_S):
            await self._look(waiters)
        return bool(own or waiters)

    def _own_waiters(self) -> list[Waiter]:
        """The sessions of this process whose statement has run for a while."""
        proxy, reported = "" if self._board is None else self._board.proxy, next(self._rounds)
        holdings = [session.holding(WAITS_LONG_S) for session in self._registry]
        return [
            Waiter(
                one.start_ts,
                proxy,
                one.connection_id,
                one.threads,
                one.statement[:STATEMENT_BYTES].decode("utf-8", "replace"),
                reported,
            )
            for one in holdings
            if one is not None
        ]

    # ---------------------------------------------------------------- a look

    async def _look(self, waiters: Sequence[Waiter]) -> None:
        edges = await self._edges(waiters)
        self._looked_at = monotonic()
        if edges is not None and (found := self._suspects.judge(waiters, edges)):
            await self._end(found)

    async def _edges(self, waiters: Sequence[Waiter]) -> list[Edge] | None:
        """Of the shards where somebody waits. None: some showed an old copy, so that nothing can be said."""
        pools = self._services.pools
        names = sorted({shard for waiter in waiters for shard, _ in waiter.threads if shard in pools})
        edges: list[Edge] = []
        for name, answer in zip(names, await settle([self._waits_on(name) for name in names]), strict=True):
            if isinstance(answer, NOT_REACHED):
                continue
            if isinstance(answer, Exception):
                raise answer
            if answer is None:
                return None
            edges += [((name, waiter), (name, holder)) for waiter, holder in answer]
        return edges

    async def _waits_on(self, name: ShardName) -> list[tuple[int, int]] | None:
        engine = self._services.engine
        mariadb = "mariadb" in self._services.pools[name].statistics().server_version.lower()
        query = _MARIADB.format(nonce=f"txguard look {next(self._rounds)}") if mariadb else _MYSQL
        async with borrow(engine.shards[name], engine.settings.acquire_timeout_s) as connection:
            answers = await connection.run(
                ["START TRANSACTION WITH CONSISTENT SNAPSHOT", query, "COMMIT"],
                engine.settings.control_timeout_s,
            )
            itself = connection.thread_id
        edges = [(int(waiter or 0), int(holder or 0)) for waiter, holder in answers[1].rows]
        return edges if (itself, 0) in edges else None

    # ---------------------------------------------------------------- the end of a deadlock

    async def _end(self, found: Sequence[Deadlock]) -> None:
        for deadlock in found:
            if deadlock.fresh:
                self.found += 1
                members = [member.waiter.start_ts for member in deadlock.members]
                log.info("deadlock", victim=deadlock.victim.start_ts, members=members)
            if self._board is None or deadlock.victim.proxy == self._board.proxy:
                self._give_way(deadlock.victim.start_ts)
        if self._board is not None:
            await self._board.sentence([deadlock.victim for deadlock in found])
        for deadlock in found:
            if deadlock.fresh:
                await self._log(deadlock)

    def _give_way(self, start_ts: int) -> None:
        for session in self._registry:
            session.lose(start_ts)

    async def _log(self, deadlock: Deadlock) -> None:
        engine = self._services.engine
        shard = engine.shards[meeting_place(self._services)]
        async with borrow(shard, engine.settings.acquire_timeout_s) as connection:
            await write_deadlock(connection, deadlock, engine.settings.control_timeout_s)
