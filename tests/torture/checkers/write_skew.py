"""write skew: of a key's two transactions each saw nothing of the other and inserted. SERIALIZABLE forbids that.

`insert` is [key, side]; it succeeds only where it saw no row of the key. Snapshot isolation allows both, but not
where one was acknowledged before the other began.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from tests.torture.anomalies import Anomaly, Level
from tests.torture.history import History, Operation

WRITE_SKEW: Final = "write skew"
STALE: Final = "stale read"


def check(history: History) -> list[Anomaly]:
    by_key: dict[int, list[Operation]] = defaultdict(list)
    for op in history.acknowledged("insert"):
        by_key[op.value[0]].append(op)
    found = []
    for key, both in by_key.items():
        who = tuple(op.index for op in both)
        if len(both) > 1 and history.header.level is Level.SERIALIZABLE:
            found.append(Anomaly(WRITE_SKEW, f"key {key}", who))
        if any(one.before(other) for one in both for other in both):
            found.append(Anomaly(STALE, f"key {key}: the later one saw no row", who))
    return found


def skews(history: History) -> int:
    """How many keys both transactions wrote: where it is legal, it should happen, or the workload shows nothing."""
    keys = [op.value[0] for op in history.acknowledged("insert")]
    return len(keys) - len(set(keys))
