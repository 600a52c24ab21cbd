"""Cycles in a graph of transactions, and the anomaly that each of them is.

Edges (Adya): ww, the target overwrote the source's version; wr, it read it; rw, it overwrote what the source had
read; rt, it began after the source was acknowledged. Under snapshot isolation ww, wr and rt say that the source's
commit is before the target's start, rw that the source's start is before the target's commit: a cycle contradicts
itself unless two rw edges follow one another. So the cycles that snapshot isolation forbids are those of a graph of
pairs (transaction, whether it was reached by rw) in which no rw edge leaves a pair that was reached by one. Strong
components find them in linear time; only where there are any are single cycles looked for.
"""

from __future__ import annotations

import enum
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from tests.torture.anomalies import G0, G1C, G2_ITEM, G_SINGLE, LONG_FORK, REALTIME

N = TypeVar("N", bound=Hashable)
_STARTS: Final = 60
"""From how many transactions of a component the shortest cycle is looked for."""


class Edge(enum.IntFlag):
    WW = 1
    WR = 2
    RT = 4
    RW = 8


ALL: Final = Edge.WW | Edge.WR | Edge.RT | Edge.RW
NOT_RW: Final = Edge.WW | Edge.WR | Edge.RT


@dataclass(slots=True)
class Graph:
    """Transactions by number; `edges[a][b]` are all the ways in which b depends on a."""

    edges: dict[int, dict[int, Edge]] = field(default_factory=lambda: defaultdict(dict))
    why: dict[tuple[int, int, Edge], str] = field(default_factory=dict)
    """For a person: the key and the versions behind an edge."""

    def add(self, source: int, target: int, edge: Edge, why: str = "") -> None:
        if source == target:
            return
        self.edges[source][target] = self.edges[source].get(target, Edge(0)) | edge
        if why:
            self.why.setdefault((source, target, edge), why)

    def targets(self, source: int, allowed: Edge) -> list[int]:
        return [target for target, edge in self.edges.get(source, {}).items() if edge & allowed]


@dataclass(frozen=True, slots=True)
class Cycle:
    name: str
    transactions: tuple[int, ...]
    edges: tuple[Edge, ...]
    """edges[i] leads from transactions[i] to the next one, and the last to the first."""


def cycles(graph: Graph, *, serializable: bool, snapshots: bool, realtime: bool) -> list[Cycle]:
    """One cycle or a few for every way in which the level is violated; none: it is kept.

    Neither `serializable` nor `snapshots`: READ COMMITTED, which forbids G0 and G1c.
    """
    rt = Edge.RT if realtime else Edge(0)
    found = _by_components(graph, Edge.WW | rt) or _by_components(graph, Edge.WW | Edge.WR | rt)
    if snapshots or serializable:
        found = found + _singles(graph, Edge.WW | Edge.WR | rt)
        found = found or _nonadjacent(graph, Edge.WW | Edge.WR | rt)
    if serializable and not found:
        found = _by_components(graph, Edge.WW | Edge.WR | Edge.RW | rt)
    return list(dict.fromkeys(found))


def _by_components(graph: Graph, allowed: Edge) -> list[Cycle]:
    components = strong_components(list(graph.edges), lambda node: graph.targets(node, allowed))
    return [_named(graph, _shortest(component, graph, allowed), allowed) for component in components]


def _shortest(component: Sequence[int], graph: Graph, allowed: Edge) -> list[int]:
    inside = set(component)
    best: list[int] | None = None
    for start in component[:_STARTS]:
        for target in graph.targets(start, allowed):
            if target in inside:
                path = _path(target, start, lambda node: graph.targets(node, allowed))
                if path is not None and (best is None or len(path) < len(best)):
                    best = path
    assert best is not None
    return best


def _singles(graph: Graph, others: Edge) -> list[Cycle]:
    """Cycles with exactly one rw edge, at most one a component."""
    found = []
    for component in _forbidden_components(graph, others):
        for source in component:
            path = _single_from(graph, source, component, others)
            if path is not None:
                found.append(_named(graph, path, others | Edge.RW))
                break
    return found


