"""Histories written by hand, briefly: one row an operation, in the order of the invocations."""

from __future__ import annotations

import math
from typing import Any

from tests.torture.anomalies import Level
from tests.torture.checkers import check
from tests.torture.history import Header, History, Operation, Outcome

OK, FAIL, INFO = Outcome.OK, Outcome.FAIL, Outcome.INFO


def op(
    f: str, value: Any, begins: float = 0.0, ends: float = 100.0, outcome: Outcome = OK, process: int = 0
) -> Operation:
    """Unless it is told otherwise it overlaps with every other one."""
    return Operation(
        0, process, f, value, outcome, begins, math.inf if outcome is Outcome.INFO else ends, None
    )


def history(
    workload: str, *operations: Operation, level: Level = Level.SNAPSHOT, **parameters: Any
) -> History:
    numbered = (
        Operation(n, n, o.f, o.value, o.outcome, o.invoked_s, o.completed_s, o.error)
        for n, o in enumerate(operations)
    )
    return History(Header(workload, level, 0, parameters), tuple(numbered))


def names(
    workload: str, *operations: Operation, level: Level = Level.SNAPSHOT, **parameters: Any
) -> set[str]:
    """Of the anomalies that the workload's checker finds."""
    return {anomaly.name for anomaly in check(history(workload, *operations, level=level, **parameters))}
