"""predicate: rows 2i and 2i + 1 are inserted in one transaction; a select of all rows has both or none.

`insert` has i as its value, `read` is [id, …].
"""

from __future__ import annotations

from typing import Final

from tests.torture.anomalies import Anomaly
from tests.torture.checkers.visibility import set_anomalies, told
from tests.torture.history import History

HALF: Final = "half a transaction"


def check(history: History) -> list[Anomaly]:
    writes = {op.value: op for op in history.of("insert")}
    reads = [(op, set(op.value)) for op in history.acknowledged("read")]
    found = list(set_anomalies([(op, {row // 2 for row in rows}) for op, rows in reads], writes))
    for op, rows in reads:
        if half := {row for row in rows if row ^ 1 not in rows}:
            found.append(Anomaly(HALF, f"without their other row: {told(half)}", (op.index,)))
    return found
