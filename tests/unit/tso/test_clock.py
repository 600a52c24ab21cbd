"""The hybrid clock: strictly increasing and below the bound, whatever clocks and restarts do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.tso_store import ManualClock
from tso.clock import BoundReached, HybridClock, physical_ms, timestamp_at
from tso.types import LOGICAL_BITS, Timestamp

WINDOW_MS = 3_000


def serving(physical: ManualClock, above: int = 0) -> HybridClock:
    clock = HybridClock(physical, Timestamp(above))
    clock.raise_bound(clock.next_bound(WINDOW_MS))
    return clock


def test_follows_the_wall_clock() -> None:
    physical = ManualClock()
    clock = serving(physical)
    assert clock.next() == timestamp_at(physical.wall_ms)
    assert clock.next() == timestamp_at(physical.wall_ms) + 1
    physical.advance(5)
    assert clock.next() == timestamp_at(physical.wall_ms)


def test_serves_nothing_without_a_bound() -> None:
    with pytest.raises(BoundReached):
        HybridClock(ManualClock(), Timestamp(0)).next()


def test_serves_nothing_once_closed() -> None:
    clock = serving(ManualClock())
    clock.close()
    with pytest.raises(BoundReached):
        clock.next()


def test_a_batch_is_consecutive_and_counts() -> None:
    clock = serving(ManualClock())
    first = clock.next(10)
    assert clock.last == first + 9
    assert clock.next() == first + 10
    assert clock.served == 11


def test_a_batch_over_the_bound_allocates_nothing() -> None:
    clock = serving(ManualClock())
    last = clock.last
    with pytest.raises(BoundReached):
        clock.next((WINDOW_MS << LOGICAL_BITS) + 1)
    assert clock.last == last


def test_after_a_step_back_time_goes_on_at_the_monotonic_pace() -> None:
    physical = ManualClock()
    clock = serving(physical)
    before = clock.next()
    physical.step(-3_600_000)
    physical.advance(7)
    assert physical_ms(clock.next()) == physical_ms(before) + 7


def test_the_bound_is_a_lease_even_when_the_wall_clock_was_stepped_back() -> None:
    physical = ManualClock()
    clock = serving(physical)
    physical.step(-3_600_000)
    physical.advance(WINDOW_MS - 1)
    clock.next()
    physical.advance(1)
    with pytest.raises(BoundReached):
        clock.next()


def test_starts_above_the_old_bound_when_the_wall_clock_is_behind() -> None:
    physical = ManualClock()
    old_bound = timestamp_at(physical.wall_ms + 60_000)
    clock = serving(physical, above=old_bound)
    assert clock.next() > old_bound
    physical.advance(WINDOW_MS)
    with pytest.raises(BoundReached):
        clock.next()


def test_never_serves_what_was_observed() -> None:
    physical = ManualClock()
    clock = serving(physical)
    seen = Timestamp(timestamp_at(physical.wall_ms + 100) + 7)
    clock.observe(seen)
    assert clock.next() == seen + 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("next"), st.integers(1, 300_000)),
        st.tuples(st.just("advance"), st.integers(0, 10_000)),
        st.tuples(st.just("step"), st.integers(-10_000_000, 10_000_000)),
        st.tuples(st.just("renew"), st.just(0)),
        st.tuples(st.just("restart"), st.integers(-10_000_000, 10_000_000)),
        st.tuples(st.just("clean restart"), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_strictly_increasing_and_below_the_persisted_bound(steps: list[tuple[str, int]]) -> None:
    physical = ManualClock()
    clock, persisted = HybridClock(physical, Timestamp(0)), Timestamp(0)
    highest = 0
    for kind, value in steps:
        match kind:
            case "next":
                try:
                    first = clock.next(value)
                except BoundReached:
                    continue
                assert highest < first
                highest = first + value - 1
                assert highest < persisted
            case "advance":
                physical.advance(value)
            case "step":
                physical.step(value)
            case "renew":
                persisted = max(persisted, clock.next_bound(WINDOW_MS))
                clock.raise_bound(persisted)
            case "restart":  # all that is left is what was persisted
                physical.step(value)
                clock = HybridClock(physical, persisted)
            case "clean restart":
                persisted = Timestamp(clock.last + 1)
                clock = HybridClock(physical, persisted)
