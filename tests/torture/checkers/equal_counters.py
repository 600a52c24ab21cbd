"""equal counters (Vitess' fuzzer of two-phase commits): every shard has done the same, in the same order.

`add` has the value [id, amount]; it adds the amount to one counter on each shard and enters its id there. `read`
is [[shard, number of adds, sum], …] of one snapshot. `final`, read when all is quiet, is {"counters": as read,
"logs": [[shard, [id, …]], …]}, the ids in the order in which the shard's counter took them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tests.torture.anomalies import G1A, LOST_WRITE, PHANTOM, Anomaly
from tests.torture.checkers.visibility import told
from tests.torture.history import History, Operation, Outcome

UNEQUAL_COUNTERS: Final = "unequal counters"
DIFFERENT_ORDER: Final = "different order"
DOUBLE: Final = "done twice"


def check(history: History) -> list[Anomaly]:
    return list(_anomalies(history))


def _anomalies(history: History) -> Iterator[Anomaly]:
    adds = {op.value[0]: op for op in history.of("add")}
    for op in history.acknowledged("read"):
        yield from _unequal(op, op.value)
    for op in history.acknowledged("final"):
        yield from _unequal(op, op.value["counters"])
        yield from _logs(op, op.value["counters"], op.value["logs"], adds)


def _unequal(op: Operation, counters: Sequence[Any]) -> Iterator[Anomaly]:
    if len({(number, total) for _, number, total in counters}) > 1:
        yield Anomaly(UNEQUAL_COUNTERS, str(counters), (op.index,))


def _logs(
    final: Operation, counters: Sequence[Any], logs: Sequence[Any], adds: dict[int, Operation]
) -> Iterator[Anomaly]:
    orders = dict(logs)
    first_shard, first = next(iter(orders.items()))
    for shard, ids in orders.items():
        if ids != first:
            at = next((n for n, (a, b) in enumerate(zip(ids, first, strict=False)) if a != b), len(first))
            text = (
                f"{shard} and {first_shard} differ from place {at}: {ids[at : at + 5]}, {first[at : at + 5]}"
            )
            yield Anomaly(DIFFERENT_ORDER, text, (final.index,))
        counts: Counter[int] = Counter(ids)
        twice = [txn for txn, times in counts.items() if times > 1]
        if twice:
            yield Anomaly(DOUBLE, f"{shard}: {told(twice)}", (final.index,))
        yield from _outcomes(final, shard, set(ids), adds)
    for shard, number, total in counters:
        ids = orders[shard]
        amounts = sum(adds[txn].value[1] for txn in ids if txn in adds)
        if (number, total) != (len(ids), amounts):
            text = f"{shard}: {number} adds of {total}, and its log has {len(ids)} of {amounts}"
            yield Anomaly(UNEQUAL_COUNTERS, text, (final.index,))


def _outcomes(final: Operation, shard: str, ids: set[int], adds: dict[int, Operation]) -> Iterator[Anomaly]:
    if missing := {txn for txn, op in adds.items() if op.ok} - ids:
        yield Anomaly(LOST_WRITE, f"{shard}: acknowledged, and not there: {told(missing)}", (final.index,))
    if strange := ids - adds.keys():
        yield Anomaly(PHANTOM, f"{shard}: nobody did {told(strange)}", (final.index,))
    if failed := {txn for txn in ids & adds.keys() if adds[txn].outcome is Outcome.FAIL}:
        yield Anomaly(G1A, f"{shard}: these failed: {told(failed)}", (final.index,))
