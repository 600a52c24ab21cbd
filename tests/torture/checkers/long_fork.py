"""long fork: two reads of a group of keys, each written once, that cannot be put into one order.

`write` is [group, key], `read` [group, [[key, 0 or 1], …]].
"""

from __future__ import annotations

from collections import defaultdict

from tests.torture.anomalies import Anomaly
from tests.torture.checkers.visibility import incomparable, set_anomalies
from tests.torture.history import History, Operation


def check(history: History) -> list[Anomaly]:
    groups: dict[int, list[tuple[Operation, dict[int, int]]]] = defaultdict(list)
    for op in history.acknowledged("read"):
        group, values = op.value
        groups[group].append((op, dict(values)))
    found: list[Anomaly] = []
    for group, reads in groups.items():
        found += incomparable(reads)
        writes = {op.value[1]: op for op in history.of("write") if op.value[0] == group}
        present = [(op, [key for key, value in values.items() if value]) for op, values in reads]
        found += set_anomalies(present, writes)
    return found
