"""Deadlocks over shards: InnoDB sees one shard, so the proxy looks for the cycles that go over several.

Owns the graph of who waits for whom (sans-IO: `waits_between`, `cycles`, `find_victims`) and `DeadlockWatch`, which
draws it. The rules: shards are asked only while at least two sessions have waited for a while, one of them with
connections to several shards; a cycle counts when it shows in two looks in a row, because the looks at several shards
are not of one moment; its youngest member loses, with error 1213. `innodb_lock_wait_timeout` is the backstop.
Source: docs/protocol.md, "Deadlocks over shards".
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import structlog

from proxy.executor.services import Services
from proxy.session.registry import Holding, SessionRegistry
from tso.types import ShardName
from txguard.engine.concurrent import settle
from txguard.engine.shard import ConnectionLost, ShardError, ShardUnavailable, borrow

log = structlog.get_logger(__name__)

LOOK_INTERVAL_S = 0.25
"""MariaDB shows a copy of its lock tables, and renews it only where nobody has looked for 0.1 s: leave undos a gap."""
WAITS_LONG_S = 0.05

Thread = tuple[ShardName, int]
N = TypeVar("N")

_COMMON = (
    "SELECT waiter.trx_mysql_thread_id, holder.trx_mysql_thread_id FROM {table} waits "
    "JOIN information_schema.innodb_trx waiter ON waiter.trx_id = waits.{waiter} "
    "JOIN information_schema.innodb_trx holder ON holder.trx_id = waits.{holder}"
)
MARIADB_WAITS = _COMMON.format(
    table="information_schema.innodb_lock_waits", waiter="requesting_trx_id", holder="blocking_trx_id"
)
MYSQL_WAITS = _COMMON.format(
    table="performance_schema.data_lock_waits",
    waiter="requesting_engine_transaction_id",
    holder="blocking_engine_transaction_id",
)


# ---------------------------------------------------------------- sans-IO


def waits_between(
    holdings: Iterable[Holding], edges: Iterable[tuple[Thread, Thread]]
) -> dict[Holding, set[Holding]]:
    """Who waits for whom, out of which thread of a shard waits for which."""
    owners = {thread: holding for holding in holdings for thread in holding.threads}
    graph: dict[Holding, set[Holding]] = {}
    for waiter, holder in edges:
        waiting, held = owners.get(waiter), owners.get(holder)
        if waiting is not None and held is not None and waiting is not held:
            graph.setdefault(waiting, set()).add(held)
    return graph


def cycles(graph: Mapping[N, set[N]]) -> list[frozenset[N]]:
    """The sets of nodes that all reach each other (strongly connected, more than one). Tarjan, without recursion."""
    index: dict[N, int] = {}
    low: dict[N, int] = {}
    on_path: dict[N, None] = {}
    found: list[frozenset[N]] = []
    for root in graph:
        if root in index:
            continue
        work = [(root, iter(graph[root]))]
        index[root] = low[root] = len(index)
        on_path[root] = None
        while work:
            node, following = work[-1]
            for target in following:
                if target not in index:
                    index[target] = low[target] = len(index)
                    on_path[target] = None
                    work.append((target, iter(graph.get(target, ()))))
                    break
                if target in on_path:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component = _take_from(on_path, node)
                    if len(component) > 1:
                        found.append(component)
    return found


def _take_from(path: dict[N, None], first: N) -> frozenset[N]:
    """Cut the path's end off, from `first` on."""
    taken: list[N] = []
    while not taken or taken[-1] != first:
        taken.append(path.popitem()[0])
    return frozenset(taken)


def find_victims(
    now: Iterable[frozenset[tuple[int, int]]], before: Iterable[frozenset[tuple[int, int]]]
) -> list[tuple[int, int]]:
    """The youngest of each cycle that was there in the look before. Members are (start_ts, connection id)."""
    seen = set(before)
    return [max(cycle) for cycle in now if cycle in seen]


# ---------------------------------------------------------------- the watch


class DeadlockWatch:
    def __init__(self, services: Services, registry: SessionRegistry) -> None:
        self._services, self._registry = services, registry
        self._before: list[frozenset[tuple[int, int]]] = []
        self.found = 0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            try:
                self._before = await self.look()
            except Exception as error:
                log.error("deadlock_look_failed", exc_info=error)

    async def look(self) -> list[frozenset[tuple[int, int]]]:
        """One look; the cycles that it saw."""
        members = {session.connection_id: session for session in self._registry}
        holdings = [holding for session in members.values() if (holding := session.holding(WAITS_LONG_S))]
        if not _may_be_deadlocked(holdings):
            return []
        graph = waits_between(holdings, await self._edges(holdings))
        now = [frozenset((one.start_ts, one.connection_id) for one in cycle) for cycle in cycles(graph)]
        for start_ts, connection_id in find_victims(now, self._before):
            self.found += 1
            log.info("deadlock", victim=connection_id, start_ts=start_ts)
            members[connection_id].lose(start_ts)
        return now

    async def _edges(self, holdings: Sequence[Holding]) -> list[tuple[Thread, Thread]]:
        """Of the shards where somebody waits."""
        names = sorted({shard for one in holdings if one.waits for shard, _ in one.threads})
        edges: list[tuple[Thread, Thread]] = []
        for name, answer in zip(names, await settle([self._waits_on(name) for name in names]), strict=True):
            if isinstance(answer, ShardUnavailable | ShardError | ConnectionLost):
                continue
            if isinstance(answer, Exception):
                raise answer
            edges += [((name, waiter), (name, holder)) for waiter, holder in answer]
        return edges

    async def _waits_on(self, name: ShardName) -> list[tuple[int, int]]:
        engine = self._services.engine
        mariadb = "mariadb" in self._services.pools[name].statistics().server_version.lower()
        async with borrow(engine.shards[name], engine.settings.acquire_timeout_s) as connection:
            query = MARIADB_WAITS if mariadb else MYSQL_WAITS
            [answer] = await connection.run([query], engine.settings.control_timeout_s)
        return [(int(waiter or 0), int(holder or 0)) for waiter, holder in answer.rows]


def _may_be_deadlocked(holdings: Sequence[Holding]) -> bool:
    """Two must wait, and the cycle must go over shards: somebody holds connections to more than one."""
    waiting = [holding for holding in holdings if holding.waits]
    return len(waiting) > 1 and any(len(holding.threads) > 1 for holding in waiting)
