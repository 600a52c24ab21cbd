"""[R5] on both ways of an autocommit read: what a client gets while commits are undecided, rolled back or lost.

The shard is a script of replies; what the client was sent is compared with what it may see.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.backend.profile import SessionProfile
from proxy.backend.reply import RelayReply
from proxy.errors import MalformedPacket
from proxy.executor.autocommit import AutocommitRead
from proxy.executor.table_changes import TableChanged
from proxy.session.fast_path import FastPath
from proxy.session.phases import Phase
from proxy.session.state import fresh_state
from proxy.sql.plan import QueryPlan
from proxy.wire.columns import UTF8MB4_GENERAL_CI, text_column
from proxy.wire.packets import frame
from proxy.wire.response_scanner import ResponseScanner
from proxy.wire.responses import ErrPacket, make_err
from proxy.wire.resultsets import make_resultset
from proxy.wire.text_rows import make_text_row
from tests.unit.proxy.executor.test_inserts import catalog
from tests.unit.proxy.sql.planner_catalog import plan
from tso.errors import TsoTimeout
from tso.types import ShardName
from txguard.engine.settings import EngineSettings
from txguard.engine.shard import ConnectionLost, ShardError
from txguard.errors import Conflict, LockWaitTimeout


def reply(text: str | None, *, warnings: int = 0) -> RelayReply:
    """One row with `text`; None: an error."""
    if text is None:
        packets = frame(make_err(ErrPacket(1054, "42S22", "Unknown column")), 1)
    else:
        packets, _ = make_resultset([text_column("c")], [make_text_row([text.encode()])], warnings=warnings)
    scanner = ResponseScanner()
    assert scanner.scan(packets)
    return RelayReply(scanner, packets)


@dataclass(eq=False)
class FakeConnection:
    script: deque[RelayReply | Exception]
    thread_id: int = 5
    busy: bool = False

    async def relay(
        self, prefix: Any, statement: Any, timeout_s: float | None
    ) -> tuple[list[Any], RelayReply]:
        step = self.script.popleft()
        if isinstance(step, Exception):
            raise step
        return [], step

    def relay_nowait(self, statement: Any, on_reply: Any) -> None:
        step = self.script.popleft()
        if isinstance(step, MalformedPacket):
            raise step
        if isinstance(step, Exception):
            on_reply(None, step)
        else:
            on_reply(step, None)

    async def run(self, statements: Any, timeout_s: float | None) -> Any:
        return [SimpleNamespace(rows=[("Warning", "1292", "Truncated")])]


@dataclass
class FakeConnections:
    script: deque[RelayReply | Exception]
    out: int = 0
    profile: SessionProfile = field(default_factory=SessionProfile)

    def acquire_nowait(self, shard: ShardName) -> Any:
        self.out += 1
        return FakeConnection(self.script)

    async def acquire(self, shard: ShardName, timeout_s: float) -> Any:
        return self.acquire_nowait(shard)

    def release(self, shard: ShardName, connection: Any) -> None:
        self.out -= 1


@dataclass
class FakeTso:
    """`at_once` and `later` are the answers to validations, in order; True when they are used up."""

    at_once: list[bool | None] = field(default_factory=list)
    later: list[bool | Exception] = field(default_factory=list)
    calm: int | None = 0
    stays_calm: bool = True

    def read_token_nowait(self, shard: ShardName) -> int:
        return 3

    def calm_token_nowait(self, shard: ShardName) -> int | None:
        return self.calm

    def was_calm_nowait(self, shard: ShardName, token: int) -> bool:
        return self.stays_calm

    def validate_read_nowait(self, shard: ShardName, token: int) -> bool | None:
        return self.at_once.pop(0) if self.at_once else True

    async def validate_read(self, shard: ShardName, token: int, timeout_s: float) -> bool:
        answer = self.later.pop(0) if self.later else True
        if isinstance(answer, Exception):
            raise answer
        return answer


def read(
    tso: FakeTso, *script: RelayReply | Exception, validate: bool = True
) -> tuple[AutocommitRead, FakeConnections]:
    connections = FakeConnections(deque(script))
    made = AutocommitRead(
        ShardName("s1"),
        lambda: None,
        connections,
        tso,
        EngineSettings(),
        validate,  # type: ignore[arg-type,return-value]
    )
    return made, connections


def row(answer: RelayReply) -> bytes | None:
    return answer.rows()[0][0]


# ---------------------------------------------------------------- with patience


async def test_a_read_that_met_a_rolled_back_commit_is_made_again() -> None:
    made, connections = read(FakeTso(at_once=[False, True]), reply("undone"), reply("right"))
    _, answer = await made.run()
    assert row(answer) == b"right"
    assert connections.out == 1


async def test_a_read_waits_for_the_undecided() -> None:
    made, _ = read(FakeTso(at_once=[None, None], later=[False, True]), reply("undone"), reply("right"))
    assert row((await made.run())[1]) == b"right"


async def test_the_wait_is_bounded() -> None:
    made, connections = read(FakeTso(at_once=[None], later=[TsoTimeout()]), reply("undecided"))
    with pytest.raises(LockWaitTimeout):
        await made.run()
    assert connections.out == 0


async def test_a_dead_connection_is_replaced_once() -> None:
    made, connections = read(FakeTso(), ConnectionLost("gone"), reply("right"))
    assert row((await made.run())[1]) == b"right"
    made, connections = read(FakeTso(), ConnectionLost("gone"), ConnectionLost("gone again"))
    with pytest.raises(ConnectionLost, match="again"):
        await made.run()
    assert connections.out == 0


async def test_an_error_of_the_shard_is_the_answer() -> None:
    made, connections = read(FakeTso(), reply(None))
    with pytest.raises(ShardError, match="Unknown column"):
        await made.run()
    assert connections.out == 0


async def test_an_error_about_rows_of_a_rolled_back_commit_is_none() -> None:
    made, _ = read(FakeTso(at_once=[False, True]), reply(None), reply("right"))
    assert row((await made.run())[1]) == b"right"
    bench = Bench(FakeTso(at_once=[False, False]), reply(None))
    assert bench.start()
    await bench.rest()
    assert b"again" in bench.client.sent


async def test_it_does_not_try_for_ever() -> None:
    made, connections = read(FakeTso(at_once=[False] * 20), *[reply("undone") for _ in range(20)])
    with pytest.raises(Conflict):
        await made.run()
    assert connections.out == 0


async def test_without_managed_tables_nothing_is_validated() -> None:
    made, _ = read(FakeTso(at_once=[False]), reply("right"), validate=False)
    assert row((await made.run())[1]) == b"right"


# ---------------------------------------------------------------- without an await


class FakeClient:
    session_state = None

    def __init__(self) -> None:
        self.sequence = 1
        self.closed = False
        self.sent = b""

    def write(self, packets: bytes) -> None:
        self.sent += packets

    def finish(self, packets: bytes = b"") -> None:
        self.sent += packets


class Bench:
    """A fast path whose ordinary way answers `again`."""

    def __init__(self, tso: FakeTso, *script: RelayReply | Exception) -> None:
        self.connections = FakeConnections(deque(script))
        self.client = FakeClient()
        self.carried_on: list[Coroutine[Any, Any, None]] = []
        self.unchanged = self.fenced = True
        store = SimpleNamespace(current=catalog(), unchanged=lambda tables: self.unchanged)
        engine = SimpleNamespace(tso=tso, settings=EngineSettings(), is_fenced=lambda shard: self.fenced)
        services = SimpleNamespace(engine=engine, catalog_store=store, pick_any=lambda: ShardName("s1"))
        self.counters = SimpleNamespace(fast_reads=0)
        self.talk: Any = SimpleNamespace(
            process=SimpleNamespace(services=services, registry=SimpleNamespace(counters=self.counters)),
            connections=self.connections,
            state=fresh_state("app", UTF8MB4_GENERAL_CI),
            transactions=SimpleNamespace(phase=Phase.IDLE),
            values=SimpleNamespace(literal=None),
            reading=SimpleNamespace(codec="utf-8"),
            access=SimpleNamespace(allows=lambda tables: True),
            executor=SimpleNamespace(conditions=[]),
            status=lambda: 2,
            is_over=lambda: None,
            note_result=lambda answer, touches_tables: None,
        )
        engine_of_queries: Any = SimpleNamespace(run=self._again)
        self.path = FastPath(self.talk, self.client, engine_of_queries, self.carried_on.append)  # type: ignore[arg-type]

    async def _again(self, planned: Any, answer: Any, bound: Any) -> None:
        await answer.relay(reply("again"))

    def start(self, sql: str = "SELECT name FROM users WHERE id = 5") -> bool:
        planned = plan(sql)
        assert isinstance(planned.plan, QueryPlan)
        return self.path.start(planned)

    async def rest(self) -> None:
        for work in self.carried_on:
            await work


def test_what_cannot_even_be_sent_gives_its_connection_back() -> None:
    bench = Bench(FakeTso(), MalformedPacket("too short"))
    with pytest.raises(MalformedPacket):
        bench.start()
    assert bench.connections.out == 0


SEVERAL_ROWS = "SELECT item FROM orders WHERE user_id = 5"


def test_several_rows_while_commits_overtake_each_other_take_the_ordinary_way() -> None:
    assert not Bench(FakeTso(calm=None), reply("wrong")).start(SEVERAL_ROWS)
    assert Bench(FakeTso(calm=None), reply("right")).start(), "one row is a state of its own"


async def test_several_rows_that_commits_overtook_meanwhile_are_read_again() -> None:
    bench = Bench(FakeTso(stays_calm=False), reply("wrong"))
    assert bench.start(SEVERAL_ROWS)
    await bench.rest()
    assert b"again" in bench.client.sent
    assert b"wrong" not in bench.client.sent
    assert bench.connections.out == 0


def test_a_shard_that_is_not_fenced_for_this_epoch_takes_the_ordinary_way() -> None:
    bench = Bench(FakeTso(), reply("right"))
    bench.fenced = False
    assert not bench.start()


async def test_the_plain_case_is_answered_at_once() -> None:
    bench = Bench(FakeTso(), reply("right"))
    assert bench.start()
    assert b"right" in bench.client.sent
    assert (bench.carried_on, bench.connections.out, bench.counters.fast_reads) == ([], 0, 1)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM users",
        "SELECT name FROM users WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 900, 40)",
        "SELECT name FROM users WHERE id = 5 FOR UPDATE",
        "SELECT @x FROM users WHERE id = 5",
    ],
)
async def test_anything_else_takes_the_ordinary_way(sql: str) -> None:
    bench = Bench(FakeTso())
    assert not bench.start(sql)
    assert bench.connections.out == 0


async def test_a_transaction_takes_the_ordinary_way() -> None:
    bench = Bench(FakeTso())
    bench.talk.transactions.phase = Phase.OPEN
    assert not bench.start()
    bench = Bench(FakeTso())
    bench.talk.state.autocommit = False
    assert not bench.start()
    bench = Bench(FakeTso())
    bench.talk.state.characteristics.next_read_only = True
    assert not bench.start()


async def test_rows_of_a_rolled_back_commit_never_go_out() -> None:
    bench = Bench(FakeTso(at_once=[False, False]), reply("undone"))
    assert bench.start()
    assert bench.client.sent == b""
    await bench.rest()
    assert b"undone" not in bench.client.sent
    assert b"again" in bench.client.sent
    assert bench.connections.out == 0


async def test_undecided_rows_go_out_once_they_are_committed() -> None:
    bench = Bench(FakeTso(at_once=[None, None], later=[True]), reply("committed"))
    assert bench.start()
    assert bench.client.sent == b""
    await bench.rest()
    assert b"committed" in bench.client.sent
    assert bench.connections.out == 0


async def test_a_lost_connection_is_read_again() -> None:
    bench = Bench(FakeTso(), ConnectionLost("gone"))
    assert bench.start()
    await bench.rest()
    assert b"again" in bench.client.sent


async def test_an_error_is_raised_where_errors_are_handled() -> None:
    bench = Bench(FakeTso(), reply(None))
    assert bench.start()
    with pytest.raises(ShardError):
        await bench.rest()
    assert bench.connections.out == 0


async def test_warnings_are_fetched_before_the_answer() -> None:
    bench = Bench(FakeTso(), reply("right", warnings=1))
    assert bench.start()
    await bench.rest()
    assert bench.talk.executor.conditions[0].errno == 1292
    assert b"right" in bench.client.sent


async def test_a_table_that_changed_meanwhile_makes_the_read_fail() -> None:
    class Changing(FakeTso):
        def validate_read_nowait(self, shard: ShardName, token: int) -> bool | None:
            return None

    bench = Bench(Changing(), reply("old"))
    bench.unchanged = False
    assert bench.start()
    with pytest.raises(TableChanged):
        await bench.rest()
    assert bench.client.sent == b""


async def test_a_client_that_is_gone_is_not_read_for_again() -> None:
    bench = Bench(FakeTso(), ConnectionLost("aborted"))
    bench.client.closed = True
    assert bench.start()
    assert (bench.carried_on, bench.connections.out) == ([], 0)
