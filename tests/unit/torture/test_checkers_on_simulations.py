"""Every checker on a simulated database: silent where the level is kept, not silent where a rule of it is broken."""

from __future__ import annotations

import random

import pytest

from tests.torture import anomalies as a
from tests.torture.anomalies import Level
from tests.torture.checkers import CHECKERS, check
from tests.torture.checkers.write_skew import skews
from tests.unit.torture.simulated import Broken
from tests.unit.torture.simulated_workloads import WORKLOADS, simulate

SEEDS = range(6)
SNAPSHOTS = (Level.SNAPSHOT, Level.SERIALIZABLE)

PLANTED = [
    ("append", Broken.FIRST_COMMITTER_WINS, {a.INCOMPATIBLE_ORDER, a.LOST_UPDATE}),
    ("append", Broken.ONE_SNAPSHOT, {a.G_SINGLE, a.LONG_FORK, a.INTERNAL}),
    ("append", Broken.CLEAN_READS, {a.G1A, a.G1B, a.G1C}),
    ("append", Broken.FRESH_SNAPSHOT, {a.G_SINGLE + a.REALTIME}),
    ("append", Broken.DURABILITY, {a.G_SINGLE + a.REALTIME}),
    ("append", Broken.ATOMICITY, {a.G_SINGLE + a.REALTIME, a.G_SINGLE}),
    ("rw-register", Broken.FIRST_COMMITTER_WINS, {a.INCOMPATIBLE_ORDER, a.LOST_UPDATE}),
    ("rw-register", Broken.ONE_SNAPSHOT, {a.G_SINGLE, a.LONG_FORK, a.INTERNAL}),
    ("rw-register", Broken.CLEAN_READS, {a.G1A, a.G1B, a.G1C}),
    ("rw-register", Broken.FRESH_SNAPSHOT, {a.G_SINGLE + a.REALTIME}),
    ("rw-register", Broken.DURABILITY, {a.LOST_WRITE}),
    ("bank", Broken.FIRST_COMMITTER_WINS, {"wrong total"}),
    ("bank", Broken.ONE_SNAPSHOT, {"wrong total"}),
    ("bank-multitable", Broken.ONE_SNAPSHOT, {"wrong total"}),
    ("bank", Broken.CLEAN_READS, {"wrong total"}),
    ("bank", Broken.ATOMICITY, {"wrong total"}),
    ("register", Broken.FIRST_COMMITTER_WINS, {"not linearizable"}),
    ("register", Broken.CLEAN_READS, {"not linearizable"}),
    ("register", Broken.FRESH_SNAPSHOT, {"not linearizable"}),
    ("register", Broken.DURABILITY, {"not linearizable"}),
    ("equal-counters", Broken.FIRST_COMMITTER_WINS, {"unequal counters", "different order", a.LOST_WRITE}),
    ("equal-counters", Broken.ATOMICITY, {"unequal counters"}),
    ("equal-counters", Broken.ONE_SNAPSHOT, {"unequal counters"}),
    ("equal-counters", Broken.DURABILITY, {a.LOST_WRITE}),
    ("set", Broken.DURABILITY, {a.LOST_WRITE}),
    ("set", Broken.CLEAN_READS, {a.G1A}),
    ("set", Broken.FRESH_SNAPSHOT, {a.LOST_WRITE}),
    ("set-cas", Broken.FIRST_COMMITTER_WINS, {a.LOST_WRITE}),
    ("monotonic", Broken.FIRST_COMMITTER_WINS, {a.LOST_UPDATE, "not monotonic"}),
    ("monotonic", Broken.ONE_SNAPSHOT, {a.LONG_FORK}),
    ("monotonic", Broken.FRESH_SNAPSHOT, {"not monotonic", a.LOST_WRITE}),
    ("long-fork", Broken.ONE_SNAPSHOT, {a.LONG_FORK}),
    ("long-fork", Broken.FRESH_SNAPSHOT, {a.LOST_WRITE}),
    ("sequential", Broken.ONE_SNAPSHOT, {"not sequential"}),
    ("sequential", Broken.DURABILITY, {"not sequential"}),
    ("causal-reverse", Broken.ONE_SNAPSHOT, {"causal reverse"}),
    ("causal-reverse", Broken.DURABILITY, {"causal reverse"}),
    ("mav", Broken.ATOMICITY, {"not a monotonic atomic view"}),
    ("mav", Broken.FIRST_COMMITTER_WINS, {"not a monotonic atomic view", a.LOST_WRITE}),
    ("predicate", Broken.ATOMICITY, {"half a transaction"}),
    ("predicate", Broken.CLEAN_READS, {"half a transaction"}),
    ("unique-keys", Broken.FIRST_COMMITTER_WINS, {a.LOST_UPDATE}),
    ("unique-keys", Broken.ATOMICITY, {"the journal tells something else"}),
    ("unique-keys", Broken.DURABILITY, {a.LOST_WRITE}),
    ("insert-delete", Broken.FIRST_COMMITTER_WINS, {"deleted twice", a.LOST_UPDATE}),
    ("insert-delete", Broken.ATOMICITY, {"the journal tells something else"}),
    ("insert-delete", Broken.DURABILITY, {a.LOST_WRITE}),
    ("foreign-keys", Broken.ATOMICITY, {"a child without its parent", a.LOST_WRITE}),
    ("foreign-keys", Broken.ONE_SNAPSHOT, {"a child without its parent"}),
    ("foreign-keys", Broken.FIRST_COMMITTER_WINS, {"a child without its parent"}),
    ("write-skew", Broken.FRESH_SNAPSHOT, {"stale read"}),
]


