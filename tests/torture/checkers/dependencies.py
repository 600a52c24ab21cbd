"""From the order of each key's versions and from what was read, the graph of dependencies, and its anomalies.

What the checkers of list-append and of read-write registers share. A version is named by its position in its
key's order; position 0 is "nothing there yet".
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.torture.anomalies import LOST_UPDATE, Anomaly, Level
from tests.torture.checkers.cycles import Cycle, Edge, Graph, cycles
from tests.torture.history import History, Operation

Key = int
Value = int


@dataclass(slots=True)
class Versions:
    """`order[key][n - 1]` is the value of version n; only versions that somebody saw, or that are there for sure."""

    order: dict[Key, list[Value]]
    writer: dict[tuple[Key, Value], int]
    """Which operation wrote a value."""
    reads: list[tuple[int, Key, int]] = field(default_factory=list)
    """(operation, key, version) of reads that its own writes did not change."""
    unseen: dict[Key, list[Value]] = field(default_factory=dict)
    """Written by a transaction that has committed, and not in the order: after everything that is."""


def dependency_graph(versions: Versions, committed: Sequence[Operation]) -> Graph:
    graph = Graph()
    for key, values in versions.order.items():
        for before, after in itertools.pairwise(values):
            source, target = versions.writer[key, before], versions.writer[key, after]
            graph.add(source, target, Edge.WW, f"key {key}: {before} was followed by {after}")
    for reader, key, version in versions.reads:
        _add_read(graph, versions, reader, key, version)
    _add_realtime(graph, committed)
    return graph


def _add_read(graph: Graph, versions: Versions, reader: int, key: Key, version: int) -> None:
    values = versions.order.get(key, [])
    if version:
        seen = values[version - 1]
        graph.add(versions.writer[key, seen], reader, Edge.WR, f"key {key}: {seen} was read")
    following = values[version : version + 1] or versions.unseen.get(key, [])
    for value in following:
        why = f"key {key}: {value} was not seen yet"
        graph.add(reader, versions.writer[key, value], Edge.RW, why)


def _add_realtime(graph: Graph, committed: Sequence[Operation]) -> None:
    """Edges enough that their paths are the whole order: from the latest acknowledged ones only."""
    completions = sorted((op for op in committed if op.ok), key=lambda op: op.completed_s)
    frontier: list[Operation] = []
    done = 0
    for operation in sorted(committed, key=lambda op: op.invoked_s):
        while done < len(completions) and completions[done].completed_s < operation.invoked_s:
            latest = completions[done]
            frontier = [op for op in frontier if not op.before(latest)] + [latest]
            done += 1
        for earlier in frontier:
            graph.add(earlier.index, operation.index, Edge.RT)


def cycle_anomalies(history: History, graph: Graph) -> list[Anomaly]:
    level = history.header.level
    found = cycles(
        graph,
        serializable=level is Level.SERIALIZABLE,
        snapshots=level.snapshots,
        realtime=level.snapshots,
    )
    return [Anomaly(cycle.name, _told(cycle, graph), cycle.transactions) for cycle in found]


def _told(cycle: Cycle, graph: Graph) -> str:
    parts = []
    nodes = cycle.transactions
    for source, target, edge in zip(nodes, [*nodes[1:], nodes[0]], cycle.edges, strict=True):
        why = graph.why.get((source, target, edge), "acknowledged before it began")
        parts.append(f"{source} -{str(edge.name).lower()}-> {target} ({why})")
    return "; ".join(parts)


def lost_updates(
    level: Level, reads: Iterable[tuple[int, Key, int]], wrote: Mapping[int, set[Key]]
) -> list[Anomaly]:
    """Two committed transactions that read one version of a key and both wrote the key."""
    if not level.snapshots:
        return []
    by_version: dict[tuple[Key, int], list[int]] = defaultdict(list)
    for reader, key, version in dict.fromkeys(reads):
        if key in wrote.get(reader, ()):
            by_version[key, version].append(reader)
    return [
        Anomaly(LOST_UPDATE, f"key {key}: all of these read its version {version} and wrote it", tuple(who))
        for (key, version), who in by_version.items()
        if len(who) > 1
    ]
