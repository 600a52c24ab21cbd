"""The other checkers: each anomaly in a history that has it, and a history that is as it should be."""

from __future__ import annotations

import pytest

from tests.torture import anomalies as a
from tests.torture.anomalies import Level
from tests.torture.history import Operation
from tests.unit.torture.handmade import FAIL, INFO, names, op


def test_bank() -> None:
    def found(*operations: Operation) -> set[str]:
        return names("bank", *operations, total=100, accounts=2)

    assert found(op("read", [[0, 60], [1, 40]]), op("sum", 100)) == set()
    assert found(op("read", [[0, 60], [1, 41]])) == {"wrong total"}
    assert found(op("sum", 99)) == {"wrong total"}
    assert found(op("read", [[0, 110], [1, -10]])) == {"negative balance"}
    assert found(op("read", [[0, 100]])) == {"unknown account"}
    assert found(op("read", [[0, 1]], outcome=FAIL)) == set()


def final(counters: list[list[object]], logs: list[list[object]]) -> Operation:
    return op("final", {"counters": counters, "logs": logs}, 50, 60)


def test_equal_counters() -> None:
    adds = op("add", [1, 5], 0, 1), op("add", [2, 3], 0, 1)
    both = [["s1", 2, 8], ["s2", 2, 8]]
    assert names("equal-counters", *adds, final(both, [["s1", [1, 2]], ["s2", [1, 2]]])) == set()
    assert names("equal-counters", *adds, final(both, [["s1", [1, 2]], ["s2", [2, 1]]])) == {
        "different order"
    }
    assert "unequal counters" in names("equal-counters", op("read", [["s1", 1, 5], ["s2", 0, 0]]))
    lost = final([["s1", 1, 5], ["s2", 1, 5]], [["s1", [1]], ["s2", [1]]])
    assert names("equal-counters", *adds, lost) == {a.LOST_WRITE}
    failed = op("add", [1, 5], 0, 1, FAIL), adds[1]
    assert a.G1A in names("equal-counters", *failed, final(both, [["s1", [1, 2]], ["s2", [1, 2]]]))
    twice = final([["s1", 2, 10], ["s2", 2, 10]], [["s1", [1, 1]], ["s2", [1, 1]]])
    assert "done twice" in names("equal-counters", adds[0], twice)
    wrong = final([["s1", 2, 9], ["s2", 2, 9]], [["s1", [1, 2]], ["s2", [1, 2]]])
    assert names("equal-counters", *adds, wrong) == {"unequal counters"}


@pytest.mark.parametrize("workload", ["set", "set-cas"])
def test_set(workload: str) -> None:
    added = op("add", 1, 0, 1), op("add", 2, 0, 1, INFO), op("add", 3, 0, 1, FAIL)
    assert names(workload, *added, op("read", [1], 2, 3), op("read", [1, 2], 4, 5)) == set()
    assert names(workload, *added, op("read", [], 0.5, 3)) == set()
    assert names(workload, *added, op("read", [2], 2, 3)) == {a.LOST_WRITE}
    assert names(workload, *added, op("read", [1, 3], 2, 3)) == {a.G1A}
    assert names(workload, *added, op("read", [1, 9], 2, 3)) == {a.PHANTOM}
    assert names(workload, *added, op("read", [1, 1], 2, 3)) == {a.DUPLICATE}


def test_monotonic() -> None:
    one, two = op("increment", [0, 1], 0, 1), op("increment", [1, 1], 0, 5)
    assert names("monotonic", one, two, op("read", [[0, 1], [1, 0]], 2, 3)) == set()
    assert a.LONG_FORK in names("monotonic", op("read", [[0, 1], [1, 0]]), op("read", [[0, 0], [1, 1]]))
    assert names("monotonic", op("read", [[0, 2]], 0, 1), op("read", [[0, 1]], 2, 3)) == {"not monotonic"}
    assert a.LOST_WRITE in names("monotonic", one, op("read", [[0, 0]], 2, 3))
    assert a.LOST_UPDATE in names("monotonic", one, op("increment", [0, 1], 0, 1))


def test_long_fork() -> None:
    writes = op("write", [0, 1]), op("write", [0, 2])
    first, second = op("read", [0, [[1, 1], [2, 0]]]), op("read", [0, [[1, 0], [2, 1]]])
    assert names("long-fork", *writes, first, op("read", [0, [[1, 1], [2, 1]]])) == set()
    assert names("long-fork", *writes, first, second) == {a.LONG_FORK}
    assert names("long-fork", op("write", [0, 1], 0, 1), op("read", [0, [[1, 0]]], 2, 3)) == {a.LOST_WRITE}


def test_sequential() -> None:
    inserts = op("insert", [7, 0], 0, 1), op("insert", [7, 1], 2, 3)
    assert names("sequential", *inserts, op("read", [7, [1, 0, 0]], 1.5, 3)) == set()
    assert "not sequential" in names("sequential", *inserts, op("read", [7, [0, 1, 0]], 0, 9))
    assert names("sequential", *inserts, op("read", [7, [1, 0, 0]], 4, 5)) == {a.LOST_WRITE}