@pytest.mark.parametrize("level", SNAPSHOTS)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_kept_level_shows_no_anomaly(workload: str, level: Level) -> None:
    for seed in [*SEEDS[:3], random.SystemRandom().randrange(1 << 40)]:
        history = simulate(workload, level, seed)
        assert check(history) == [], f"seed {seed}"
        assert sum(op.ok for op in history.operations) > 40


@pytest.mark.parametrize("workload", ["append", "rw-register"])
def test_read_committed_shows_nothing_that_it_forbids(workload: str) -> None:
    for seed in [*SEEDS, random.SystemRandom().randrange(1 << 40)]:
        assert check(simulate(workload, Level.READ_COMMITTED, seed)) == [], f"seed {seed}"


@pytest.mark.parametrize("workload", ["append", "rw-register"])
def test_read_committed_is_seen_not_to_be_snapshot_isolation(workload: str) -> None:
    histories = [simulate(workload, Level.READ_COMMITTED, seed, claimed=Level.SNAPSHOT) for seed in range(4)]
    found = {anomaly.name for history in histories for anomaly in check(history)}
    assert found & {a.LOST_UPDATE, a.G_SINGLE, a.INTERNAL}


@pytest.mark.parametrize(
    ("workload", "name"),
    [("append", a.G2_ITEM), ("rw-register", a.G2_ITEM), ("write-skew", "write skew")],
)
def test_snapshot_isolation_is_seen_not_to_be_serializable(workload: str, name: str) -> None:
    histories = [simulate(workload, Level.SNAPSHOT, seed, claimed=Level.SERIALIZABLE) for seed in SEEDS]
    found = [anomaly.name for history in histories for anomaly in check(history)]
    assert set(found) <= {name, name + a.REALTIME}
    assert name in found


def test_write_skew_happens_where_it_is_legal() -> None:
    assert sum(skews(simulate("write-skew", Level.SNAPSHOT, seed)) for seed in SEEDS) > 0


@pytest.mark.parametrize(("workload", "broken", "names"), PLANTED)
def test_a_broken_rule_is_found(workload: str, broken: Broken, names: set[str]) -> None:
    found: set[str] = set()
    for seed in SEEDS:
        found |= {anomaly.name for anomaly in check(simulate(workload, Level.SNAPSHOT, seed, broken))}
        if found & names:
            return
    raise AssertionError(f"found only {found}")


def test_every_checker_is_tried() -> None:
    assert set(WORKLOADS) == set(CHECKERS)
    assert {workload for workload, _, _ in PLANTED} == set(CHECKERS)
