"""monotonic: counters that only grow, so that all reads of all of them can be put into one order.

`increment` is [key, new value], `read` [[key, value], …].
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from tests.torture.anomalies import LOST_UPDATE, LOST_WRITE, Anomaly
from tests.torture.checkers.visibility import backwards, incomparable
from tests.torture.history import History

NOT_MONOTONIC: Final = "not monotonic"


def check(history: History) -> list[Anomaly]:
    reads = [(op, dict(op.value)) for op in history.acknowledged("read")]
    found = list(incomparable(reads))
    for op, key, value, greater in backwards(reads):
        found.append(Anomaly(NOT_MONOTONIC, f"{key} is {value}, after {greater} was read", (op.index,)))
    return found + _lost_updates(history) + _lost_increments(history)


def _lost_updates(history: History) -> list[Anomaly]:
    makers: dict[tuple[int, int], list[int]] = defaultdict(list)
    for op in history.acknowledged("increment"):
        makers[op.value[0], op.value[1]].append(op.index)
    return [
        Anomaly(LOST_UPDATE, f"{key} was made {value} more than once", tuple(who))
        for (key, value), who in makers.items()
        if len(who) > 1
    ]


def _lost_increments(history: History) -> list[Anomaly]:
    found = []
    increments = sorted(history.acknowledged("increment"), key=lambda op: op.completed_s)
    least: dict[int, int] = {}
    done = 0
    for op in sorted(history.acknowledged("read"), key=lambda op: op.invoked_s):
        while done < len(increments) and increments[done].before(op):
            key, value = increments[done].value
            least[key] = max(least.get(key, 0), value)
            done += 1
        for key, value in op.value:
            if value < least.get(key, 0):
                text = f"{key} is {value}, after it was made {least[key]}"
                found.append(Anomaly(LOST_WRITE, text, (op.index,)))
    return found