def test_causal_reverse() -> None:
    inserts = op("insert", 1, 0, 1), op("insert", 2, 2, 3)
    assert names("causal-reverse", *inserts, op("read", [1], 0, 9)) == set()
    assert names("causal-reverse", *inserts, op("read", [2], 0, 9)) == {"causal reverse"}
    together = op("insert", 1, 0, 5), op("insert", 2, 2, 3)
    assert names("causal-reverse", *together, op("read", [2], 0, 9)) == set()


def test_mav() -> None:
    assert names("mav", op("read", [0, 3, 3, 3])) == set()
    assert names("mav", op("read", [0, 3, 2, 3])) == {"not a monotonic atomic view"}
    assert names("mav", op("read", [0, 3, 4, 4])) == {"not a monotonic atomic view"}
    assert names("mav", op("read", [0, 3, 4, 4]), level=Level.READ_COMMITTED) == set()
    assert names("mav", op("read", [0, 3, 4, 3]), level=Level.READ_COMMITTED) == {
        "not a monotonic atomic view"
    }
    assert a.LOST_WRITE in names("mav", op("increment", 0, 0, 1), op("read", [0, 0, 0, 0], 2, 3))


def test_predicate() -> None:
    insert = op("insert", 4, 0, 5)
    assert names("predicate", insert, op("read", [8, 9], 0, 9), op("read", [], 0, 9)) == set()
    assert names("predicate", insert, op("read", [8], 0, 9)) == {"half a transaction"}
    assert names("predicate", insert, op("read", [], 6, 9)) == {a.LOST_WRITE}


def test_write_skew() -> None:
    both = op("insert", [1, 0]), op("insert", [1, 1])
    assert names("write-skew", *both) == set()
    assert names("write-skew", *both, level=Level.SERIALIZABLE) == {"write skew"}
    assert names("write-skew", op("insert", [1, 0], 0, 1), op("insert", [1, 1], 2, 3)) == {"stale read"}
    assert names("write-skew", both[0], op("insert", [1, 1], outcome=FAIL), level=Level.SERIALIZABLE) == set()


def test_unique_keys() -> None:
    move = op("move", [1, 0, 1, 5], 0, 1)

    def end(slots: list[list[int]], journal: list[list[int]]) -> Operation:
        return op("final", {"slots": slots, "journal": journal}, 2, 3)

    def found(*operations: Operation) -> set[str]:
        return names("unique-keys", *operations, tokens=1)

    assert found(move, op("read", [[0, 1, 5]]), end([[0, 1, 5]], [[1, 0, 1, 5]])) == set()
    assert found(op("read", [])) == {"a unique key is not there exactly once"}
    assert found(op("read", [[0, 1, 5], [0, 1, 6]])) == {"a unique key is not there exactly once"}
    assert found(move, end([[0, 0, 0]], [])) == {a.LOST_WRITE}
    assert found(move, end([[0, 1, 6]], [[1, 0, 1, 5]])) == {"the journal tells something else"}
    assert found(move, end([[0, 1, 5]], [[1, 0, 1, 5], [2, 0, 1, 4]])) == {a.LOST_UPDATE}
    assert a.G1A in found(op("move", [1, 0, 1, 5], outcome=FAIL), end([[0, 1, 5]], [[1, 0, 1, 5]]))


def test_insert_delete() -> None:
    come, go = op("flip", [1, 7, "insert", 1], 0, 1), op("flip", [2, 7, "delete", 1], 2, 3)

    def end(rows: list[list[int]], journal: list[list[object]]) -> Operation:
        return op("final", {"rows": rows, "journal": journal}, 4, 5)

    came, went = [1, 7, "insert", 1], [2, 7, "delete", 1]
    assert names("insert-delete", come, go, end([], [came, went])) == set()
    assert names("insert-delete", come, end([[7, 1]], [came])) == set()
    assert names("insert-delete", come, go, end([], [came, went, [3, 7, "delete", 1]])) == {"deleted twice"}
    assert names("insert-delete", come, end([[7, 9]], [came, [9, 7, "insert", 9]])) == {a.LOST_UPDATE}
    assert names("insert-delete", come, end([], [came])) == {"the journal tells something else"}
    assert names("insert-delete", come, go, end([[7, 1]], [came])) == {a.LOST_WRITE}


def test_foreign_keys() -> None:
    enter, remove = op("enter", [1, 5], 0, 1), op("remove", [5, [1]], 2, 3)
    assert names("foreign-keys", enter, op("final", [[5], [[5, 1]]], 2, 3)) == set()
    assert names("foreign-keys", enter, remove, op("final", [[], []], 4, 5)) == set()
    assert names("foreign-keys", enter, op("read", [[], [[5, 1]]])) == {"a child without its parent"}
    assert names("foreign-keys", enter, op("final", [[5], []], 2, 3)) == {a.LOST_WRITE}
    assert names("foreign-keys", enter, remove, op("final", [[5], [[5, 1]]], 4, 5)) == {
        "a removed child is there"
    }
    assert names("foreign-keys", op("enter", [1, 5], outcome=FAIL), op("read", [[5], [[5, 1]]])) == {a.G1A}
