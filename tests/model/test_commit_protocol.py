"""The protocol's model keeps all its promises, whatever crashes, freezes, restarts or fails over.

TXGUARD_MODEL_SEEDS says how many schedules are run, 2,000 by default, a third of them with fresh seeds.
"""

from __future__ import annotations

import os
import random

from tests.model import commit_protocol as model

SEEDS = int(os.environ.get("TXGUARD_MODEL_SEEDS", "2000"))


def test_no_schedule_violates_a_promise() -> None:
    assert model.violations(range(SEEDS * 2 // 3)) == {}


def test_no_fresh_schedule_violates_a_promise() -> None:
    first = random.SystemRandom().randrange(1 << 40)
    assert model.violations(range(first, first + SEEDS // 3)) == {}, f"seeds from {first}"


def test_the_schedules_hold_enough_of_everything_to_mean_something() -> None:
    runs = [model.run(seed) for seed in range(300)]
    assert sum(run.acknowledged for run in runs) > 1_800
    assert sum(run.serializable for run in runs) > 300
    assert sum(run.crashes for run in runs) > 300
    assert sum(run.freezes for run in runs) > 200
    assert sum(run.restarts for run in runs) > 50
    assert sum(run.fail_overs for run in runs) > 20
    assert sum(run.cleaned for run in runs) > 200
