"""The short version of `make torture`: one round on a fixed seed and one on a fresh one, under faults."""

from __future__ import annotations

import random

from tests.torture.conftest import OpenArena
from tests.torture.faults.schedule import possible_kinds
from tests.torture.round import Round, RoundOptions, Tally

FIXED_SEED = 20_261_121
ROUND_S = 6.0
"""No less: so there is always time for a fault."""
AT_ONCE = 5
WORKLOADS = ("append", "bank", "register", "equal-counters", "unique-keys", "set-cas", "insert-delete")
SLOW = {"full-disk", "clock", "proxy-crowd"}
"""Kinds of faults that need more than the time there is."""


async def test_nothing_is_violated_under_faults(open_arena: OpenArena) -> None:
    async with open_arena(WORKLOADS) as arena:
        kinds = [kind for kind in possible_kinds(arena.cluster.shape) if kind not in SLOW]
        for seed in (FIXED_SEED, random.SystemRandom().randrange(1 << 32)):
            tally = Tally()
            round_ = Round(arena, RoundOptions(seed, ROUND_S, WORKLOADS, AT_ONCE, kinds), tally)
            violations = await round_.run()
            assert violations == [], round_.told()
            assert tally.orphans == 0
            assert tally.faults > 0
            assert tally.transactions > 100, round_.told()
