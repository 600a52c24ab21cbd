"""The lease and its election over random schedules: one leader at a time, timestamps that ascend, no time lost.

The world is `tests.fakes.election_world`. Each rule is left out once, which must be seen.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tests.fakes import election_world
from tests.fakes.election_world import BLANK, LEASE_MS, Faults, Member, Violation, World, random_life, write
from tso import election, store
from tso.clock import NS_PER_MS, HybridClock, timestamp_at
from tso.copies import Claim, Renew, Reply, Request, Row
from tso.election import Watch, patience_ns
from tso.lease import Lease
from tso.store import Candidacy, make_candidacy
from tso.types import Timestamp

EVERYTHING = Faults(lost=0.03, slow=0.05, pause=0.008, rate=0.015, wall_step_ms=3_600_000, step=1.0)
"""Two clocks that differ by 3 percent of their rate, which is what the rule allows for."""
SCHEDULES = 2_000
FRESH = 100
SCHEDULE_MS = 8_000


def schedule(seed: int, faults: Faults = EVERYTHING) -> World:
    chance = random.Random(seed)
    world = World(seed, chance.choice((2, 3)), chance.choice((1, 2, 3, 3, 3, 4, 5)), faults)
    random_life(world, SCHEDULE_MS)
    world.heal()
    world.run_until_served(10_000)
    return world


def run_all(seeds: Iterable[int], faults: Faults = EVERYTHING) -> tuple[int, int]:
    served = leaders = 0
    for seed in seeds:
        try:
            world = schedule(seed, faults)
        except Violation as violation:
            raise Violation(f"seed {seed}: {violation}") from violation
        served += world.served
        leaders += len(world.leaders)
    return served, leaders


@pytest.fixture(autouse=True)
def quiet_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


class TestRandomSchedules:
    @pytest.mark.parametrize("quarter", range(4))
    def test_fixed(self, quarter: int) -> None:
        share = SCHEDULES // 4
        served, leaders = run_all(range(quarter * share, (quarter + 1) * share))
        assert served > 100 * share, "otherwise nothing was tried"
        assert leaders > share

    def test_fresh(self) -> None:
        first = random.SystemRandom().randrange(1 << 40)
        run_all(range(first, first + FRESH))


class TestEachRuleIsNeeded:
    def must_fail(self) -> None:
        with pytest.raises(Violation, match=r"two leases|serves"):
            run_all(range(400))

    def test_waiting_for_the_whole_lease(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(election, "patience_ns", lambda lease_ms: lease_ms * NS_PER_MS // 2)
        self.must_fail()

    def test_a_majority(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "majority", lambda copies: max(1, copies // 2))
        self.must_fail()

    def test_the_highest_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def lowest(rows: Mapping[int, Row], *others: Any) -> Candidacy:
            return make_candidacy(rows, *others)._replace(bound=min(row.bound for row in rows.values()))

        monkeypatch.setattr(election, "make_candidacy", lowest)
        self.must_fail()

    def test_claiming_only_what_was_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def careless(row: Row, request: Request) -> tuple[Row, Reply]:
            return write(row, Claim(row, request.row) if isinstance(request, Claim) else request)

        monkeypatch.setattr(election_world, "write", careless)
        self.must_fail()

    def test_no_renewal_under_a_newer_epoch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def careless(row: Row, request: Request) -> tuple[Row, Reply]:
            return write(row._replace(epoch=0) if isinstance(request, Renew) else row, request)

        monkeypatch.setattr(election_world, "write", careless)
        self.must_fail()

    def test_a_renewal_that_shows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Bounds that rise only every two seconds."""
        step = timestamp_at(2_000)

        def coarse(clock: HybridClock, window_ms: int) -> Timestamp:
            return Timestamp((clock.last // step + 2) * step)

        monkeypatch.setattr(HybridClock, "next_bound", coarse)
        monkeypatch.setattr(
            Lease, "_asked", property(lambda lease: 0, lambda lease, value: None), raising=False
        )
        self.must_fail()

    def test_a_lease_that_begins_before_its_renewal_is_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        renew = Lease.renew

        async def from_the_answer(lease: Lease) -> None:
            await renew(lease)
            lease._until_ns = lease._physical.monotonic_ns() + LEASE_MS * NS_PER_MS

        monkeypatch.setattr(Lease, "renew", from_the_answer)
        self.must_fail()

    def test_a_bound_that_is_durable_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        next_bound = HybridClock.next_bound

        def hasty(clock: HybridClock, window_ms: int) -> Timestamp:
            clock.raise_bound(bound := next_bound(clock, window_ms))
            return bound

        monkeypatch.setattr(HybridClock, "next_bound", hasty)
        self.must_fail()


class TestTakeover:
    """On copies that answer, and one that does not."""

    @staticmethod
    def world(seed: int) -> tuple[World, Member]:
        world = World(seed, 2 + seed % 2, 3, Faults(rate=0.015))
        for member in world.members:
            member.start()
        world.run(2_000 + world.chance.uniform(0, 1_000))
        [leader] = [member for member in world.members if member.lease is not None]
        world.copies[0].up = bool(seed % 3)
        return world, leader

    def test_after_a_kill(self) -> None:
        def takeover_ms(seed: int) -> float:
            world, leader = self.world(seed)
            leader.kill()
            return world.run_until_served(10_000)

        assert max(takeover_ms(seed) for seed in range(300)) < 2_300

    def test_after_a_stop(self) -> None:
        def takeover_ms(seed: int) -> float:
            world, leader = self.world(seed)
            leader.pause(60_000)
            return world.run_until_served(10_000)

        assert max(takeover_ms(seed) for seed in range(300)) < 2_300

    def test_after_a_clean_end(self) -> None:
        def takeover_ms(seed: int) -> float:
            world, leader = self.world(seed)
            leader.stopping = True
            while leader.lease is not None:
                world.run(1)
            return world.run_until_served(10_000)

        assert max(takeover_ms(seed) for seed in range(300)) < 500

    def test_no_takeover_without_need(self) -> None:
        """Also with a copy that is down, and wall clocks that are set by hours."""
        for seed in range(50):
            world, leader = self.world(seed)
            for member in world.members:
                member.clock.wall_error_ns = world.chance.randrange(-(10**13), 10**13)
            world.run(10_000)
            assert leader.lease is not None
            assert world.leaders == {leader.lease.epoch}

    def test_a_minority_elects_nobody(self) -> None:
        world, _ = self.world(1)
        world.copies[0].up = world.copies[1].up = False
        with pytest.raises(Violation, match="nobody serves"):
            world.run(LEASE_MS)
            world.run_until_served(10_000)
        world.copies[1].up = True
        world.run_until_served(5_000)


class TestCandidacy:
    A, B = Row(4, Timestamp(400), 1_500, "a"), Row(5, Timestamp(300), 1_500, "b")

    def test_is_above_all_that_was_read(self) -> None:
        rows = {0: self.A, 1: self.B}
        assert make_candidacy(rows, rows, 3) == (rows, 6, 400, 2)
        assert make_candidacy(rows, rows, 3, newest_epoch=9).epoch == 10

    def test_a_blank_copy_makes_all_of_them_needed(self) -> None:
        """The one that is missing may be the only one that knows the last leader's bound."""
        rows = {0: self.A, 2: BLANK}
        assert make_candidacy(rows, rows, 3).needed == 3
        watch = Watch(3)
        assert watch.candidacy(rows, 0) is None
        assert watch.candidacy(rows, 10**12) is None
        assert watch.candidacy({**rows, 1: self.B}, 10**12) is None
        assert watch.candidacy({**rows, 1: self.B}, 2 * 10**12) is not None

    def test_a_row_that_changes_begins_anew(self) -> None:
        watch, end_ns = Watch(1), patience_ns(1_500)
        assert watch.candidacy({0: self.A}, 0) is None
        renewed = self.A._replace(bound=Timestamp(401))
        assert watch.candidacy({0: renewed}, end_ns) is None
        assert watch.candidacy({0: renewed}, 2 * end_ns - 1) is None
        assert watch.candidacy({0: renewed}, 2 * end_ns) is not None
        assert watch.leader() == renewed

    def test_what_was_released_is_free_at_once(self) -> None:
        released = self.B._replace(lease_ms=0)
        candidacy = Watch(3).candidacy({0: released, 1: released, 2: self.A}, 0)
        assert candidacy is not None
        assert candidacy.rows.keys() == {0, 1}, "the third may still be in use, for all one can tell"

    def test_a_clock_that_is_fast_by_three_percent_waits_long_enough(self) -> None:
        assert patience_ns(LEASE_MS) / 1.03 > LEASE_MS * NS_PER_MS
