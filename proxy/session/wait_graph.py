"""Who waits for whom over the shards, and who has to give way. Sans-IO.

Owns the graph and `Suspects`, which keeps the rule against false victims: looks at several shards are not of one
moment, so a cycle counts when it shows in two looks in a row, and only if each of its members was reported as waiting
again between them: then each of them lived, and held its threads, all the while. A cycle's youngest member loses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from tso.types import ShardName

Thread = tuple[ShardName, int]
"""A connection on a shard."""
Edge = tuple[Thread, Thread]
"""The first waits for a lock that the second holds."""
N = TypeVar("N")


@dataclass(frozen=True, slots=True)
class Waiter:
    """A transaction whose statement has run for a while. `reported` goes up with each report of it."""

    start_ts: int
    proxy: str
    connection_id: int
    threads: tuple[Thread, ...]
    statement: str
    reported: int


@dataclass(frozen=True, slots=True)
class Member:
    """Of a deadlock: a transaction, the shard where it waits, and for whom of the others."""

    waiter: Waiter
    shard: ShardName
    waits_for: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Deadlock:
    """`fresh`: found by this look; otherwise its victim has not let go yet."""

    victim: Waiter
    members: tuple[Member, ...]
    fresh: bool


def waits_between(waiters: Iterable[Waiter], edges: Iterable[Edge]) -> dict[Waiter, set[Waiter]]:
    """Which transaction waits for which, out of which thread of a shard waits for which."""
    owners = {thread: waiter for waiter in waiters for thread in waiter.threads}
    graph: dict[Waiter, set[Waiter]] = {}
    for thread, holder in edges:
        waiting, held = owners.get(thread), owners.get(holder)
        if waiting is not None and held is not None and waiting is not held:
            graph.setdefault(waiting, set()).add(held)
    return graph


def may_be_deadlocked(waiters: Iterable[Waiter]) -> bool:
    """Two must wait, and the cycle must go over shards: somebody holds connections to more than one."""
    waiting = list(waiters)
    return len(waiting) > 1 and any(len(waiter.threads) > 1 for waiter in waiting)


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


class Suspects:
    """The cycles of the looks so far, by the start_ts of their members."""

    def __init__(self) -> None:
        self._seen: dict[frozenset[int], dict[int, int]] = {}
        """With what each member's `reported` was when the cycle showed first."""
        self._convicted: set[frozenset[int]] = set()

    def __bool__(self) -> bool:
        return bool(self._seen)

    def clear(self) -> None:
        self._seen.clear()
        self._convicted.clear()

    def judge(self, waiters: Iterable[Waiter], edges: Iterable[Edge]) -> list[Deadlock]:
        """One look."""
        edges = list(edges)
        graph = waits_between(waiters, edges)
        seen: dict[frozenset[int], dict[int, int]] = {}
        found: list[Deadlock] = []
        for cycle in cycles(graph):
            key = frozenset(waiter.start_ts for waiter in cycle)
            first = seen[key] = self._seen.get(key) or {one.start_ts: one.reported for one in cycle}
            if all(waiter.reported > first[waiter.start_ts] for waiter in cycle):
                found.append(_deadlock(cycle, graph, edges, fresh=key not in self._convicted))
                self._convicted.add(key)
        self._seen = seen
        self._convicted &= seen.keys()
        return found


def _deadlock(
    cycle: frozenset[Waiter], graph: Mapping[Waiter, set[Waiter]], edges: Iterable[Edge], *, fresh: bool
) -> Deadlock:
    held = {thread for waiter in cycle for thread in waiter.threads}
    waiting = {thread: thread[0] for thread, holder in edges if holder in held}
    members = [
        Member(
            waiter,
            next(shard for thread, shard in waiting.items() if thread in waiter.threads),
            tuple(sorted(other.start_ts for other in graph[waiter] & cycle)),
        )
        for waiter in sorted(cycle, key=lambda waiter: waiter.start_ts)
    ]
    return Deadlock(members[-1].waiter, tuple(members), fresh)
