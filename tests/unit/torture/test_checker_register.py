"""Single registers: what is linearizable and what is not."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from tests.torture.checkers.register import first_stuck
from tests.torture.history import Operation, Outcome
from tests.unit.torture.handmade import FAIL, INFO, OK, history, names, op


def write(value: int, begins: float, ends: float, outcome: Outcome = OK) -> Operation:
    return op("write", ["k", value], begins, ends, outcome)


def read(value: Any, begins: float, ends: float, outcome: Outcome = OK) -> Operation:
    return op("read", ["k", value], begins, ends, outcome)


def cas(old: Any, new: int, begins: float, ends: float, outcome: Outcome = OK) -> Operation:
    return op("cas", ["k", old, new], begins, ends, outcome)


LINEARIZABLE = {
    "one after the other": [write(1, 0, 1), read(1, 2, 3), write(2, 4, 5), read(2, 6, 7)],
    "a read during a write sees either": [write(1, 0, 10), read(None, 1, 2), read(1, 3, 4)],
    "overlapping writes in either order": [
        write(1, 0, 10),
        write(2, 0, 10),
        read(2, 11, 12),
        read(2, 13, 14),
    ],
    "an unknown write takes effect late": [write(1, 0, 1, INFO), read(None, 2, 3), read(1, 4, 5)],
    "an unknown write never takes effect": [write(1, 0, 1, INFO), read(None, 2, 3)],
    "a failed write is not there": [write(1, 0, 1, FAIL), read(None, 2, 3)],
    "a chain of cas": [cas(None, 1, 0, 1), cas(1, 2, 2, 3), read(2, 4, 5)],
    "an unknown cas that worked": [write(1, 0, 1), cas(1, 2, 2, 3, INFO), read(2, 4, 5)],
    "an unknown cas that did not": [write(1, 0, 1), cas(1, 2, 2, 3, INFO), read(1, 4, 5)],
    "an unknown read says nothing": [write(1, 0, 1), read(7, 2, 3, INFO), read(1, 4, 5)],
}
NOT_LINEARIZABLE = {
    "a stale read": [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)],
    "a lost write": [write(1, 0, 1), read(None, 2, 3)],
    "a failed write was read": [write(1, 0, 1, FAIL), read(1, 2, 3)],
    "a read that goes back": [write(1, 0, 10), read(1, 1, 2), read(None, 3, 4)],
    "a value out of nowhere": [read(9, 0, 1)],
    "two cas from one value": [write(1, 0, 1), cas(1, 2, 2, 9), cas(1, 3, 2, 9)],
    "an unknown write that comes and goes": [write(1, 0, 1, INFO), read(1, 2, 3), read(None, 4, 5)],
}


@pytest.mark.parametrize("operations", LINEARIZABLE.values(), ids=LINEARIZABLE.keys())
def test_linearizable(operations: list[Operation]) -> None:
    assert names("register", *operations) == set()


@pytest.mark.parametrize("operations", NOT_LINEARIZABLE.values(), ids=NOT_LINEARIZABLE.keys())
def test_not_linearizable(operations: list[Operation]) -> None:
    assert names("register", *operations) == {"not linearizable"}


def test_keys_are_judged_apart() -> None:
    other = op("write", ["other", 5], 0, 1)
    assert names("register", other, write(1, 0, 1), read(1, 2, 3)) == set()


def by_trying_all_orders(operations: list[Operation]) -> bool:
    for order in itertools.permutations(operations):
        if any(later.before(earlier) for earlier, later in itertools.combinations(order, 2)):
            continue
        state = None
        for operation in order:
            if operation.f == "read" and operation.value[1] != state:
                break
            if operation.f == "write":
                state = operation.value[1]
        else:
            return True
    return False


def test_the_search_agrees_with_trying_all_orders() -> None:
    rng = random.Random(1)
    answers = []
    for _ in range(600):
        operations = []
        for _ in range(5):
            begins = rng.uniform(0, 10)
            kind, ends, value = rng.choice((read, write)), begins + rng.uniform(0, 5), rng.randint(1, 2)
            operations.append(kind(value, begins, ends))
        numbered = list(history("register", *operations).operations)
        answers.append(by_trying_all_orders(numbered))
        assert (first_stuck(numbered, None) is None) is answers[-1], numbered
    assert 50 < sum(answers) < 550
