"""causal reverse: a write is visible, and one that was acknowledged before it began is not.

`insert` has the element as its value, `read` is [element, …].
"""

from __future__ import annotations

from typing import Final

from tests.torture.anomalies import Anomaly
from tests.torture.checkers.visibility import set_anomalies
from tests.torture.history import History

CAUSAL_REVERSE: Final = "causal reverse"


def check(history: History) -> list[Anomaly]:
    writes = {op.value: op for op in history.of("insert")}
    reads = [(op, op.value) for op in history.acknowledged("read")]
    found = list(set_anomalies(reads, writes))
    for op, elements in reads:
        visible = set(elements)
        latest = max(
            (writes[element] for element in visible if element in writes),
            key=lambda write: write.invoked_s,
            default=None,
        )
        for element, write in writes.items():
            if latest is not None and element not in visible and write.before(latest):
                text = f"{latest.value} is there, {element} was acknowledged before it and is not"
                found.append(Anomaly(CAUSAL_REVERSE, text, (op.index, write.index, latest.index)))
    return found
