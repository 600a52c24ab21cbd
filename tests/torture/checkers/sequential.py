"""sequential: subkeys inserted one after the other, each acknowledged before the next; none is there without those
before it.

`insert` is [key, subkey]; `read` is [key, [0 or 1 for each subkey in the order of insertion]].
"""

from __future__ import annotations

from typing import Final

from tests.torture.anomalies import Anomaly
from tests.torture.checkers.visibility import set_anomalies
from tests.torture.history import History

NOT_SEQUENTIAL: Final = "not sequential"


def check(history: History) -> list[Anomaly]:
    found = []
    for op in history.acknowledged("read"):
        key, there = op.value
        if there != sorted(there, reverse=True):
            found.append(Anomaly(NOT_SEQUENTIAL, f"key {key}: {there}", (op.index,)))
    writes = {tuple(op.value): op for op in history.of("insert")}
    reads = [
        (op, [(op.value[0], at) for at, present in enumerate(op.value[1]) if present])
        for op in history.acknowledged("read")
    ]
    for key in {op.value[0] for op in history.acknowledged("read")}:
        of_key = {subkey: op for subkey, op in writes.items() if subkey[0] == key}
        found += set_anomalies([read for read in reads if read[0].value[0] == key], of_key)
    return found
