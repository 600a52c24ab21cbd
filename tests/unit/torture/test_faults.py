"""Toxics, schedules and keys: chosen by the seed, and doing what their names say."""

from __future__ import annotations

import itertools
import random
from collections import Counter

from tests.torture.checkers import CHECKERS
from tests.torture.cluster import Shape
from tests.torture.faults import toxics
from tests.torture.faults.schedule import KINDS, PLACES, possible_kinds, schedule
from tests.torture.faults.toxics import Direction, End, Send, Wait
from tests.torture.workloads import WORKLOADS
from tests.torture.workloads.append import ACTIVE_KEYS, KeyPool
from txguard.engine import failpoints

UP, DOWN = Direction.UP, Direction.DOWN


def test_a_cut_lets_exactly_so_many_bytes_through() -> None:
    cut = toxics.Cut(UP, 5, End.CLOSE)
    assert list(cut.steps(UP, b"abc", 0)) == [Send(b"abc")]
    assert list(cut.steps(UP, b"defg", 3)) == [Send(b"de"), End.CLOSE]
    assert list(cut.steps(UP, b"x", 9)) == [Send(b""), End.CLOSE]
    assert list(cut.steps(DOWN, b"abcdefgh", 0)) == [Send(b"abcdefgh")]


def test_a_slicer_loses_nothing() -> None:
    steps = list(toxics.Slicer(3, 0.001).steps(UP, b"abcdefgh", 0))
    assert b"".join(step.data for step in steps if isinstance(step, Send)) == b"abcdefgh"
    assert max(len(step.data) for step in steps if isinstance(step, Send)) == 3


def test_waiting_toxics() -> None:
    assert list(toxics.Latency(0.2).steps(UP, b"a", 0)) == [Wait(0.2), Send(b"a")]
    assert list(toxics.Bandwidth(100).steps(UP, b"a" * 50, 0)) == [Wait(0.5), Send(b"a" * 50)]
    assert list(toxics.TimeOut(2).steps(UP, b"a", 0)) == [Wait(2), End.CLOSE]
    assert list(toxics.SlowClose(2).at_close()) == [Wait(2)]


def test_a_black_hole_of_one_direction_lets_the_other_pass() -> None:
    assert list(toxics.BlackHole(UP).steps(DOWN, b"a", 0)) == [Send(b"a")]
    assert list(toxics.BlackHole(UP).steps(UP, b"a", 0)) == [toxics.FOREVER, Send(b"a")]
    assert list(toxics.BlackHole(None).steps(DOWN, b"a", 0)) == [toxics.FOREVER, Send(b"a")]


def test_a_reset_is_also_for_those_who_come() -> None:
    assert list(toxics.ResetPeer().at_connect()) == [End.RESET]
    assert list(toxics.ResetPeer().steps(UP, b"a", 0)) == [End.RESET]


def test_a_schedule_follows_from_its_seed() -> None:
    shape = Shape()
    kinds = possible_kinds(shape)
    once, again = (list(map(str, schedule(random.Random(3), 60, shape, kinds))) for _ in range(2))
    other = list(map(str, schedule(random.Random(4), 60, shape, kinds)))
    assert once == again != other


def test_a_schedule_ends_in_time_and_combines_faults() -> None:
    planned = schedule(random.Random(3), 600, Shape(), possible_kinds(Shape()))
    assert all(fault.at_s + fault.lasts_s <= 600 for fault in planned)
    overlaps = [
        later for earlier, later in itertools.pairwise(planned) if later.at_s < earlier.at_s + earlier.lasts_s
    ]
    assert len(planned) > 100
    assert 0.1 < len(overlaps) / len(planned) < 0.5


def test_every_kind_of_fault_and_every_toxic_comes() -> None:
    shape = Shape(small_disk=True, fake_clock=None)
    planned = schedule(random.Random(1), 5_000, shape, list(KINDS))
    faults = Counter(type(fault.fault).__name__ for fault in planned)
    assert len(faults) == len(KINDS)
    assert faults["Poison"] > faults["FullDisk"]
    rng = random.Random(1)
    kinds = {type(toxics.random_toxic(rng)).__name__ for _ in range(300)}
    assert kinds == {toxic.__name__ for toxic in toxics.Toxic.__subclasses__()}


def test_faults_that_the_machine_cannot_do_are_left_out() -> None:
    assert {"full-disk", "clock"}.isdisjoint(possible_kinds(Shape(small_disk=False, fake_clock=None)))
    assert "full-disk" in possible_kinds(Shape(small_disk=True))


def test_every_place_of_the_commit_is_a_place_to_crash() -> None:
    assert set(PLACES) == {name for name in failpoints.NAMES if not name.startswith("without_")}


def test_every_workload_has_its_checker() -> None:
    assert set(WORKLOADS) == set(CHECKERS)


def test_keys_are_used_more_and_less_often_and_replaced_when_full() -> None:
    pool = KeyPool(random.Random(1), writes_per_key=16)
    picked = Counter(pool.pick() for _ in range(4_000))
    assert picked[0] > picked[1] > picked[3]
    for _ in range(16):
        pool.next_write(0)
    assert 0 not in pool.active
    assert len(pool.active) == ACTIVE_KEYS
    values = [pool.next_write(1) for _ in range(5)]
    assert len(set(values)) == 5
