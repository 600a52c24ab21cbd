"""list-append: `txn` operations whose values are lists of `["append", key, element]` and `["r", key, list]`.

Elle's method (Kingsbury and Alvaro, VLDB 2020): every element is appended once, so that a read shows the whole
history of its key. The longest read of a key is the order of its versions; every other read must begin it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from tests.torture.anomalies import (
    DUPLICATE,
    G1A,
    G1B,
    INCOMPATIBLE_ORDER,
    INTERNAL,
    PHANTOM,
    Anomaly,
)
from tests.torture.checkers.dependencies import (
    Versions,
    cycle_anomalies,
    dependency_graph,
    lost_updates,
)
from tests.torture.history import History, Operation, Outcome


def check(history: History) -> list[Anomaly]:
    return _Appends(history).anomalies()


class _Appends:
    """One history taken apart."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.operations = history.of("txn")
        self.by_index = {operation.index: operation for operation in self.operations}
        self.writer = {(key, element): op.index for op in self.operations for key, element in appends(op)}
        seen = {
            (key, element)
            for op in self.operations
            if op.ok
            for key, elements in reads(op)
            for element in elements
        }
        self.committed = [
            op
            for op in self.operations
            if op.ok or (op.outcome is Outcome.INFO and not seen.isdisjoint(appends(op)))
        ]
        self.longest: dict[int, list[int]] = defaultdict(list)
        for op in self.committed:
            for key, elements in reads(op):
                if len(elements) > len(self.longest[key]):
                    self.longest[key] = elements

    def anomalies(self) -> list[Anomaly]:
        found = [anomaly for op in self.committed for anomaly in self._of_operation(op)]
        if any(anomaly.name in (DUPLICATE, INCOMPATIBLE_ORDER, PHANTOM) for anomaly in found):
            return found  # there is no order to build on
        versions = self._versions()
        wrote = {op.index: {key for key, _ in appends(op)} for op in self.committed}
        found += lost_updates(self.history.header.level, versions.reads, wrote)
        return found + cycle_anomalies(self.history, dependency_graph(versions, self.committed))

    def _of_operation(self, op: Operation) -> Iterator[Anomaly]:
        for key, elements in reads(op):
            if elements != self.longest[key][: len(elements)]:
                yield Anomaly(
                    INCOMPATIBLE_ORDER, f"key {key}: {elements} against {self.longest[key]}", (op.index,)
                )
            if len(set(elements)) < len(elements):
                yield Anomaly(DUPLICATE, f"key {key}: {elements}", (op.index,))
            for element in elements:
                yield from self._of_element(op, key, element)
            yield from self._intermediate(op, key, elements)
        yield from _internal(op, self.history.header.level.snapshots)

    def _of_element(self, op: Operation, key: int, element: int) -> Iterator[Anomaly]:
        writer = self.writer.get((key, element))
        if writer is None:
            yield Anomaly(PHANTOM, f"key {key}: nobody appended {element}", (op.index,))
        elif self.by_index[writer].outcome is Outcome.FAIL:
            yield Anomaly(
                G1A, f"key {key}: {element} was appended by a failed transaction", (op.index, writer)
            )

    def _intermediate(self, op: Operation, key: int, elements: Sequence[int]) -> Iterator[Anomaly]:
        if not elements:
            return
        writer = self.writer.get((key, elements[-1]), op.index)
        if writer == op.index:
            return
        last = [element for at, element in appends(self.by_index[writer]) if at == key][-1]
        if last != elements[-1]:
            yield Anomaly(
                G1B, f"key {key}: {elements[-1]} was read, before {last} followed", (op.index, writer)
            )

    def _versions(self) -> Versions:
        order = {key: list(elements) for key, elements in self.longest.items()}
        versions = Versions(order, self.writer)
        for op in self.committed:
            own = set(appends(op))
            for key, elements in reads(op):
                foreign = [element for element in elements if (key, element) not in own]
                if len(foreign) == len(elements):
                    versions.reads.append((op.index, key, len(elements)))
            for key, element in own:
                if element not in order.setdefault(key, []):
                    versions.unseen.setdefault(key, []).append(element)
        return versions


def _internal(op: Operation, snapshots: bool) -> Iterator[Anomaly]:
    """What a transaction has read and appended itself, it must go on to read."""
    known: dict[int, list[int]] = {}
    appended: dict[int, list[int]] = defaultdict(list)
    for what, key, value in op.value:
        if what == "append":
            appended[key].append(value)
            if key in known:
                known[key] = [*known[key], value]
            continue
        if value is None and op.outcome is not Outcome.OK:
            continue  # not known to have been read
        elements = value or []
        own = appended[key]
        if own and elements[-len(own) :] != own:
            yield Anomaly(INTERNAL, f"key {key}: {elements} does not end with its own {own}", (op.index,))
        elif snapshots and key in known and known[key] != elements:
            yield Anomaly(INTERNAL, f"key {key}: {elements} after {known[key]}", (op.index,))
        known[key] = elements


def appends(op: Operation) -> list[tuple[int, int]]:
    return [(key, value) for what, key, value in op.value if what == "append"]


def reads(op: Operation) -> list[tuple[int, list[int]]]:
    """Reads with an answer. Of an operation of unknown outcome, those that had one."""
    return [
        (key, _elements(value))
        for what, key, value in op.value
        if what == "r" and (value is not None or op.ok)
    ]


def _elements(value: Any) -> list[int]:
    return list(value or [])
