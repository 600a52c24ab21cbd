"""What a verdict may decide, and what a shard that returns has to agree with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tso.types import Outcome, ShardName, Timestamp
from txguard.engine.outcome import Record
from txguard.engine.shard import ShardUnavailable
from txguard.engine.verdicts import CARRY_OUT_S, GivenVerdict, concerning, refusal, settled

A, B, C = ShardName("a"), ShardName("b"), ShardName("c")
S, COMMIT_TS = Timestamp(100), Timestamp(110)
DOWN = ShardUnavailable("no route to it")


def record(state: Outcome = Outcome.COMMITTED, *, locked: bool = True) -> Record:
    return Record(state, COMMIT_TS, (A, B), locked)


def verdict(outcome: Outcome, *, done: bool = False, held: Record | None = None) -> GivenVerdict:
    return GivenVerdict(S, COMMIT_TS, outcome, (A, B), (B,), done, CARRY_OUT_S + 1, held)


COMMIT, ROLLBACK = verdict(Outcome.COMMITTED), verdict(Outcome.ROLLED_BACK)


@pytest.mark.parametrize(
    ("given", "records", "why"),
    [
        (COMMIT, {A: record(), B: DOWN}, None),
        (ROLLBACK, {A: record(), B: DOWN}, None),
        (ROLLBACK, {A: record()}, None),
        (ROLLBACK, {A: None, B: DOWN}, None),
        (COMMIT, {A: None, B: DOWN}, "holds no commit record"),
        (COMMIT, {A: record(Outcome.ROLLED_BACK), B: DOWN}, "holds no commit record"),
        (COMMIT, {A: record(), B: None}, "b answers again"),
        (ROLLBACK, {A: record(), B: record()}, "b answers again"),
        (ROLLBACK, {A: DOWN, B: DOWN}, "a does not answer either"),
    ],
)
def test_when_it_may_be_carried_out(
    given: GivenVerdict, records: dict[ShardName, Record | Exception | None], why: str | None
) -> None:
    refused = refusal(given, records)
    assert (refused is None) if why is None else (refused is not None and why in refused)


@pytest.mark.parametrize(
    ("copy", "outcome"),
    [
        (COMMIT, None),
        (replace(COMMIT, record=record(locked=True)), None),
        (replace(COMMIT, record=record(locked=False)), Outcome.COMMITTED),
        (replace(COMMIT, record=record(Outcome.ROLLED_BACK)), Outcome.ROLLED_BACK),
        (replace(COMMIT, done=True), Outcome.COMMITTED),
        (replace(ROLLBACK, done=True), Outcome.ROLLED_BACK),
    ],
)
def test_the_records_say_what_became_of_it_and_the_verdict_once_they_are_cleaned(
    copy: GivenVerdict, outcome: Outcome | None
) -> None:
    assert settled({A: copy}) == outcome


def test_a_shard_that_returns_agrees_with_what_was_decided_without_it() -> None:
    done = replace(COMMIT, done=True)
    assert concerning(B, {A: [COMMIT], C: [done]}) == [(COMMIT, Outcome.COMMITTED)]
    assert concerning(A, {A: [done], C: [done]}) == [], "it was not given up"
    assert concerning(B, {B: [done]}) == [], "its own copy proves nothing"
    assert concerning(B, {A: [COMMIT]}) == [], "never carried out: it is settled as ever"


def test_it_waits_while_a_verdict_is_being_carried_out() -> None:
    with pytest.raises(ShardUnavailable, match="waits for the verdict on transaction 100"):
        concerning(B, {A: [replace(ROLLBACK, age_s=0.1)]})
