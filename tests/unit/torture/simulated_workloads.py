"""The workloads on the simulated database: what their clients do, and a history of each.

They do what `tests/torture/workloads` does by SQL, so that each checker is tried on the operations that it meets.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.torture.anomalies import Level
from tests.torture.history import History
from tests.unit.torture import simulated_rows as rows
from tests.unit.torture import simulated_transactions as few
from tests.unit.torture.simulated import Body, Broken, Client, World

CLIENTS: Final = 6
STEPS: Final = 45


def simulate(
    workload: str, level: Level, seed: int, broken: Broken | None = None, claimed: Level | None = None
) -> History:
    ids = itertools.count(1)
    world = World(workload, level, seed, broken=broken, claimed=claimed, parameters=PARAMETERS.get(workload))
    step, final = WORKLOADS[workload]

    def client(process: int) -> Client:
        for _ in range(STEPS):
            yield from step(world, process, world.rng, ids)

    if workload in PREPARED:
        world.store.broken = None
        world.run([_once(world, PREPARED[workload])])
        world.store.broken = broken
    history = world.run([client(process) for process in range(CLIENTS)])
    if final is not None:
        f, body = final
        history = world.run([world.transaction(0, f, None, body, certain=True)])
    return history


def _once(world: World, body: Body) -> Client:
    transaction = world.store.begin()
    yield from body(transaction)
    transaction.commit()


Workload = tuple[Callable[[World, int, random.Random, Any], Client], tuple[str, Body] | None]
WORKLOADS: Final[Mapping[str, Workload]] = {
    "append": (few.append, ("txn", few.read_all_appends)),
    "bank": (few.bank, None),
    "bank-multitable": (few.bank, None),
    "causal-reverse": (rows.causal_reverse, None),
    "equal-counters": (few.equal_counters, ("final", few.read_counters_and_logs)),
    "foreign-keys": (rows.foreign_keys, ("final", rows.read_family)),
    "insert-delete": (rows.insert_delete, ("final", rows.read_rows_and_journal)),
    "long-fork": (rows.long_fork, None),
    "mav": (rows.mav, None),
    "monotonic": (rows.monotonic, None),
    "predicate": (rows.predicate, None),
    "register": (few.register, None),
    "rw-register": (few.rw_register, ("txn", few.read_all_registers)),
    "sequential": (rows.sequential, None),
    "set": (rows.set_, ("read", rows.read_set)),
    "set-cas": (rows.set_cas, ("read", rows.read_cas)),
    "unique-keys": (rows.unique_keys, ("final", rows.read_slots_and_journal)),
    "write-skew": (rows.write_skew, None),
}
PREPARED: Final[Mapping[str, Body]] = {
    "bank": few.open_bank,
    "bank-multitable": few.open_bank,
    "unique-keys": rows.open_slots,
}
PARAMETERS: Final[Mapping[str, dict[str, Any]]] = {
    "bank": {"total": 100, "accounts": 8},
    "bank-multitable": {"total": 100, "accounts": 8},
    "unique-keys": {"tokens": 4},
}
