"""What the records and the oracle prove of a transaction, and what they leave in doubt."""

from __future__ import annotations

import pytest

from tso.types import Outcome, OutstandingCommit, ShardName, Timestamp, TsoStatistics
from txguard.engine.outcome import Record, Records, Verdict, from_oracle, from_records, without_record
from txguard.engine.shard import ShardUnavailable

A, B = ShardName("a"), ShardName("b")
S, COMMIT_TS = Timestamp(100), Timestamp(110)
DOWN = ShardUnavailable("no route to it")


def committed(*, locked: bool, alone: bool = False) -> Record:
    return Record(Outcome.COMMITTED, COMMIT_TS, () if alone else (A, B), locked)


TOMBSTONE = Record(Outcome.ROLLED_BACK, COMMIT_TS, (A, B), False)


@pytest.mark.parametrize(
    ("records", "verdict"),
    [
        ({A: committed(locked=False, alone=True), B: None}, Verdict.COMMITTED),
        ({A: committed(locked=True), B: committed(locked=True)}, Verdict.COMMITTED),
        ({A: committed(locked=False), B: DOWN}, Verdict.COMMITTED),
        ({A: committed(locked=True), B: DOWN}, None),
        ({A: committed(locked=True), B: None}, None),
        ({A: committed(locked=True), B: TOMBSTONE}, Verdict.ROLLED_BACK),
        ({A: DOWN, B: TOMBSTONE}, Verdict.ROLLED_BACK),
        ({A: None, B: None}, None),
    ],
)
def test_what_records_prove(records: Records, verdict: Verdict | None) -> None:
    outcome = from_records(S, records)
    assert (outcome and outcome.verdict) == verdict
    if verdict is Verdict.COMMITTED:
        assert outcome is not None
        assert outcome.commit_ts == COMMIT_TS


def statistics(
    *, active: tuple[Timestamp, ...] = (), outstanding: tuple[OutstandingCommit, ...] = ()
) -> TsoStatistics:
    return TsoStatistics(1, Timestamp(1000), active, outstanding, (), Timestamp(50), 0)


def outstanding(outcome: Outcome | None, *, orphaned: bool = False) -> OutstandingCommit:
    return OutstandingCommit(S, COMMIT_TS, (A, B), 1500.0, outcome, orphaned)


def test_no_record_says_nothing_while_the_oracle_knows_the_transaction() -> None:
    nothing: Records = {A: None, B: None}
    still_open = from_oracle(S, statistics(active=(S,)), nothing)
    assert still_open is not None
    assert still_open.verdict is Verdict.IN_DOUBT
    under_way = from_oracle(S, statistics(outstanding=(outstanding(None),)), nothing)
    assert under_way is not None
    assert under_way.verdict is Verdict.IN_DOUBT
    assert under_way.participants == (A, B)


def test_the_reason_names_who_does_not_answer() -> None:
    records: Records = {A: committed(locked=True), B: DOWN}
    found = from_oracle(S, statistics(outstanding=(outstanding(None, orphaned=True),)), records)
    assert found is not None
    assert found.verdict is Verdict.IN_DOUBT
    assert "b does not answer (no route to it)" in found.reason
    assert "commit record on a" in found.reason


def test_what_the_oracle_has_decided_is_final() -> None:
    for outcome, verdict in (
        (Outcome.COMMITTED, Verdict.COMMITTED),
        (Outcome.ROLLED_BACK, Verdict.ROLLED_BACK),
    ):
        found = from_oracle(S, statistics(outstanding=(outstanding(outcome),)), {})
        assert found is not None
        assert found.verdict is verdict


def test_a_timestamp_of_the_future_is_unknown() -> None:
    found = from_oracle(Timestamp(2000), statistics(), {})
    assert found is not None
    assert found.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("records", "safe_point", "verdict"),
    [
        ({A: None, B: None}, 99, Verdict.ROLLED_BACK),
        ({A: None, B: None}, 100, Verdict.UNKNOWN),
        ({A: None, B: DOWN}, 99, Verdict.IN_DOUBT),
    ],
)
def test_no_record_of_a_transaction_that_is_over(records: Records, safe_point: int, verdict: Verdict) -> None:
    assert from_oracle(S, statistics(), records) is None
    assert without_record(S, records, Timestamp(safe_point)).verdict is verdict