def _single_from(graph: Graph, source: int, component: set[int], others: Edge) -> list[int] | None:
    for target, edge in graph.edges[source].items():
        if edge & Edge.RW and target in component:
            path = _path(target, source, lambda node: graph.targets(node, others))
            if path is not None:
                return [source, *path[:-1]]
    return None


def _nonadjacent(graph: Graph, others: Edge) -> list[Cycle]:
    found = []
    for pairs in _pair_components(graph, others):
        start = next(pair for pair in pairs if pair[1])  # reached by rw
        follow = _pair_targets(graph, others)
        paths = (_path(after, start, follow) for after in follow(start))
        path = min((path for path in paths if path is not None), key=len)
        found.append(_named(graph, [node for node, _ in path], others | Edge.RW))
    return found


def _forbidden_components(graph: Graph, others: Edge) -> Iterator[set[int]]:
    for pairs in _pair_components(graph, others):
        yield {node for node, _ in pairs}


def _pair_components(graph: Graph, others: Edge) -> list[list[tuple[int, bool]]]:
    """Of those that have an rw edge: without one it would be G0 or G1c."""
    nodes = [(node, by_rw) for node in graph.edges for by_rw in (False, True)]
    components = strong_components(nodes, _pair_targets(graph, others))
    return [component for component in components if any(by_rw for _, by_rw in component)]


def _pair_targets(graph: Graph, others: Edge) -> Callable[[tuple[int, bool]], list[tuple[int, bool]]]:
    def follow(pair: tuple[int, bool]) -> list[tuple[int, bool]]:
        node, by_rw = pair
        steps = [(target, False) for target in graph.targets(node, others)]
        if not by_rw:
            steps += [(target, True) for target in graph.targets(node, Edge.RW)]
        return steps

    return follow


def _path(start: N, goal: N, follow: Callable[[N], Iterable[N]]) -> list[N] | None:
    """The shortest one, with both ends."""
    came: dict[N, N | None] = {start: None}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        if node == goal:
            path = [node]
            while (previous := came[path[-1]]) is not None:
                path.append(previous)
            return path[::-1]
        for target in follow(node):
            if target not in came:
                came[target] = node
                queue.append(target)
    return None


def _named(graph: Graph, nodes: Sequence[int], allowed: Edge) -> Cycle:
    """Of several edges between two transactions the one that says the most."""
    edges = []
    for source, target in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
        having = graph.edges[source][target] & allowed
        edges.append(next(edge for edge in (Edge.WW, Edge.WR, Edge.RT, Edge.RW) if edge & having))
    reads = edges.count(Edge.RW)
    if reads == 0:
        name = G1C if Edge.WR in edges else G0
    elif reads == 1:
        name = G_SINGLE
    elif any(a is b is Edge.RW for a, b in zip(edges, [*edges[1:], edges[0]], strict=True)):
        name = G2_ITEM
    else:
        name = LONG_FORK
    first = nodes.index(min(nodes))
    return Cycle(
        name + (REALTIME if Edge.RT in edges else ""),
        (*nodes[first:], *nodes[:first]),
        (*edges[first:], *edges[:first]),
    )


def strong_components(nodes: Iterable[N], follow: Callable[[N], Iterable[N]]) -> list[list[N]]:
    """Those of more than one node (Tarjan, without recursion)."""
    index: dict[N, int] = {}
    low: dict[N, int] = {}
    stack: list[N] = []
    on_stack: set[N] = set()
    found: list[list[N]] = []
    for root in nodes:
        if root in index:
            continue
        work: list[tuple[N, Iterator[N]]] = [(root, iter(follow(root)))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, targets = work[-1]
            for target in targets:
                if target not in index:
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, iter(follow(target))))
                    break
                if target in on_stack:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    cut = _last_index(stack, node)
                    component = stack[cut:]
                    del stack[cut:]
                    on_stack.difference_update(component)
                    if len(component) > 1:
                        found.append(component)
    return found


def _last_index(stack: Sequence[N], node: N) -> int:
    return next(at for at in range(len(stack) - 1, -1, -1) if stack[at] == node)
