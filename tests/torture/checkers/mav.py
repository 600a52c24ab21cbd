"""MAV, monotonic atomic view: A and B are incremented together; a reader of A, B, A never goes back.

`increment` has the id of the pair; `read` is [pair, a1, b, a2], where the reader wrote B to itself before it read it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from tests.torture.anomalies import LOST_WRITE, Anomaly
from tests.torture.history import History

NOT_MAV: Final = "not a monotonic atomic view"


def check(history: History) -> list[Anomaly]:
    return [*_views(history), *_lost(history)]


def _views(history: History) -> Iterator[Anomaly]:
    snapshots = history.header.level.snapshots
    for op in history.acknowledged("read"):
        pair, a1, b, a2 = op.value
        if not a1 <= b <= a2 or (snapshots and not a1 == b == a2):
            yield Anomaly(NOT_MAV, f"pair {pair}: a is {a1}, b is {b}, a is {a2}", (op.index,))


def _lost(history: History) -> Iterator[Anomaly]:
    """Each acknowledged increment counts one in every read that began later."""
    increments = sorted(history.acknowledged("increment"), key=lambda op: op.completed_s)
    counts: Counter[int] = Counter()
    done = 0
    for op in sorted(history.acknowledged("read"), key=lambda op: op.invoked_s):
        while done < len(increments) and increments[done].before(op):
            counts[increments[done].value] += 1
            done += 1
        pair, a1 = op.value[:2]
        if a1 < counts[pair]:
            text = f"pair {pair}: a is {a1} after {counts[pair]} acknowledged increments"
            yield Anomaly(LOST_WRITE, text, (op.index,))
