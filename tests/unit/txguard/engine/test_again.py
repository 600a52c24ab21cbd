"""[S-again] Which answer stands, and when a statement is sent again."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tso.types import ShardName
from txguard.engine import again
from txguard.engine.branch import Branch, Isolation
from txguard.engine.shard import ShardError
from txguard.errors import Conflict

WOULD_WAIT = ShardError(again.ER_LOCK_NOWAIT, "HY000", "would wait")
TIMED_OUT = ShardError(1205, "HY000", "timed out")


@dataclass
class Answer:
    error: ShardError | None = None
    drained: bool = False

    async def drain(self) -> None:
        self.drained = True


@dataclass
class FakeTransaction:
    answers: list[Answer]
    isolation: Isolation = Isolation.SERIALIZABLE
    sent: list[Any] = field(default_factory=list)

    async def relay_opening(self, branch: Branch, statement: Any, *, shares: bool = False) -> Answer:
        self.sent.append(statement)
        return self.answers[len(self.sent) - 1]


def branch(version: str = "9.7.0") -> Branch:
    return Branch(ShardName("s0"), cast(Any, SimpleNamespace(server_version=version)))


def look(_: ShardName, waits: bool) -> str:
    return "look" if waits else "at once"


async def read(txn: FakeTransaction, on: Branch) -> object:
    return await again.read(cast(Any, txn), on, lambda: "read", look, shares=False)


async def test_what_has_not_waited_stands() -> None:
    txn = FakeTransaction([Answer()])
    assert await read(txn, branch()) is txn.answers[0]
    assert txn.sent == ["at once"]


async def test_what_has_waited_is_thrown_away() -> None:
    txn = FakeTransaction([Answer(WOULD_WAIT), Answer(), Answer(WOULD_WAIT), Answer(), Answer()])
    assert await read(txn, branch()) is txn.answers[-1]
    assert txn.sent == ["at once", "read", "at once", "read", "at once"]
    assert [answer.drained for answer in txn.answers] == [False, True, False, True, False]


async def test_an_error_of_the_one_that_waits_is_the_answer() -> None:
    txn = FakeTransaction([Answer(WOULD_WAIT), Answer(TIMED_OUT)])
    assert await read(txn, branch()) is txn.answers[1]


async def test_it_does_not_go_on_for_ever() -> None:
    txn = FakeTransaction([Answer(WOULD_WAIT), Answer()] * again.TRIES)
    with pytest.raises(Conflict):
        await read(txn, branch())


@pytest.mark.parametrize(
    ("version", "isolation"),
    [
        ("5.5.5-10.11.6-MariaDB", Isolation.SERIALIZABLE),
        ("9.7.0", Isolation.REPEATABLE_READ),
        ("9.7.0", Isolation.READ_COMMITTED),
    ],
)
async def test_other_servers_and_levels_are_left_alone(version: str, isolation: Isolation) -> None:
    txn = FakeTransaction([Answer()], isolation)
    await read(txn, branch(version))
    assert txn.sent == ["read"]


async def test_a_write_is_held_back_by_an_error_of_what_looks_first() -> None:
    txn = FakeTransaction([Answer(WOULD_WAIT), Answer(), Answer()])
    assert await again.look_first(cast(Any, txn), [branch()], look) == []
    assert txn.sent == ["at once", "look", "at once"]
    assert txn.answers[-1].drained
    failing = FakeTransaction([Answer(WOULD_WAIT), Answer(TIMED_OUT)])
    assert await again.look_first(cast(Any, failing), [branch()], look) == [failing.answers[1]]
