"""rw-register: `txn` operations of `["w", key, value]` and `["r", key, [version, value]]`, or None for no row yet.

Every value is written once, and every write raises the row's own version number, so that the order of versions is
read and not guessed. Versions that nobody saw are skipped: a dependency over several of them is still one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.torture.anomalies import (
    DUPLICATE,
    G1A,
    G1B,
    INCOMPATIBLE_ORDER,
    INTERNAL,
    LOST_WRITE,
    PHANTOM,
    Anomaly,
)
from tests.torture.checkers.dependencies import Versions, cycle_anomalies, dependency_graph, lost_updates
from tests.torture.history import History, Operation, Outcome


def check(history: History) -> list[Anomaly]:
    return _Registers(history).anomalies()


class _Registers:
    """One history taken apart."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.operations = history.of("txn")
        self.by_index = {operation.index: operation for operation in self.operations}
        self.writer = {(key, value): op.index for op in self.operations for key, value in writes(op)}
        self.values: dict[int, dict[int, int]] = defaultdict(dict)
        """By key and version number."""
        seen = {(key, got[1]) for op in self.operations if op.ok for key, got in reads(op) if got is not None}
        self.committed = [
            op
            for op in self.operations
            if op.ok or (op.outcome is Outcome.INFO and not seen.isdisjoint(writes(op)))
        ]

    def anomalies(self) -> list[Anomaly]:
        found = [anomaly for op in self.committed for anomaly in self._of_operation(op)]
        found += self._versions_of_values()
        if any(anomaly.name in (DUPLICATE, INCOMPATIBLE_ORDER, PHANTOM) for anomaly in found):
            return found
        found += self._lost_writes()
        versions = self._versions()
        wrote = {op.index: {key for key, _ in writes(op)} for op in self.committed}
        found += lost_updates(self.history.header.level, versions.reads, wrote)
        return found + cycle_anomalies(self.history, dependency_graph(versions, self.committed))

    def _of_operation(self, op: Operation) -> Iterator[Anomaly]:
        written: dict[int, int] = {}
        read: dict[int, object] = {}
        for what, key, got in op.value:
            if what == "w":
                written[key] = got
                read.pop(key, None)
                continue
            if got is None and not op.ok:
                continue
            if key in written and (got is None or got[1] != written[key]):
                yield Anomaly(INTERNAL, f"key {key}: {got} after writing {written[key]}", (op.index,))
            if self.history.header.level.snapshots and read.get(key, got) != got:
                yield Anomaly(INTERNAL, f"key {key}: {got} after {read[key]}", (op.index,))
            read[key] = got
            if got is not None:
                yield from self._of_value(op, key, got[0], got[1])

    def _of_value(self, op: Operation, key: int, version: int, value: int) -> Iterator[Anomaly]:
        writer = self.writer.get((key, value))
        if writer is None:
            yield Anomaly(PHANTOM, f"key {key}: nobody wrote {value}", (op.index,))
            return
        if self.by_index[writer].outcome is Outcome.FAIL:
            yield Anomaly(G1A, f"key {key}: {value} was written by a failed transaction", (op.index, writer))
        last = [wrote for at, wrote in writes(self.by_index[writer]) if at == key][-1]
        if writer != op.index and last != value:
            yield Anomaly(G1B, f"key {key}: {value} was read, before {last} followed", (op.index, writer))
        known = self.values[key].setdefault(version, value)
        if known != value:
            yield Anomaly(
                INCOMPATIBLE_ORDER, f"key {key}: version {version} is {known} and {value}", (op.index,)
            )

    def _versions_of_values(self) -> Iterator[Anomaly]:
        for key, values in self.values.items():
            for value, times in Counter(values.values()).items():
                if times > 1:
                    yield Anomaly(
                        DUPLICATE, f"key {key}: {value} is {times} versions", (self.writer[key, value],)
                    )

    def _lost_writes(self) -> Iterator[Anomaly]:
        """A read that began after all these writes were acknowledged must have counted them."""
        acknowledged = sorted((op for op in self.operations if op.ok), key=lambda op: op.completed_s)
        counts: Counter[int] = Counter()
        done = 0
        for op in sorted((op for op in self.operations if op.ok), key=lambda op: op.invoked_s):
            while acknowledged[done].completed_s < op.invoked_s:
                counts.update(key for key, _ in writes(acknowledged[done]))
                done += 1
            for key, got in reads(op):
                if (got[0] if got else 0) < counts[key]:
                    text = f"key {key}: version {got and got[0]}, after {counts[key]} acknowledged writes"
                    yield Anomaly(LOST_WRITE, text, (op.index,))

    def _versions(self) -> Versions:
        position: dict[tuple[int, int], int] = {}
        order: dict[int, list[int]] = {}
        for key, values in self.values.items():
            numbers = sorted(values)
            order[key] = [values[number] for number in numbers]
            position.update({(key, number): at for at, number in enumerate(numbers, 1)})
        versions = Versions(order, self.writer)
        for op in self.committed:
            own = set(writes(op))
            for key, got in reads(op):
                if got is None or (key, got[1]) not in own:
                    versions.reads.append((op.index, key, position[key, got[0]] if got else 0))
        return versions


def writes(op: Operation) -> list[tuple[int, int]]:
    return [(key, value) for what, key, value in op.value if what == "w"]


def reads(op: Operation) -> list[tuple[int, list[int] | None]]:
    return [(key, value) for what, key, value in op.value if what == "r" and (value is not None or op.ok)]
