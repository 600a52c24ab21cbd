"""Each checker finds a fault that was planted in the real thing: a rule of the protocol switched off by a failpoint.

A delay or an error of some prewrites makes what the rule guards against happen often; with the rule in force the same
delays and errors do no harm.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.torture import aftermath
from tests.torture.anomalies import Level
from tests.torture.arena import Arena
from tests.torture.checkers import CHECKERS
from tests.torture.conftest import OpenArena, restart_proxies
from tests.torture.round import Round, RoundOptions, Tally

ROUND_S = 3.0
ROUNDS = 30
"""How many may pass until every checker has found something."""
LATE = "prewrite_before_send=sleep:0.03%0.3"
FAILED = "prewrite_before_send=error%0.2;resolve_before_tombstone=sleep:0.05"
PLANTED = {
    f"without_R1=on;{LATE}": {
        "append",
        "rw-register",
        "set-cas",
        "monotonic",
        "mav",
        "insert-delete",
        "unique-keys",
    },
    f"without_R2=on;{LATE}": {"bank", "predicate", "equal-counters"},
    "without_R3=on": {"long-fork", "sequential", "causal-reverse", "bank"},
    f"without_R2=on;without_R5=on;{FAILED}": {"set", "register", "foreign-keys"},
}
TRIED = set().union(*PLANTED.values()) | {"write-skew"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena(open_any_arena: OpenArena) -> AsyncIterator[Arena]:
    async with open_any_arena(TRIED) as opened:
        yield opened


def round_of(arena: Arena, workloads: set[str]) -> Round:
    seed = random.SystemRandom().randrange(1 << 32)
    names = sorted(workloads)
    return Round(arena, RoundOptions(seed, ROUND_S, names, len(names), (), levels=[Level.SNAPSHOT]), Tally())


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("failpoints", PLANTED)
async def test_a_rule_left_out_is_found(arena: Arena, failpoints: str) -> None:
    await restart_proxies(arena, failpoints)
    missing = set(PLANTED[failpoints])
    for _ in range(ROUNDS):
        round_ = round_of(arena, missing)
        await round_.load()
        await round_.finish()
        missing -= {name for name, anomalies in round_.anomalies().items() if anomalies}
        if not missing:
            return
    raise AssertionError(f"with {failpoints} nothing was found by {missing}")


@pytest.mark.asyncio(loop_scope="module")
async def test_with_all_rules_nothing_is_found(arena: Arena) -> None:
    await restart_proxies(arena, FAILED)
    round_ = round_of(arena, TRIED)
    assert await round_.run() == [], round_.told()


@pytest.mark.asyncio(loop_scope="module")
async def test_write_skew_happens_and_would_be_seen(arena: Arena) -> None:
    """Under snapshot isolation it is legal; a SERIALIZABLE that is none would be found so."""
    await restart_proxies(arena, "")
    for _ in range(ROUNDS):
        round_ = round_of(arena, {"write-skew", "append"})
        await round_.load()
        assert not any(round_.anomalies().values())
        if all(round_.anomalies(Level.SERIALIZABLE).values()):
            return
    raise AssertionError("no write skew")


@pytest.mark.asyncio(loop_scope="module")
async def test_dependencies_left_out_leave_orphans(arena: Arena) -> None:
    """Without [R4] an undo meets newer versions, and never ends. The last test: nothing heals it."""
    await restart_proxies(arena, f"without_R4=on;{FAILED}")
    round_ = round_of(arena, {"equal-counters", "register"})
    async with asyncio.timeout(60):
        await round_.load()
        assert any((await aftermath.left_behind(arena, 2.0)).values())


def test_every_checker_is_tried() -> None:
    """That of bank-multitable is bank's."""
    assert TRIED | {"bank-multitable"} == set(CHECKERS)
