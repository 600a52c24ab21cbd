"""The inspector on real servers: each rule is seen to hold, to be broken, and not to be checkable."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence

import pytest

from proxy.playground.servers import Server
from tests.fakes.clients import connect_server
from tso.types import LOGICAL_BITS, ShardName
from txguard.engine.aiomysql_shard import AiomysqlConnection, Dsn
from txguard.engine.install import install
from txguard.engine.managed import ManagedTable, manage
from txguard.inspector import Finding, Invariant, Limits, ShardAddress, Verdict, inspect

DATABASE = "inspected"
NAMES = ("alpha", "beta", "gamma")
QUICK = Limits(lock_age_s=2.0, settle_s=0.3, timeout_s=10.0)
LOCKS, AGREEMENT, ROWS, VERSIONS = range(4)


def ts(seconds_ago: float = 1.0) -> int:
    return int((time.time() - seconds_ago) * 1000) << LOGICAL_BITS


class Inspected:
    """Three shards with `_txguard` and one managed table, without any proxy: the tests write the records."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self.servers = dict(zip(NAMES, servers, strict=True))
        self.table: ManagedTable

    @property
    def addresses(self) -> tuple[ShardAddress, ...]:
        return tuple(
            ShardAddress(ShardName(name), Dsn(host=server.host, port=server.port, user="root"))
            for name, server in self.servers.items()
        )

    def run(self, name: str, *statements: str) -> None:
        server = self.servers[name]
        with (
            contextlib.closing(connect_server(server)) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)

    def record(
        self, name: str, start_ts: int, state: str = "C", participants: str | None = "alpha,beta"
    ) -> None:
        listed = f"'{participants}'" if participants else "NULL"
        self.run(name, f"INSERT INTO _txguard.txn VALUES ({start_ts}, {start_ts + 5}, '{state}', {listed})")

    async def protocol(self, limits: Limits = QUICK) -> tuple[Finding, ...]:
        report = await inspect((), proxy_dsn=None, shards=self.addresses, limits=limits)
        return report.protocol

    async def prepare(self) -> None:
        for address in self.addresses:
            connection = await AiomysqlConnection.connect(address.dsn, 10)
            await install(connection)
            await connection.run(
                [
                    f"CREATE DATABASE {DATABASE}",
                    f"CREATE TABLE {DATABASE}.account (id INT PRIMARY KEY, n INT)",
                ],
                10,
            )
            self.table = await manage(connection, DATABASE, "account")
            connection.abort()


@pytest.fixture
def inspected(shard_servers: Sequence[Server]) -> Iterator[Inspected]:
    made = Inspected(shard_servers)
    asyncio.run(made.prepare())
    yield made
    for name in NAMES:
        made.run(name, f"DROP DATABASE {DATABASE}", "DROP DATABASE _txguard")


async def test_all_hold(inspected: Inspected) -> None:
    start_ts = ts()
    for name in ("alpha", "beta"):
        inspected.record(name, start_ts)
    inspected.run("alpha", "SET @txg_bypass = 1", f"INSERT INTO {DATABASE}.account VALUES (1, 1)")
    findings = await inspected.protocol()
    assert [finding.verdict for finding in findings] == [Verdict.HOLDS] * 4, findings


async def test_an_old_lock(inspected: Inspected) -> None:
    inspected.run(
        "beta",
        "INSERT INTO _txguard.txn_lock VALUES (7, 8, 'alpha,beta', NOW(3) - INTERVAL 60 SECOND)",
        "INSERT INTO _txguard.txn_lock VALUES (9, 10, 'alpha,beta', NOW(3))",
    )
    locks = (await inspected.protocol())[LOCKS]
    assert locks.verdict is Verdict.VIOLATED
    assert "beta: transaction 7 for 60." in locks.detail
    assert "transaction 9" not in locks.detail


