"""set: `add` puts one element in; every `read` ([element, …]) holds what was acknowledged before it began.

The same for a set of rows and for a set in one row that is read, changed and written back.
"""

from __future__ import annotations

from collections import Counter

from tests.torture.anomalies import DUPLICATE, Anomaly
from tests.torture.checkers.visibility import set_anomalies, told
from tests.torture.history import History


def check(history: History) -> list[Anomaly]:
    reads = [(op, op.value) for op in history.acknowledged("read")]
    writes = {op.value: op for op in history.of("add")}
    found = list(set_anomalies(reads, writes))
    for op, elements in reads:
        twice = [element for element, times in Counter(elements).items() if times > 1]
        if twice:
            found.append(Anomaly(DUPLICATE, told(twice), (op.index,)))
    return found
