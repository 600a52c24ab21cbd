"""The graph of who waits for whom, and who has to give way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.session.deadlocks import cycles, find_victims, waits_between
from proxy.session.registry import Holding
from tso.types import ShardName

S1, S2 = ShardName("s1"), ShardName("s2")


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


def test_threads_become_sessions() -> None:
    one = Holding(1, 100, ((S1, 11), (S2, 12)), True)
    two = Holding(2, 200, ((S1, 21), (S2, 22)), True)
    edges = [((S1, 21), (S1, 11)), ((S2, 12), (S2, 22)), ((S1, 99), (S1, 11)), ((S1, 11), (S1, 11))]
    assert waits_between([one, two], edges) == {two: {one}, one: {two}}


def test_a_cycle_must_show_twice_and_costs_the_youngest() -> None:
    cycle = frozenset({(100, 1), (300, 3), (200, 2)})
    assert find_victims([cycle], []) == []
    assert find_victims([cycle], [frozenset({(100, 1), (200, 2)})]) == []
    assert find_victims([cycle], [cycle]) == [(300, 3)]
