"""Which outcome a client records for which error: unknown stays unknown, and a failure is certain."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pymysql.err import IntegrityError, OperationalError

from tests.torture.anomalies import Level
from tests.torture.client import Attempt, Client
from tests.torture.history import Header, Operation, Outcome, Recorder

LOST = OperationalError(2013, "Lost connection")
CONFLICT = OperationalError(1213, "conflict")
UNDETERMINED = OperationalError(9101, "not known")
DUPLICATE = IntegrityError(1062, "duplicate")
HALF_PACKET = AttributeError("'NoneType' object has no attribute 'readexactly'")


class Scripted(Client):
    """Its statements fail as they are told to."""

    def __init__(self, failures: dict[str, Exception]) -> None:
        recorder = Recorder(Header("append", Level.SNAPSHOT, 0), lambda: 0.0)
        super().__init__(0, [1], "none", Level.SNAPSHOT, recorder, random.Random(1))
        self.failures = failures
        self.sent: list[str] = []

    async def connected(self) -> bool:
        return True

    async def execute(self, sql: str) -> tuple[list[tuple[Any, ...]], int]:
        self.sent.append(sql)
        if sql in self.failures:
            raise self.failures[sql]
        return [(1,)], 1

    def recorded(self) -> Operation:
        [operation] = self.recorder.history().operations
        return operation


async def write(attempt: Attempt) -> str:
    await attempt.run("WRITE")
    return "written"


@pytest.mark.parametrize(
    ("statement", "error", "outcome"),
    [
        ("BEGIN", LOST, Outcome.FAIL),
        ("WRITE", LOST, Outcome.FAIL),
        ("WRITE", TimeoutError(), Outcome.FAIL),
        ("WRITE", CONFLICT, Outcome.FAIL),
        ("WRITE", HALF_PACKET, Outcome.FAIL),
        ("COMMIT", CONFLICT, Outcome.FAIL),
        ("COMMIT", UNDETERMINED, Outcome.INFO),
        ("COMMIT", LOST, Outcome.INFO),
        ("COMMIT", TimeoutError(), Outcome.INFO),
        ("COMMIT", HALF_PACKET, Outcome.INFO),
        ("COMMIT", OperationalError(1105, "internal error"), Outcome.INFO),
        ("none", LOST, Outcome.OK),
    ],
)
async def test_a_transaction(statement: str, error: Exception, outcome: Outcome) -> None:
    client = Scripted({statement: error})
    assert await client.transaction("txn", "asked", write) is outcome
    operation = client.recorded()
    assert operation.outcome is outcome
    assert (client.sent[-1] == "COMMIT") == (statement in ("COMMIT", "none"))


@pytest.mark.parametrize(
    ("error", "read_only", "outcome"),
    [
        (LOST, False, Outcome.INFO),
        (TimeoutError(), False, Outcome.INFO),
        (UNDETERMINED, False, Outcome.INFO),
        (DUPLICATE, False, Outcome.FAIL),
        (CONFLICT, False, Outcome.FAIL),
        (LOST, True, Outcome.FAIL),
    ],
)
async def test_an_autocommit_statement(error: Exception, read_only: bool, outcome: Outcome) -> None:
    client = Scripted({"WRITE": error})
    assert await client.single("txn", "asked", write, read_only=read_only) is outcome


async def test_what_is_known_of_an_unknown_outcome_is_kept() -> None:
    client = Scripted({"COMMIT": LOST})
    await client.transaction("txn", "asked", write)
    assert (client.recorded().value, client.recorded().error) == ("written", f"OperationalError: {LOST}")


async def test_an_unknown_outcome_can_be_asked_for_by_its_start_ts() -> None:
    asked = 0
    for seed in range(20):
        client = Scripted({"COMMIT": LOST})
        client.rng = random.Random(seed)
        await client.transaction("txn", "asked", write)
        assert client.unknown in ([], [(1, 1)])
        assert bool(client.unknown) == ("SELECT @@txguard_start_ts" in client.sent)
        asked += len(client.unknown)
    assert 0 < asked < 20


async def test_error_9101_names_the_transaction() -> None:
    client = Scripted({"WRITE": OperationalError(9101, "the outcome of transaction 77 is not known yet")})
    await client.single("txn", "asked", write)
    assert client.unknown == [(1, 77)]


async def test_an_answer_that_cannot_be_is_told() -> None:
    async def unpack(attempt: Attempt) -> str:
        [[_one], [_two]] = await attempt.run("READ")
        return "never"

    client = Scripted({})
    assert await client.transaction("read", None, unpack, read_only=True) is Outcome.FAIL
    assert len(client.strange) == 1
