"""The protocol's model keeps strict snapshot isolation, and each of its rules is needed for that."""

from __future__ import annotations

import random

import pytest

from tests.model import commit_protocol as model

FIXED_SEEDS, FRESH_SEEDS = 4_000, 1_000


def test_no_schedule_violates_snapshot_isolation() -> None:
    assert model.violations(range(FIXED_SEEDS)) == {}


def test_no_fresh_schedule_violates_snapshot_isolation() -> None:
    first = random.SystemRandom().randrange(1 << 40)
    assert model.violations(range(first, first + FRESH_SEEDS)) == {}, f"seeds from {first}"


def test_the_schedules_commit_and_crash_enough_to_mean_something() -> None:
    runs = [model.run(seed) for seed in range(300)]
    assert sum(run.acknowledged for run in runs) > 3_000
    assert sum(run.crashes for run in runs) > 100


@pytest.mark.parametrize(
    ("rule", "violation", "seeds"),
    [
        ("FIRST_COMMITTER_WINS", "a lost update", 200),
        ("BARRIER", "a read is not that of its snapshot", 200),
        ("TOO_NEW_VERSIONS", "a read is not that of its snapshot", 200),
        ("DEPENDENCIES", "undo over a newer version", 1_000),
        ("VALIDATED_READS", "a dirty read", 1_000),
        ("CLEAN_ONLY_UNLOCKED", "the final state is not that of the committed transactions", 3_000),
    ],
)
def test_every_rule_is_needed(rule: str, violation: str, seeds: int) -> None:
    found = model.violations(range(seeds), frozenset({model.Rule[rule]}))
    assert found[violation] > 0, found
