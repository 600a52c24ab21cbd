"""The checkers, by the name of the workload whose histories they read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.torture.anomalies import Anomaly
from tests.torture.checkers import (
    append,
    bank,
    causal_reverse,
    equal_counters,
    foreign_keys,
    insert_delete,
    long_fork,
    mav,
    monotonic,
    predicate,
    register,
    rw_register,
    sequential,
    sets,
    unique_keys,
    write_skew,
)
from tests.torture.history import History

__all__ = ["CHECKERS", "check"]

CHECKERS: Final[Mapping[str, Callable[[History], list[Anomaly]]]] = {
    "append": append.check,
    "bank": bank.check,
    "bank-multitable": bank.check,
    "causal-reverse": causal_reverse.check,
    "equal-counters": equal_counters.check,
    "foreign-keys": foreign_keys.check,
    "insert-delete": insert_delete.check,
    "long-fork": long_fork.check,
    "mav": mav.check,
    "monotonic": monotonic.check,
    "predicate": predicate.check,
    "register": register.check,
    "rw-register": rw_register.check,
    "sequential": sequential.check,
    "set": sets.check,
    "set-cas": sets.check,
    "unique-keys": unique_keys.check,
    "write-skew": write_skew.check,
}


def check(history: History) -> list[Anomaly]:
    """Everything that the history's level forbids and that can be seen in it."""
    return CHECKERS[history.header.workload](history)
