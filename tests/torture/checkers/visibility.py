"""What several checkers ask of sets and vectors that were read: are acknowledged writes there, is there one order?"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from tests.torture.anomalies import G1A, LONG_FORK, LOST_WRITE, PHANTOM, Anomaly
from tests.torture.history import Operation, Outcome

E = TypeVar("E", bound=Hashable)
_TOLD: Final = 8


def set_anomalies(
    reads: Sequence[tuple[Operation, Collection[E]]], writes: Mapping[E, Operation]
) -> Iterator[Anomaly]:
    """Reads of a set that only grows: what was acknowledged before a read is in it, what failed is not."""
    acknowledged = sorted(
        ((op.completed_s, element) for element, op in writes.items() if op.ok), key=lambda pair: pair[0]
    )
    due: set[E] = set()
    done = 0
    for op, elements in sorted(reads, key=lambda read: read[0].invoked_s):
        while done < len(acknowledged) and acknowledged[done][0] < op.invoked_s:
            due.add(acknowledged[done][1])
            done += 1
        present = set(elements)
        if missing := due - present:
            yield Anomaly(LOST_WRITE, f"acknowledged, and not there: {told(missing)}", (op.index,))
        if strange := present - writes.keys():
            yield Anomaly(PHANTOM, f"nobody wrote {told(strange)}", (op.index,))
        failed = [e for e in present & writes.keys() if writes[e].outcome is Outcome.FAIL]
        if failed:
            yield Anomaly(G1A, f"their transactions failed: {told(failed)}", (op.index,))


def incomparable(reads: Sequence[tuple[Operation, Mapping[E, int]]]) -> Iterator[Anomaly]:
    """Vectors of values that only grow, over the same keys: any two snapshots must be one before the other."""
    ordered = sorted(reads, key=lambda read: sum(read[1].values()))
    for (earlier, low), (later, high) in itertools.pairwise(ordered):
        ahead = [key for key, value in low.items() if value > high.get(key, 0)]
        behind = [key for key, value in low.items() if value < high.get(key, 0)]
        if ahead:
            text = f"one is ahead at {told(ahead)}, the other at {told(behind)}"
            yield Anomaly(LONG_FORK, text, (earlier.index, later.index))


def backwards(reads: Sequence[tuple[Operation, Mapping[E, int]]]) -> Iterator[tuple[Operation, E, int, int]]:
    """(read, key, value, greater value) where an acknowledged earlier read had seen a greater value."""
    over = sorted(reads, key=lambda read: read[0].completed_s)
    highest: dict[E, int] = {}
    done = 0
    for op, values in sorted(reads, key=lambda read: read[0].invoked_s):
        while done < len(over) and over[done][0].before(op):
            for key, value in over[done][1].items():
                highest[key] = max(highest.get(key, value), value)
            done += 1
        for key, value in values.items():
            if value < highest.get(key, value):
                yield op, key, value, highest[key]


def told(elements: Collection[E]) -> str:
    some = sorted(elements, key=repr)[:_TOLD]
    return ", ".join(map(str, some)) + (f" and {len(elements) - _TOLD} more" if len(elements) > _TOLD else "")
