"""register: `read`, `write` and `cas` of single keys must look as if each happened at one instant of its own.

`read` has the value [key, value], `write` [key, value], `cas` [key, old, new]. Wing and Gong's search with Lowe's
cache of states seen (as Knossos and porcupine have it), key by key: a linearizable whole is linearizable parts. A
read of unknown outcome says nothing. A write of unknown outcome whose value nobody saw is left out, which changes
no answer: wherever it might stand, nobody looked before the next write.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.torture.anomalies import Anomaly
from tests.torture.history import History, Operation, Outcome

NOT_LINEARIZABLE: Final = "not linearizable"
_TOLD: Final = 12


def check(history: History) -> list[Anomaly]:
    by_key: dict[Any, list[Operation]] = defaultdict(list)
    for operation in history.of("read", "write", "cas"):
        if operation.outcome is not Outcome.FAIL:
            by_key[operation.value[0]].append(operation)
    initial = history.header.parameters.get("initial")
    found = []
    for key, operations in by_key.items():
        stuck = first_stuck(relevant(operations), initial)
        if stuck is not None:
            found.append(Anomaly(NOT_LINEARIZABLE, f"key {key}: {_told(stuck, operations)}", (stuck.index,)))
    return found


def relevant(operations: Sequence[Operation]) -> list[Operation]:
    seen = {op.value[1] for op in operations if op.ok and op.f in ("read", "cas")}
    return [op for op in operations if op.ok or (op.f == "write" and op.value[1] in seen) or op.f == "cas"]


def _told(stuck: Operation, operations: Sequence[Operation]) -> str:
    around = [
        op for op in operations if op.invoked_s < stuck.completed_s and stuck.invoked_s < op.completed_s
    ]
    near = ", ".join(f"{op.index} {op.f}{op.value[1:]} {op.outcome.value}" for op in around[:_TOLD])
    return f"no order explains {stuck.f} {stuck.value[1:]}; at its time: {near}"


@dataclass(slots=True)
class _Step:
    """An operation put into the order; what has to be known to take it back."""

    position: int
    state_before: Any


def first_stuck(operations: Sequence[Operation], initial: Any) -> Operation | None:
    """None where there is an order; else the operation that could not be passed by the search that got furthest."""
    entries = sorted(operations, key=lambda op: op.invoked_s)
    deadlines = [op.completed_s for op in entries]
    must = sum(1 << at for at, op in enumerate(entries) if op.ok)
    state, done = initial, 0
    steps: list[_Step] = []
    seen: set[tuple[int, Any]] = set()
    at, furthest = 0, -1.0
    stuck: Operation | None = None
    while done & must != must:
        earliest = _earliest_deadline(entries, deadlines, done)
        candidate = _next_candidate(entries, done, at, earliest)
        if candidate is None:
            if earliest > furthest:
                furthest = earliest
                stuck = entries[deadlines.index(earliest)] if earliest < math.inf else None
            if not steps:
                return stuck
            step = steps.pop()
            done, state, at = done & ~(1 << step.position), step.state_before, step.position + 1
            continue
        possible, after = _apply(state, entries[candidate])
        key = (done | 1 << candidate, after)
        if possible and key not in seen:
            seen.add(key)
            steps.append(_Step(candidate, state))
            done, state, at = key[0], after, _first_open(done, 0)
        else:
            at = candidate + 1
    return None


def _first_open(done: int, at: int) -> int:
    while done >> at & 1:
        at += 1
    return at


def _earliest_deadline(entries: Sequence[Operation], deadlines: Sequence[float], done: int) -> float:
    """What comes next must begin before this, or it would come after something that was over."""
    earliest = math.inf
    for at in range(_first_open(done, 0), len(entries)):
        if entries[at].invoked_s > earliest:
            break
        if not done >> at & 1:
            earliest = min(earliest, deadlines[at])
    return earliest


def _next_candidate(entries: Sequence[Operation], done: int, at: int, earliest: float) -> int | None:
    for position in range(at, len(entries)):
        if entries[position].invoked_s > earliest:
            return None
        if not done >> position & 1:
            return position
    return None


def _apply(state: Any, operation: Operation) -> tuple[bool, Any]:
    if operation.f == "read":
        return operation.value[1] == state, state
    if operation.f == "write":
        return True, operation.value[1]
    return operation.value[1] == state, operation.value[2]
