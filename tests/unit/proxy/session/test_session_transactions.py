"""The session's transaction against an engine that only remembers: begin, implicit commits, losses, the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.executor.connections import SessionConnections
from proxy.session.errors import UnknownSavepoint
from proxy.session.phases import Phase
from proxy.session.state import Characteristics
from proxy.session.transactions import SessionTransactions
from txguard.engine.branch import Isolation
from txguard.engine.states import TransactionState
from txguard.errors import Conflict, TransactionLost


@dataclass
class FakeTransaction:
    isolation: Isolation
    implicit: bool
    state: TransactionState = TransactionState.ACTIVE
    lost_reason: str = "shard s1 was lost"
    start_ts: int | None = None
    read_ts: int | None = None
    branches: dict[str, Any] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    fails: Exception | None = None

    async def commit(self) -> None:
        self.calls.append("commit")
        if self.fails is not None:
            raise self.fails

    async def rollback(self) -> None:
        self.calls.append("rollback")

    def has_savepoint(self, name: str) -> bool:
        return f"savepoint {name}" in self.calls

    async def savepoint(self, name: str) -> None:
        self.calls.append(f"savepoint {name}")

    async def rollback_to(self, name: str) -> None:
        self.calls.append(f"rollback to {name}")


@dataclass
class FakeEngine:
    made: list[FakeTransaction] = field(default_factory=list)

    def transaction(self, connections: object, isolation: Isolation, *, implicit: bool) -> FakeTransaction:
        self.made.append(FakeTransaction(isolation, implicit))
        return self.made[-1]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def transactions(engine: FakeEngine) -> SessionTransactions:
    return SessionTransactions(engine, SessionConnections({}, None))  # type: ignore[arg-type]


async def test_begin_and_commit(transactions: SessionTransactions, engine: FakeEngine) -> None:
    await transactions.begin(Characteristics())
    assert transactions.in_transaction
    await transactions.commit()
    assert engine.made[0].calls == ["commit"]
    assert transactions.phase is Phase.IDLE
    await transactions.commit()
    await transactions.rollback()
    assert engine.made[0].calls == ["commit"]


async def test_begin_commits_what_is_open(transactions: SessionTransactions, engine: FakeEngine) -> None:
    await transactions.begin(Characteristics())
    await transactions.begin(Characteristics(isolation=Isolation.READ_COMMITTED), read_only=True)
    assert [one.calls for one in engine.made] == [["commit"], []]
    assert transactions.read_only
    assert engine.made[1].isolation is Isolation.READ_COMMITTED


async def test_a_begin_whose_implicit_commit_fails_opens_nothing(
    transactions: SessionTransactions, engine: FakeEngine
) -> None:
    await transactions.begin(Characteristics())
    engine.made[0].fails = Conflict("lost")
    with pytest.raises(Conflict):
        await transactions.begin(Characteristics())
    assert transactions.phase is Phase.IDLE
    assert len(engine.made) == 1


async def test_a_failed_commit_ends_the_transaction(
    transactions: SessionTransactions, engine: FakeEngine
) -> None:
    await transactions.begin(Characteristics())
    engine.made[0].fails = Conflict("lost")
    with pytest.raises(Conflict):
        await transactions.commit()
    assert not transactions.in_transaction
    await transactions.rollback()
    assert engine.made[0].calls == ["commit"]


async def test_a_statement_opens_one_without_autocommit(transactions: SessionTransactions) -> None:
    assert await transactions.for_statement(Characteristics(), autocommit=True) is None
    unit = await transactions.for_statement(Characteristics(), autocommit=False)
    assert unit is not None
    assert await transactions.for_statement(Characteristics(), autocommit=False) is unit
    assert await transactions.for_statement(Characteristics(), autocommit=True) is unit


async def test_a_lost_transaction_takes_rollback_only(
    transactions: SessionTransactions, engine: FakeEngine
) -> None:
    await transactions.begin(Characteristics())
    engine.made[0].state = TransactionState.LOST
    transactions.observe()
    assert transactions.phase is Phase.LOST
    for refused in (
        transactions.commit(),
        transactions.begin(Characteristics()),
        transactions.implicit_commit(),
        transactions.savepoint("a"),
        transactions.for_statement(Characteristics(), autocommit=True),
    ):
        with pytest.raises(TransactionLost, match=r"shard s1 was lost; .* send ROLLBACK"):
            await refused
    await transactions.rollback()
    assert engine.made[0].calls == ["rollback"]
    assert transactions.phase is Phase.IDLE


async def test_what_the_engine_rolled_back_is_gone(
    transactions: SessionTransactions, engine: FakeEngine
) -> None:
    await transactions.begin(Characteristics())
    engine.made[0].state = TransactionState.ROLLED_BACK
    transactions.observe()
    assert not transactions.in_transaction
    assert transactions.unit is None
    assert transactions.view() is None


async def test_chain_keeps_the_characteristics(transactions: SessionTransactions, engine: FakeEngine) -> None:
    unit = await transactions.begin(Characteristics(isolation=Isolation.READ_COMMITTED), read_only=True)
    await transactions.commit()
    chained = transactions.chain(unit, Characteristics())
    assert (chained.transaction.isolation, chained.read_only) == (Isolation.READ_COMMITTED, True)
    assert transactions.in_transaction


async def test_savepoints_need_a_transaction(transactions: SessionTransactions, engine: FakeEngine) -> None:
    await transactions.savepoint("a")
    with pytest.raises(UnknownSavepoint):
        await transactions.rollback_to("a")
    await transactions.begin(Characteristics())
    await transactions.savepoint("a")
    await transactions.rollback_to("a")
    with pytest.raises(UnknownSavepoint):
        await transactions.rollback_to("b")
    assert engine.made[0].calls == ["savepoint a", "rollback to a"]


async def test_the_end_of_a_connection_rolls_back(
    transactions: SessionTransactions, engine: FakeEngine
) -> None:
    await transactions.reset()
    await transactions.begin(Characteristics())
    await transactions.reset()
    assert engine.made[0].calls == ["rollback"]


def test_an_implicit_read_is_one_snapshot_whatever_the_level(
    transactions: SessionTransactions, engine: FakeEngine
) -> None:
    characteristics = Characteristics(isolation=Isolation.READ_COMMITTED)
    transactions.implicit_read(characteristics)
    transactions.implicit(characteristics)
    assert [one.isolation for one in engine.made] == [Isolation.REPEATABLE_READ, Isolation.READ_COMMITTED]
    assert all(one.implicit for one in engine.made)
