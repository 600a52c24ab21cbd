"""causal reverse: a write is visible, and one that was acknowledged before it began is not.

`insert` has the element as its value, `read` is [element, …].
"""

from __future__ import annotations

import bisect
from typing import Final

from tests.torture.anomalies import Anomaly
from tests.torture.checkers.visibility import set_anomalies, told
from tests.torture.history import History

CAUSAL_REVERSE: Final = "causal reverse"


def check(history: History) -> list[Anomaly]:
    writes = {op.value: op for op in history.of("insert")}
    reads = [(op, op.value) for op in history.acknowledged("read")]
    found = list(set_anomalies(reads, writes))
    acknowledged = sorted(history.acknowledged("insert"), key=lambda op: op.completed_s)
    elements, completions = [op.value for op in acknowledged], [op.completed_s for op in acknowledged]
    for op, visible in reads:
        present = [writes[element] for element in visible if element in writes]
        if not present:
            continue
        latest = max(present, key=lambda write: write.invoked_s)
        due = elements[: bisect.bisect_left(completions, latest.invoked_s)]
        if missing := set(due).difference(visible):
            text = f"{latest.value} is there; acknowledged before it began, and not there: {told(missing)}"
            found.append(Anomaly(CAUSAL_REVERSE, text, (op.index, latest.index)))
    return found
