"""Which stories of the shards fit together, and that a suspect must be there at every look."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from tso.types import LOGICAL_BITS, Outcome, ShardName, Timestamp
from txguard.inspector.agreement import CommitRecord, disagreements
from txguard.inspector.protocol_rules import persistent
from txguard.inspector.shard_reader import horizon_at

A, B, C = ShardName("a"), ShardName("b"), ShardName("c")
START = Timestamp(100)


def record(
    outcome: Outcome = Outcome.COMMITTED, commit_ts: int = 200, participants: str = "ab"
) -> CommitRecord:
    return CommitRecord(START, Timestamp(commit_ts), outcome, tuple(map(ShardName, participants)))


def told(**held: CommitRecord | None) -> list[str]:
    """`shard=record`; None: asked, and holds no record."""
    records = {ShardName(shard): {START: r} if r is not None else {} for shard, r in held.items()}
    return [suspect.reason for suspect in disagreements(records)]


def test_agreement() -> None:
    assert told(a=record(), b=record(), c=None) == []
    rolled_back = record(Outcome.ROLLED_BACK)
    assert told(a=rolled_back, b=rolled_back) == []


def test_a_shard_that_was_not_asked_is_not_missing() -> None:
    assert told(a=record()) == []


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        ({"a": record(), "b": None}, "no record on b; a C"),
        ({"a": record(), "b": record(Outcome.ROLLED_BACK)}, "different outcomes: a C, b R"),
        ({"a": record(), "b": record(commit_ts=201)}, "different commit_ts: a 200, b 201"),
        ({"a": record(), "b": record(participants="abc")}, "participants are not the same"),
        ({"a": record(), "b": record(), "c": record()}, "c holds a record but is no participant"),
    ],
)
def test_disagreement(held: dict[str, CommitRecord | None], reason: str) -> None:
    assert len(told(**held)) == 1
    assert reason in told(**held)[0]


async def test_what_disappears_at_any_look_was_work_under_way() -> None:
    looks = [{"x": "1", "y": "1"}, {"x": "2", "y": "2", "z": "2"}, {"x": "3", "z": "3"}, {"x": "4", "y": "4"}]
    asked: list[object] = []

    async def look(suspects: Collection[str] | None) -> dict[str, str]:
        asked.append(suspects)
        return looks[min(len(asked), len(looks)) - 1]

    assert await persistent(look, 0.5) == {"x": "4"}
    assert asked[:3] == [None, ("x", "y"), ("x", "y")]


async def test_no_second_look_without_suspects() -> None:
    async def look(suspects: Collection[str] | None) -> dict[str, str]:
        assert suspects is None
        return {}

    assert await persistent(look, 60.0) == {}


def test_horizon_follows_the_clock_that_is_ahead() -> None:
    newest = Timestamp(5_000 << LOGICAL_BITS)
    assert horizon_at(9_000, newest, 1_000) == 8_000 << LOGICAL_BITS
    assert horizon_at(3_000, newest, 1_000) == 4_000 << LOGICAL_BITS
    assert horizon_at(500, Timestamp(0), 1_000) == 0
