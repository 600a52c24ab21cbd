"""The demo's book-keeping: which errors are expected, what makes it fail, and that its transfers are what it
says."""

from __future__ import annotations

import random

import pytest

from proxy.demo.bank import ACCOUNTS, TOTAL, expected_balances
from proxy.demo.faults import GRACE_S, disturb
from proxy.demo.progress import Progress
from proxy.demo.tally import Tally, percentiles
from proxy.demo.transfers import Plan
from txguard.inspector import Finding, Report, Verdict


def test_errors_are_expected_only_around_the_kills() -> None:
    tally = Tally()
    tally.disturb("the proxy", 100.0)
    tally.add(Progress(errors=[(99.0, "before"), (101.0, "while down"), (500.0, "still down")]), 500.0)
    tally.calm("the proxy", 600.0)
    tally.add(Progress(errors=[(599.0, "grace"), (601.0, "after")]), 602.0)
    assert tally.unexpected == ["before", "after"]
    assert tally.expected_errors == 3


def test_an_inspection_that_could_not_check_counts_as_an_error() -> None:
    tally = Tally()
    unchecked = Report((Finding("sum", Verdict.UNCHECKED, "down"),), (), 1.0)
    tally.add_inspection(unchecked, 10.0, 11.0)
    assert tally.unexpected == ["inspector: sum: down"]
    tally.disturb("s2", 15.0)
    tally.add_inspection(unchecked, 14.0, 16.0)  # it began before the kill and met it
    assert (tally.unchecked, tally.expected_errors) == (2, 1)


def test_the_last_line() -> None:
    tally = Tally()
    tally.add(Progress(transfers=7, cross_shard=3, conflicts=2, snapshots=5), 1.0)
    tally.disturb("the proxy", 1.0)
    tally.disturb("s2", 2.0)
    expected = "demo: transfers=7 cross_shard=3 conflicts=2 snapshots=5 violations=0 kills=2 OK"
    assert tally.summary() == expected
    violated = Report((), (Finding("locks", Verdict.VIOLATED, "old"),), 1.0)
    tally.add_inspection(violated, 3.0, 4.0)
    assert tally.summary() == expected.replace("violations=0", "violations=1").replace("OK", "FAILED")


def test_rates_are_of_the_last_seconds() -> None:
    tally = Tally()
    tally.add(Progress(transfers=1000), 1.0)
    tally.add(Progress(transfers=30, snapshots=3), 9.0)
    assert tally.rates(10.0) == (10.0, 1.0)


@pytest.mark.parametrize(
    ("values", "p50", "p99"), [([], 0, 0), ([4], 4, 4), ([3, 1, 2], 2, 3), (list(range(1, 101)), 50, 100)]
)
def test_percentiles(values: list[float], p50: float, p99: float) -> None:
    assert percentiles(values) == (p50, p99)


def test_half_of_the_transfers_cross_shards_and_ids_are_never_used_twice() -> None:
    shards = [list(range(first, ACCOUNTS + 1, 3)) for first in (1, 2, 3)]
    home = {account: number for number, shard in enumerate(shards) for account in shard}
    plans = [Plan(shards, worker, random.Random(worker)) for worker in (1, 2)]
    drawn = [plan.next() for plan in plans for _ in range(2_000)]
    for transfer in drawn:
        assert transfer.source != transfer.target
        assert transfer.amount > 0
        assert transfer.crosses == (home[transfer.source] != home[transfer.target])
    assert len({transfer.id for transfer in drawn}) == len(drawn)
    assert 0.45 < sum(transfer.crosses for transfer in drawn) / len(drawn) < 0.55
    balances = expected_balances((t.source, t.target, t.amount) for t in drawn)
    assert sum(balances.values()) == TOTAL


class Victim:
    def __init__(self, name: str, log: list[str]) -> None:
        self._name, self._log = name, log

    async def kill9(self) -> None:
        self._log.append(f"kill {self._name}")

    async def start(self) -> None:
        self._log.append(f"start {self._name}")


async def test_faults_come_in_order_and_each_is_followed_by_a_grace_period() -> None:
    log: list[str] = []
    tally = Tally()
    await disturb(Victim("proxy", log), Victim("s2", log), "s2", 0.3, tally, log.append)
    assert [line for line in log if line.startswith(("kill p", "start", "kill s"))] == [
        *("kill proxy", "start proxy", "kill s2", "start s2")
    ]
    assert tally.kills == 2
    for disturbance in tally.disturbances:
        assert disturbance.until is not None
        assert disturbance.until - disturbance.since > GRACE_S
