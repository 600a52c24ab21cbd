"""SET against a shard that answers from memory: what is kept, what is asked, and that a failing SET changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from proxy.errors import NotSupported, ProxyError
from proxy.session.errors import (
    CharacteristicsInTransaction,
    GlobalVariableDenied,
    ReadOnlyVariable,
    UnknownVariable,
    WrongTypeForVariable,
    WrongValueForVariable,
)
from proxy.session.session_values import Identity, SessionValues
from proxy.session.set_statement import SetStatement, uses_one_shot_form
from proxy.session.shard_questions import SettingsMemory
from proxy.session.state import SessionState, UserValue, fresh_state
from proxy.sql.plan import SetPlan
from proxy.sql.planner import Planner
from proxy.wire.columns import UTF8MB4_GENERAL_CI
from tests.unit.proxy.sql.planner_catalog import SCHEMAS
from txguard.engine.branch import Isolation
from txguard.engine.shard import Rows, ShardError


@dataclass
class FakeShards:
    """`values`: what @@SESSION.x is. A value of 'bad' is refused with 1231."""

    values: dict[str, UserValue] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def evaluate(self, expression: str) -> UserValue:
        self.asked.append(expression)
        if expression.startswith("@@SESSION."):
            name = expression.removeprefix("@@SESSION.")
            if name not in self.values:
                raise ShardError(1193, "HY000", f"Unknown system variable '{name}'")
            return self.values[name]
        return f"value of {expression}"

    async def ask(self, statements: Sequence[str]) -> list[Rows]:
        self.asked += statements
        if "'bad'" in statements[0]:
            raise ShardError(1231, "42000", "can't be set")
        value = statements[0].partition("=")[2].strip("'")
        return [Rows([]), Rows([[value]]), Rows([])]


@dataclass
class Bench:
    state: SessionState = field(default_factory=lambda: fresh_state("app", UTF8MB4_GENERAL_CI))
    shards: FakeShards = field(default_factory=FakeShards)
    memory: SettingsMemory = field(default_factory=SettingsMemory)
    in_transaction: bool = False

    async def set(self, sql: str) -> bool:
        planned = Planner().plan(sql, SCHEMAS, "app")
        assert isinstance(planned.plan, SetPlan)
        identity = Identity(7, "root", "localhost", 4000, 1024)
        statement = SetStatement(
            state=self.state,
            values=SessionValues(self.state, identity, self.shards),
            shards=self.shards,
            memory=self.memory,
            literals=planned.literals,
            in_transaction=self.in_transaction,
            one_shot=uses_one_shot_form(sql),
            usual={"lock_wait_timeout": "3"},
        )
        return await statement.run(planned.plan)


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("SET @x = 5", 5),
        ("SET @x = 1.50", Decimal("1.50")),
        ("SET @x = 'text'", "text"),
        ("SET @x = NULL", None),
        ("SET @x = @@autocommit", 1),
        ("SET @x = @never", None),
        ("SET @x = 1 + 2", "value of 1 + 2"),
    ],
)
async def test_user_variables(sql: str, value: object) -> None:
    bench = Bench()
    await bench.set(sql)
    assert bench.state.user_variables == {"x": value}


async def test_values_are_those_from_before_the_statement() -> None:
    bench = Bench()
    await bench.set("SET @a = 1")
    await bench.set("SET @a = 2, @b = @a, autocommit = 0, @c = @@autocommit")
    assert bench.state.user_variables == {"a": 2, "b": 1, "c": 1}
    assert not bench.state.autocommit


async def test_autocommit_tells_when_it_goes_on() -> None:
    bench = Bench()
    assert not await bench.set("SET autocommit = 1")
    assert not await bench.set("SET autocommit = OFF")
    assert await bench.set("SET autocommit = ON")


async def test_a_shard_s_variable_is_tried_there_and_remembered() -> None:
    bench = Bench()
    await bench.set("SET time_zone = '+02:00'")
    assert bench.state.shard_variables == {"time_zone": "'+02:00'"}
    assert bench.shards.asked == [
        "SET SESSION time_zone='+02:00'",
        "SELECT @@SESSION.time_zone",
        "SET SESSION time_zone=DEFAULT",
    ]
    bench.shards.asked.clear()
    await bench.set("SET time_zone = '+03:00'")
    assert bench.shards.asked[-1] == "SET SESSION time_zone='+02:00'"
    bench.shards.asked.clear()
    await bench.set("SET time_zone = '+02:00'")
    assert bench.shards.asked == []


async def test_default_forgets_what_was_set() -> None:
    bench = Bench(shards=FakeShards({"time_zone": "SYSTEM"}))
    await bench.set("SET time_zone = '+02:00', wait_timeout = 5")
    await bench.set("SET time_zone = DEFAULT, wait_timeout = DEFAULT")
    assert bench.state.shard_variables == {}
    assert bench.state.variables == {"wait_timeout": 28_800}


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SET nonsense = 1", UnknownVariable),
        ("SET nonsense = DEFAULT", ShardError),
        ("SET GLOBAL sql_mode = ''", GlobalVariableDenied),
        ("SET GLOBAL TRANSACTION READ ONLY", GlobalVariableDenied),
        ("SET autocommit = 2", WrongValueForVariable),
        ("SET autocommit = 0.5", ProxyError),
        ("SET wait_timeout = 'x'", WrongTypeForVariable),
        ("SET version = '1'", ReadOnlyVariable),
        ("SET time_zone = 'bad'", ShardError),
        ("SET sql_mode = 'STRICT_ALL_TABLES,ANSI_QUOTES'", NotSupported),
        ("SET sql_mode = 'ansi'", NotSupported),
        ("SET tx_isolation = 'nonsense'", WrongValueForVariable),
        ("SET insert_id = 5", NotSupported),
        ("SET sql_select_limit = 'x'", WrongTypeForVariable),
        ("SET low_priority_updates = 1", NotSupported),
    ],
)
async def test_a_failing_set_changes_nothing(sql: str, error: type[Exception]) -> None:
    bench = Bench(shards=FakeShards({"low_priority_updates": 0}))
    before = fresh_state("app", UTF8MB4_GENERAL_CI)
    with pytest.raises(error):
        await bench.set(sql)
    if "TRANSACTION" not in sql:
        with pytest.raises(error):
            await bench.set(sql.replace("SET ", "SET @x = 1, ", 1))
    assert bench.state == before


async def test_a_variable_may_be_set_to_what_it_is() -> None:
    bench = Bench(shards=FakeShards({"sql_auto_is_null": 0, "storage_engine": "InnoDB", "sql_notes": 1}))
    await bench.set("SET sql_auto_is_null = 0, storage_engine = 'innodb', sql_notes = ON")
    with pytest.raises(NotSupported, match="@@sql_auto_is_null to another value"):
        await bench.set("SET sql_auto_is_null = 1")


@pytest.mark.parametrize(
    ("sql", "isolation"),
    [
        ("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", Isolation.READ_COMMITTED),
        ("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED", Isolation.READ_COMMITTED),
        ("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", Isolation.REPEATABLE_READ),
        ("SET transaction_isolation = 'READ-COMMITTED'", Isolation.READ_COMMITTED),
        ("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", Isolation.SERIALIZABLE),
        ("SET transaction_isolation = 'SERIALIZABLE'", Isolation.SERIALIZABLE),
        ("SET SESSION tx_isolation = 'read-committed'", Isolation.READ_COMMITTED),
    ],
)
async def test_isolation_of_the_session(sql: str, isolation: Isolation) -> None:
    bench = Bench(in_transaction=True)
    await bench.set(sql)
    assert bench.state.characteristics.isolation is isolation
    assert not bench.state.characteristics.one_shot


@pytest.mark.parametrize(
    "sql",
    [
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY",
        "SET @@transaction_isolation = 'READ-COMMITTED'",
    ],
)
async def test_characteristics_for_one_transaction(sql: str) -> None:
    bench = Bench()
    await bench.set(sql)
    characteristics = bench.state.characteristics
    assert characteristics.isolation is Isolation.REPEATABLE_READ
    assert characteristics.take()[0] is Isolation.READ_COMMITTED
    assert characteristics.take() == (Isolation.REPEATABLE_READ, False)
    bench.in_transaction = True
    with pytest.raises(CharacteristicsInTransaction):
        await bench.set(sql)


async def test_names_set_three_character_sets_at_once() -> None:
    bench = Bench()
    await bench.set("SET NAMES latin1")
    charset = bench.state.charset
    assert charset.results is not None
    assert (charset.client.name, charset.results.name, charset.connection.name) == (
        "latin1",
        "latin1",
        "latin1",
    )
    await bench.set("SET character_set_results = NULL")
    assert bench.state.charset.results is None
    assert bench.state.charset.client.name == "latin1"
    await bench.set("SET collation_connection = utf8mb4_bin")
    assert bench.state.charset.connection.name == "utf8mb4"
    assert bench.state.charset.client.name == "latin1"


async def test_a_trial_leaves_the_connection_as_it_was() -> None:
    bench = Bench()
    for name, before in (("lock_wait_timeout", "3"), ("long_query_time", "DEFAULT")):
        await bench.set(f"SET {name} = 7")
        assert bench.shards.asked[-1] == f"SET SESSION {name}={before}"


async def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SettingsMemory, "LIMIT", 10)
    bench = Bench()
    for number in range(30):
        await bench.set(f"SET timestamp = {number}")
    assert len(bench.memory._accepted) == 10
