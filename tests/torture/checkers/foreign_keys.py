"""foreign keys within a shard: no child without its parent, in any snapshot and in the end.

`read` and `final` are [[parent, …], [[parent, child], …]]; `enter` is [child's id, parent]. A parent is deleted only
together with its children, by `remove`, whose value is [parent, [child's id, …]] as it found them. A child's id is
used once, so that one that is there after its removal was acknowledged has come back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.torture.anomalies import G1A, LOST_WRITE, Anomaly
from tests.torture.checkers.visibility import told
from tests.torture.history import History, Outcome

ORPHAN: Final = "a child without its parent"
COME_BACK: Final = "a removed child is there"


def check(history: History) -> list[Anomaly]:
    return list(_anomalies(history))


def _anomalies(history: History) -> Iterator[Anomaly]:
    entered = {op.value[0]: op for op in history.of("enter")}
    removed = {
        child: op for op in history.of("remove") if op.outcome is not Outcome.FAIL for child in op.value[1]
    }
    for op in history.acknowledged("read", "final"):
        parents, children = op.value
        if orphans := {child for parent, child in children if parent not in parents}:
            yield Anomaly(ORPHAN, told(orphans), (op.index,))
        present = {child for _, child in children}
        failed = {c for c in present if c in entered and entered[c].outcome is Outcome.FAIL}
        if failed:
            yield Anomaly(G1A, f"these failed: {told(failed)}", (op.index,))
        if back := {child for child in present if child in removed and removed[child].before(op)}:
            yield Anomaly(COME_BACK, told(back), (op.index,))
        if op.f == "final":
            due = {child for child, enter in entered.items() if enter.ok} - removed.keys()
            if missing := due - present:
                yield Anomaly(LOST_WRITE, f"acknowledged, and not there: {told(missing)}", (op.index,))