async def test_an_old_lock_that_goes_while_the_inspector_looks(inspected: Inspected) -> None:
    inspected.run(
        "beta", "INSERT INTO _txguard.txn_lock VALUES (7, 8, 'alpha,beta', NOW(3) - INTERVAL 60 SECOND)"
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(inspected.protocol(Limits(settle_s=20.0)))
        await asyncio.sleep(0.5)
        inspected.run("beta", "DELETE FROM _txguard.txn_lock")
    assert task.result()[LOCKS].verdict is Verdict.HOLDS


@pytest.mark.parametrize(("state", "detail"), [(None, "no record on beta"), ("R", "different outcomes")])
async def test_a_participant_that_disagrees(inspected: Inspected, state: str | None, detail: str) -> None:
    start_ts = ts()
    inspected.record("alpha", start_ts)
    if state is not None:
        inspected.record("beta", start_ts, state)
    agreement = (await inspected.protocol())[AGREEMENT]
    assert agreement.verdict is Verdict.VIOLATED
    assert f"{start_ts}: {detail}" in agreement.detail


async def test_a_prewrite_under_way_is_not_a_violation(inspected: Inspected) -> None:
    start_ts = ts()
    inspected.record("alpha", start_ts)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(inspected.protocol(Limits(settle_s=20.0)))
        await asyncio.sleep(0.5)
        inspected.record("beta", start_ts)
    assert task.result()[AGREEMENT].verdict is Verdict.HOLDS


async def test_a_record_older_than_the_retention_may_be_gone_on_one_shard(inspected: Inspected) -> None:
    inspected.record("alpha", ts(seconds_ago=3600))
    assert (await inspected.protocol())[AGREEMENT].verdict is Verdict.HOLDS


async def test_disagreements_are_found_on_every_page(
    inspected: Inspected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("txguard.inspector.shard_reader.PAGE", 3)
    monkeypatch.setattr("txguard.inspector.protocol_rules.PAGE", 3)
    first = ts()
    for n in range(10):
        inspected.record("alpha", first + n)
        if n != 7:
            inspected.record("beta", first + n)
        inspected.record("gamma", first + 100 + n, participants="gamma,alpha")
        inspected.record("alpha", first + 100 + n, participants="gamma,alpha")
    agreement = (await inspected.protocol())[AGREEMENT]
    assert agreement.detail == f"{first + 7}: no record on beta; alpha C"


@pytest.mark.parametrize("record", [None, "R"])
async def test_a_row_whose_writer_never_committed(inspected: Inspected, record: str | None) -> None:
    start_ts = ts()
    inspected.run(
        "gamma",
        "SET @txg_bypass = 1",
        f"INSERT INTO {DATABASE}.account (id, n, _txg_ts) VALUES (1, 1, {start_ts}), (2, 2, {ts(3600)})",
    )
    if record is not None:
        inspected.record("gamma", start_ts, record, participants=None)
    rows = (await inspected.protocol())[ROWS]
    assert rows.verdict is Verdict.VIOLATED
    assert rows.detail == (
        f"gamma: {DATABASE}.account has 1 row(s) written by {start_ts}, which has no commit record there"
    )


async def test_an_old_version_whose_successor_never_committed(inspected: Inspected) -> None:
    start_ts = ts()
    inspected.run(
        "alpha",
        f"SET @txg_start_ts = {start_ts}, @txg_floor = {start_ts}",
        f"INSERT INTO {DATABASE}.account VALUES (1, 1)",
        "SET @txg_start_ts = NULL",
    )
    findings = await inspected.protocol()
    assert findings[VERSIONS].verdict is Verdict.VIOLATED
    assert f"replaced by {start_ts}" in findings[VERSIONS].detail
    assert findings[ROWS].verdict is Verdict.VIOLATED


async def test_a_shard_that_is_away_makes_its_questions_unchecked_but_hides_no_violation(
    inspected: Inspected,
) -> None:
    inspected.run(
        "beta", "INSERT INTO _txguard.txn_lock VALUES (7, 8, 'alpha,beta', NOW(3) - INTERVAL 60 SECOND)"
    )
    inspected.run(
        "alpha", "INSERT INTO _txguard.txn_lock VALUES (9, 10, 'alpha,delta', NOW(3) - INTERVAL 60 SECOND)"
    )
    inspected.record("alpha", ts(), participants="alpha,delta")
    addresses = (*inspected.addresses, ShardAddress(ShardName("delta"), Dsn(port=1)))
    report = await inspect((), proxy_dsn=None, shards=addresses, limits=QUICK)
    verdicts = [finding.verdict for finding in report.protocol]
    assert verdicts == [Verdict.VIOLATED, *[Verdict.UNCHECKED] * 3]
    assert "transaction 9" not in report.protocol[LOCKS].detail  # delta may know its outcome
    assert "delta" in report.protocol[AGREEMENT].detail
    assert report.exit_code == 1


async def test_invariants_of_the_data(inspected: Inspected) -> None:
    """A single server stands for the proxy: the transaction and the judgement are the same."""
    server = inspected.servers["alpha"]
    inspected.run(
        "alpha", "SET @txg_bypass = 1", f"INSERT INTO {DATABASE}.account VALUES (1, 10), (2, 20), (3, -5)"
    )
    report = await inspect(
        [
            Invariant("sum", f"SELECT SUM(n) FROM {DATABASE}.account", 25),
            Invariant("sum is not", f"SELECT SUM(n) FROM {DATABASE}.account", 26),
            Invariant("no debt", f"SELECT id, n FROM {DATABASE}.account WHERE n < 0", None),
            Invariant("misspelt", f"SELECT SUM(m) FROM {DATABASE}.account", 25),
            Invariant("still asked", "SELECT 1", 1),
        ],
        proxy_dsn=f"mysql://root@{server.host}:{server.port}",
        shards=(),
        limits=QUICK,
    )
    assert [(finding.verdict, finding.detail[:22]) for finding in report.invariants] == [
        (Verdict.HOLDS, ""),
        (Verdict.VIOLATED, "25, expected 26"),
        (Verdict.VIOLATED, "1 row(s): 3, -5"),
        (Verdict.UNCHECKED, '(1054, "Unknown column'),
        (Verdict.HOLDS, ""),
    ]


async def test_a_proxy_that_is_away(inspected: Inspected) -> None:
    limits = Limits(timeout_s=0.5)
    report = await inspect(
        [Invariant("one", "SELECT 1", 1)], proxy_dsn="mysql://root@127.0.0.1:1", shards=(), limits=limits
    )
    assert report.exit_code == 2
    assert "cannot be asked" in report.invariants[0].detail
