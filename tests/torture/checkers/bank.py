"""bank: every `read` ([[account, balance], …]) and `sum` (one number) has the total, and nothing is negative."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.torture.anomalies import Anomaly
from tests.torture.history import History

WRONG_TOTAL: Final = "wrong total"
NEGATIVE: Final = "negative balance"
UNKNOWN_ACCOUNT: Final = "unknown account"


def check(history: History) -> list[Anomaly]:
    return list(_anomalies(history))


def _anomalies(history: History) -> Iterator[Anomaly]:
    total: int = history.header.parameters["total"]
    accounts = set(range(history.header.parameters["accounts"]))
    for op in history.acknowledged("sum"):
        if op.value != total:
            yield Anomaly(WRONG_TOTAL, f"{op.value} in place of {total}", (op.index,))
    for op in history.acknowledged("read"):
        balances = dict(op.value)
        if sum(balances.values()) != total or len(balances) < len(op.value):
            yield Anomaly(
                WRONG_TOTAL, f"{sum(balances.values())} in place of {total}: {op.value}", (op.index,)
            )
        if min(balances.values(), default=0) < 0:
            yield Anomaly(NEGATIVE, f"{op.value}", (op.index,))
        if balances.keys() != accounts:
            yield Anomaly(UNKNOWN_ACCOUNT, f"{sorted(balances)} are not the accounts", (op.index,))
