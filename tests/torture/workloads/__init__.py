"""The workloads, by the name under which their histories are checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.torture.workloads.append import Append
from tests.torture.workloads.bank import Bank, BankMultitable
from tests.torture.workloads.causal_reverse import CausalReverse
from tests.torture.workloads.equal_counters import EqualCounters
from tests.torture.workloads.foreign_keys import ForeignKeys
from tests.torture.workloads.insert_delete import InsertDelete
from tests.torture.workloads.long_fork import LongFork
from tests.torture.workloads.mav import Mav
from tests.torture.workloads.monotonic import Monotonic
from tests.torture.workloads.predicate import Predicate
from tests.torture.workloads.register import Register
from tests.torture.workloads.rw_register import RwRegister
from tests.torture.workloads.sequential import Sequential
from tests.torture.workloads.sets import Set, SetCas
from tests.torture.workloads.unique_keys import UniqueKeys
from tests.torture.workloads.workload import Workload
from tests.torture.workloads.write_skew import WriteSkew

__all__ = ["WORKLOADS", "Workload"]

_ALL: Final[tuple[type[Workload], ...]] = (
    Append,
    Bank,
    BankMultitable,
    CausalReverse,
    EqualCounters,
    ForeignKeys,
    InsertDelete,
    LongFork,
    Mav,
    Monotonic,
    Predicate,
    Register,
    RwRegister,
    Sequential,
    Set,
    SetCas,
    UniqueKeys,
    WriteSkew,
)
WORKLOADS: Final[Mapping[str, type[Workload]]] = {workload.name: workload for workload in _ALL}
