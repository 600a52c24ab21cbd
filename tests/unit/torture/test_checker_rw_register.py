"""rw-register: what differs from list-append, for here the order of versions is read as a number."""

from __future__ import annotations

from typing import Any

from tests.torture import anomalies as a
from tests.torture.anomalies import Level
from tests.torture.history import Operation, Outcome
from tests.unit.torture.handmade import FAIL, OK, names, op

Read = list[int] | None


def txn(*operations: list[Any], begins: float = 0.0, ends: float = 100.0, outcome: Outcome = OK) -> Operation:
    return op("txn", list(operations), begins, ends, outcome)


def w(key: int, value: int) -> list[Any]:
    return ["w", key, value]


def r(key: int, got: Read) -> list[Any]:
    return ["r", key, got]


def found(*operations: Operation, level: Level = Level.SNAPSHOT) -> set[str]:
    return names("rw-register", *operations, level=level)


def test_a_serial_history_has_no_anomaly() -> None:
    assert (
        found(
            txn(r(1, None), w(1, 10), begins=0, ends=1),
            txn(r(1, [1, 10]), w(1, 11), begins=2, ends=3),
            txn(r(1, [2, 11]), begins=4, ends=5),
        )
        == set()
    )


def test_two_values_of_one_version() -> None:
    assert found(txn(w(1, 10)), txn(w(1, 11)), txn(r(1, [1, 10])), txn(r(1, [1, 11]))) == {
        a.INCOMPATIBLE_ORDER
    }


def test_one_value_in_two_versions() -> None:
    assert a.DUPLICATE in found(txn(w(1, 10)), txn(r(1, [1, 10])), txn(r(1, [2, 10])))


def test_a_value_that_nobody_wrote() -> None:
    assert a.PHANTOM in found(txn(r(1, [1, 10])))


def test_a_failed_write_that_was_read() -> None:
    assert a.G1A in found(txn(w(1, 10), outcome=FAIL), txn(r(1, [1, 10])))


def test_an_intermediate_write_that_was_read() -> None:
    assert a.G1B in found(txn(w(1, 10), w(1, 11)), txn(r(1, [1, 10])))


def test_half_of_a_transaction_that_was_read() -> None:
    history = txn(w(1, 10), w(2, 20)), txn(r(1, [1, 10]), r(2, None)), txn(r(2, [1, 20]))
    assert found(*history) == {a.G_SINGLE}


def test_write_skew() -> None:
    history = txn(r(1, None), w(2, 20)), txn(r(2, None), w(1, 10)), txn(r(1, [1, 10]), r(2, [1, 20]))
    assert found(*history) == set()
    assert found(*history, level=Level.SERIALIZABLE) == {a.G2_ITEM}


def test_a_lost_update() -> None:
    history = txn(r(1, None), w(1, 10)), txn(r(1, None), w(1, 11)), txn(r(1, [1, 10])), txn(r(1, [2, 11]))
    assert a.LOST_UPDATE in found(*history)


def test_an_acknowledged_write_that_left_no_version() -> None:
    history = (
        txn(w(1, 10), begins=0, ends=1),
        txn(w(1, 11), begins=2, ends=3),
        txn(r(1, [1, 11]), begins=4, ends=5),
    )
    assert a.LOST_WRITE in found(*history)


def test_its_own_write_must_be_read() -> None:
    assert a.INTERNAL in found(txn(w(1, 10), r(1, [1, 9])), txn(w(1, 9)))
