"""list-append: each anomaly, in the smallest history that has it, and its harmless neighbour."""

from __future__ import annotations

from typing import Any

import pytest

from tests.torture import anomalies as a
from tests.torture.anomalies import Level
from tests.torture.history import Operation, Outcome
from tests.unit.torture.handmade import FAIL, INFO, OK, names, op

X, Y = 1, 2


def txn(text: str, begins: float = 0.0, ends: float = 100.0, outcome: Outcome = OK) -> Operation:
    """ "x+1 y:1,2" appends 1 to x and reads [1, 2] from y; "y:" reads the empty list."""
    operations: list[list[Any]] = []
    for word in text.split():
        key = {"x": X, "y": Y}[word[0]]
        if word[1] == "+":
            operations.append(["append", key, int(word[2:])])
        else:
            operations.append(["r", key, [int(n) for n in word[2:].split(",") if n]])
    return op("txn", operations, begins, ends, outcome)


def found(*operations: Operation, level: Level = Level.SNAPSHOT) -> set[str]:
    return names("append", *operations, level=level)


def test_a_serial_history_has_no_anomaly() -> None:
    assert found(txn("x+1 y:", 0, 1), txn("x:1 y+1", 2, 3), txn("x:1 y:1", 4, 5)) == set()


def test_g0_two_writers_each_overwrite_the_other() -> None:
    history = txn("x+1 y+1"), txn("x+2 y+2"), txn("x:1,2 y:2,1")
    assert found(*history, level=Level.READ_COMMITTED) == {a.G0}


def test_g1a_a_failed_transaction_was_read() -> None:
    assert a.G1A in found(txn("x+1", outcome=FAIL), txn("x:1"))
    assert found(txn("x+1", outcome=INFO), txn("x:1")) == set()


def test_g1a_also_below_a_committed_element() -> None:
    assert a.G1A in found(txn("x+1", outcome=FAIL), txn("x+2"), txn("x:1,2"))


def test_g1b_a_transaction_was_read_half_way() -> None:
    assert a.G1B in found(txn("x+1 x+2"), txn("x:1"), txn("x:1,2"))
    assert found(txn("x+1 x+2"), txn("x:1,2")) == set()


def test_g1c_two_transactions_read_each_other() -> None:
    for level in Level:
        assert found(txn("x+1 y:1"), txn("y+1 x:1"), level=level) == {a.G1C}


def test_g_single_half_of_a_transaction_was_read() -> None:
    history = txn("x+1 y+1"), txn("x:1 y:"), txn("x:1 y:1")
    assert found(*history) == {a.G_SINGLE}
    assert found(*history, level=Level.SERIALIZABLE) == {a.G_SINGLE}
    assert found(*history, level=Level.READ_COMMITTED) == set()


def test_long_fork_two_readers_see_two_writes_in_two_orders() -> None:
    assert found(txn("x+1"), txn("y+1"), txn("x:1 y:"), txn("x: y:1")) == {a.LONG_FORK}


def test_g2_item_is_write_skew_which_snapshot_isolation_allows() -> None:
    history = txn("x: y+1"), txn("y: x+1"), txn("x:1 y:1", 200, 300)
    assert found(*history) == set()
    assert found(*history, level=Level.SERIALIZABLE) == {a.G2_ITEM}


def test_the_read_only_anomaly_is_legal_under_snapshot_isolation_alone() -> None:
    """Fekete, O'Neil, O'Neil (2004): a reader makes write skew visible."""
    history = txn("x: y: x+1", 0, 50), txn("y: y+2", 0, 20), txn("x: y:2", 30, 40), txn("x:1 y:2", 60, 70)
    assert found(*history) == set()
    assert {name.removesuffix(a.REALTIME) for name in found(*history, level=Level.SERIALIZABLE)} == {
        a.G2_ITEM
    }


def test_lost_update_two_writers_saw_the_same_version() -> None:
    history = txn("x: x+1"), txn("x: x+2"), txn("x:1,2")
    assert found(*history) == {a.LOST_UPDATE, a.G_SINGLE}
    assert found(*history, level=Level.READ_COMMITTED) == set()


def test_blind_appends_lose_nothing() -> None:
    assert found(txn("x+1"), txn("x+2"), txn("x:1,2")) == set()


def test_incompatible_order() -> None:
    assert found(txn("x+1"), txn("x+2"), txn("x:1"), txn("x:2,1")) == {a.INCOMPATIBLE_ORDER}


def test_duplicate_element() -> None:
    assert a.DUPLICATE in found(txn("x+1"), txn("x:1,1"))


def test_phantom_element() -> None:
    assert a.PHANTOM in found(txn("x+1"), txn("x:1,7"))


def test_internal_a_second_read_differs() -> None:
    history = txn("x+1"), txn("x: x:1")
    assert a.INTERNAL in found(*history)
    assert found(*history, level=Level.READ_COMMITTED) == set()


def test_internal_its_own_append_is_not_there() -> None:
    for level in Level:
        assert a.INTERNAL in found(txn("x+1 x:"), txn("x:1"), level=level)
    assert found(txn("x+1 x:1"), txn("x:1")) == set()


def test_a_stale_snapshot_is_seen_by_real_time_alone() -> None:
    assert found(txn("x+1", 0, 1), txn("x:", 2, 3), txn("x:1", 4, 5)) == {a.G_SINGLE + a.REALTIME}
    assert found(txn("x+1", 0, 3), txn("x:", 2, 3), txn("x:1", 4, 5)) == set()
    assert found(txn("x+1", 0, 1), txn("x:", 2, 3), txn("x:1", 4, 5), level=Level.READ_COMMITTED) == set()


def test_real_time_goes_over_transactions_that_have_nothing_to_do_with_it() -> None:
    assert found(txn("x+1", 0, 1), txn("y+1", 2, 3), txn("x: y:1", 4, 5), txn("x:1 y:1", 6, 7)) == {
        a.G_SINGLE + a.REALTIME
    }


def test_an_acknowledged_append_that_nobody_sees_any_more() -> None:
    assert found(txn("x+1", 0, 1), txn("x+2", 2, 3), txn("x:1", 4, 5)) == {a.G_SINGLE + a.REALTIME}


@pytest.mark.parametrize("outcome", [FAIL, INFO])
def test_one_that_was_not_acknowledged_may_be_missing(outcome: Outcome) -> None:
    assert found(txn("x+1", 0, 1), txn("x+2", 2, 3, outcome), txn("x:1", 4, 5)) == set()


def test_an_unknown_outcome_that_was_seen_is_whole() -> None:
    history = txn("x+1 y+1", outcome=INFO), txn("x:1 y:", 0, 10)
    assert found(*history) == {a.G_SINGLE}


def test_an_unknown_outcome_may_come_late() -> None:
    assert found(txn("x+1", 0, 1, INFO), txn("x:", 2, 3), txn("x:1", 4, 5)) == set()
