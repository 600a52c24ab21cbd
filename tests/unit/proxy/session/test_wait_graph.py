"""The graph of who waits for whom, and who has to give way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.session.wait_graph import Edge, Suspects, Thread, Waiter, cycles, may_be_deadlocked, waits_between
from tso.types import ShardName

S1, S2 = ShardName("s1"), ShardName("s2")


def waiter(start_ts: int, *threads: Thread, reported: int = 1) -> Waiter:
    return Waiter(start_ts, "p", start_ts // 100, threads, "UPDATE t", reported)


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({}, []),
        ({1: {2}, 2: {3}}, []),
        ({1: {2}, 2: {1}}, [{1, 2}]),
        ({1: {2}, 2: {3}, 3: {1}, 4: {1}}, [{1, 2, 3}]),
        ({1: {2}, 2: {1}, 3: {4}, 4: {3}, 5: {1, 3}}, [{1, 2}, {3, 4}]),
        ({1: {1}}, []),
    ],
)
def test_cycles(graph: dict[int, set[int]], expected: list[set[int]]) -> None:
    assert sorted(map(sorted, cycles(graph))) == sorted(map(sorted, expected))


@given(st.dictionaries(st.integers(0, 7), st.sets(st.integers(0, 7), max_size=4), max_size=8))
def test_a_node_is_in_a_cycle_when_it_reaches_itself(graph: dict[int, set[int]]) -> None:
    def reached(start: int) -> set[int]:
        seen: set[int] = set()
        todo = list(graph.get(start, ()))
        while todo:
            node = todo.pop()
            if node not in seen:
                seen.add(node)
                todo += graph.get(node, ())
        return seen

    expected = {
        frozenset(n for n in reached(node) if node in reached(n)) for node in graph if node in reached(node)
    }
    assert set(cycles(graph)) == {component for component in expected if len(component) > 1}


def test_threads_become_transactions() -> None:
    one = waiter(100, (S1, 11), (S2, 12))
    two = waiter(200, (S1, 21), (S2, 22))
    edges = [((S1, 21), (S1, 11)), ((S2, 12), (S2, 22)), ((S1, 99), (S1, 11)), ((S1, 11), (S1, 11))]
    assert waits_between([one, two], edges) == {two: {one}, one: {two}}


def test_only_waits_over_several_shards_are_looked_at() -> None:
    over_two, on_one = waiter(100, (S1, 11), (S2, 12)), waiter(200, (S1, 21))
    assert may_be_deadlocked([over_two, on_one])
    assert not may_be_deadlocked([over_two])
    assert not may_be_deadlocked([on_one, waiter(300, (S1, 31))])


THREE = ((S1, 11), (S2, 12)), ((S1, 21), (S2, 22)), ((S1, 31), (S2, 32))
RING: list[Edge] = [((S1, 11), (S1, 21)), ((S2, 22), (S2, 32)), ((S1, 31), (S1, 11))]


def ring(*reported: int) -> list[Waiter]:
    return [
        waiter(start_ts, *threads, reported=n)
        for start_ts, threads, n in zip((100, 300, 200), THREE, reported, strict=True)
    ]


def test_a_cycle_must_show_twice_and_costs_the_youngest() -> None:
    suspects = Suspects()
    assert suspects.judge(ring(1, 1, 1), RING) == []
    [deadlock] = suspects.judge(ring(2, 2, 2), RING)
    assert deadlock.fresh
    assert deadlock.victim.start_ts == 300
    members = [(m.waiter.start_ts, m.shard, m.waits_for) for m in deadlock.members]
    assert members == [(100, S1, (300,)), (200, S1, (100,)), (300, S2, (200,))]
    [again] = suspects.judge(ring(3, 3, 3), RING)
    assert not again.fresh


def test_it_counts_only_once_every_member_was_reported_again() -> None:
    suspects = Suspects()
    assert suspects.judge(ring(5, 1, 1), RING) == []
    assert suspects.judge(ring(5, 2, 2), RING) == [], "the first may be over, and its connections another's"
    assert [one.victim.start_ts for one in suspects.judge(ring(6, 2, 2), RING)] == [300]


def test_a_cycle_that_was_gone_in_between_begins_anew() -> None:
    suspects = Suspects()
    assert suspects.judge(ring(1, 1, 1), RING) == []
    assert suspects.judge(ring(2, 2, 2), RING[1:]) == []
    assert suspects.judge(ring(3, 3, 3), RING) == []
    assert suspects.judge(ring(4, 4, 4), RING) != []
