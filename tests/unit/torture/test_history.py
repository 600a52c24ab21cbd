"""Recording: outcomes are honest, and a history that was kept is read back as it was."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from tests.torture import history
from tests.torture.anomalies import Level
from tests.torture.checkers import check
from tests.torture.history import Header, Outcome, Recorder
from tests.unit.torture.simulated_workloads import simulate


@pytest.fixture
def recorder() -> Recorder:
    ticks = itertools.count()
    return Recorder(Header("append", Level.SNAPSHOT, 7, {"total": 3}), lambda: float(next(ticks)))


def test_what_never_completed_is_unknown(recorder: Recorder) -> None:
    recorder.invoke(1, "txn", [["append", 1, 1]])
    [operation] = recorder.history().operations
    assert (operation.outcome, operation.completed_s) == (Outcome.INFO, math.inf)


def test_an_unknown_outcome_ends_for_the_client_alone(recorder: Recorder) -> None:
    recorder.invoke(1, "txn", [["r", 1, None]])
    recorder.complete(1, Outcome.INFO, "txn", [["r", 1, [2]]], "lost")
    recorder.invoke(1, "txn", [])
    first, second = recorder.history().operations
    assert (first.value, first.completed_s, first.error) == ([["r", 1, [2]]], math.inf, "lost")
    assert not first.before(second)


def test_a_failure_is_before_nothing(recorder: Recorder) -> None:
    recorder.invoke(1, "txn", [])
    recorder.complete(1, Outcome.FAIL, "txn", [])
    recorder.invoke(2, "txn", [])
    failed, later = recorder.history().operations
    assert not failed.before(later)


def test_operations_are_in_the_order_of_their_invocations(recorder: Recorder) -> None:
    recorder.invoke(1, "txn", "a")
    recorder.invoke(2, "txn", "b")
    recorder.complete(2, Outcome.OK, "txn", "b")
    recorder.complete(1, Outcome.OK, "txn", "a")
    assert [op.value for op in recorder.history().operations] == ["a", "b"]


def test_a_kept_history_is_read_back(recorder: Recorder, tmp_path: Path) -> None:
    recorder.invoke(1, "txn", [["append", 1, 1], ["r", 2, None]])
    recorder.complete(1, Outcome.OK, "txn", [["append", 1, 1], ["r", 2, [4, 5]]])
    recorder.invoke(2, "txn", [])
    history.save(tmp_path / "append.jsonl", recorder)
    assert history.load(tmp_path / "append.jsonl") == recorder.history()


@pytest.mark.parametrize(("verdict", "outcome"), [("committed", Outcome.OK), ("rolled back", Outcome.FAIL)])
def test_an_outcome_that_is_learnt_later(recorder: Recorder, verdict: str, outcome: Outcome) -> None:
    """That it happened is known then, but not when: it is before nothing."""
    recorder.invoke(1, "txn", [])
    recorder.complete(1, Outcome.INFO, "txn", [], "lost")
    recorder.learn(1, verdict)
    recorder.invoke(1, "txn", [])
    first, second = recorder.history().operations
    assert (first.outcome, first.completed_s) == (outcome, math.inf)
    assert not first.before(second)


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format"):
        history.from_lines(['{"format": 99}'])


def test_a_verdict_survives_being_kept(tmp_path: Path) -> None:
    """The anomalies name operations by index, so a kept history must give the same ones."""
    found = simulate("append", Level.SNAPSHOT, 1, claimed=Level.SERIALIZABLE)
    recorder = Recorder(found.header, lambda: 0.0)
    for at_s, type_, op in sorted(
        [(op.invoked_s, "invoke", op) for op in found.operations]
        + [(op.completed_s, op.outcome.value, op) for op in found.operations if op.completed_s < math.inf],
        key=lambda row: row[:2],
    ):
        recorder.events.append(history.Event(at_s, op.index, type_, op.f, op.value))
    history.save(tmp_path / "append.jsonl", recorder)
    again = history.load(tmp_path / "append.jsonl")
    assert {anomaly.name for anomaly in check(again)} == {anomaly.name for anomaly in check(found)} != set()
