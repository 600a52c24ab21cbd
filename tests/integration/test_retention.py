"""A table that keeps its versions for longer than the others: read, told, rolled back and cleaned on real servers."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymysql.connections import Connection
from typer.testing import CliRunner, Result

from proxy.cli.app import build
from proxy.config import to_toml
from tests.integration.conftest import Cluster, StartCluster
from tests.integration.test_time_travel import errno, now, run
from txguard.engine.managed_table import history_name

ROWS, COMMITS = 12, 150
Call = Callable[..., Result]
Rows = tuple[tuple[Any, ...], ...]


@pytest.fixture
async def cluster(own_cluster: StartCluster) -> Cluster:
    return await own_cluster(count=2, retention_s=1)


@pytest.fixture
def txguard(cluster: Cluster, tmp_path: Path) -> Call:
    config = tmp_path / "command.toml"
    config.write_text(to_toml(cluster.config))

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(build(), [*arguments, "--config", str(config)])

    return call


def counts(cluster: Cluster, table: str) -> list[int]:
    """Rows of one of TxGuard's tables, by shard."""
    found = []
    for number in range(len(cluster.servers)):
        with cluster.connect_shard(number) as shard:
            found.append(run(shard, f"SELECT COUNT(*) FROM _txguard.{table}")[0][0])
    return found


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline, "the cleaning did not come to it"
        time.sleep(0.05)


def records_cleaned(cluster: Cluster, instant: int) -> bool:
    """No record up to `instant` is left. The marks may still be below it: they rise only when a record goes."""
    left = []
    for number in range(len(cluster.servers)):
        with cluster.connect_shard(number) as shard:
            query = f"SELECT 1 FROM _txguard.txn WHERE state = 'C' AND commit_ts <= {instant} LIMIT 1"
            left += run(shard, query)
    return not left


def write(client: Connection[Any], seed: int) -> list[tuple[int, Rows]]:
    """Transactions over both tables and shards; an instant after each, and what `ledger` was then."""
    chance, state, moments = random.Random(seed), {}, []
    run(client, "DELETE FROM ledger")
    for _ in range(COMMITS):
        run(client, "BEGIN")
        for _ in range(chance.randint(1, 3)):
            key, value = chance.randrange(ROWS), chance.randrange(1000)
            if key in state and chance.random() < 0.3:
                run(client, f"DELETE FROM ledger WHERE id = {key}")
                del state[key]
            else:
                run(client, f"INSERT INTO ledger VALUES ({key}, {value}) ON DUPLICATE KEY UPDATE v = {value}")
                state[key] = value
        run(client, f"REPLACE INTO plain VALUES ({chance.randrange(ROWS)}, {chance.randrange(1000)})")
        run(client, "COMMIT")
        moments.append((now(client), tuple(sorted(state.items()))))
    return moments


async def test_a_table_keeps_its_versions_for_longer(cluster: Cluster, txguard: Call) -> None:
    await asyncio.to_thread(keep_and_clean, cluster, txguard)


def keep_and_clean(cluster: Cluster, txguard: Call) -> None:
    with cluster.connect() as client:
        run(client, "CREATE DATABASE d")
        client.select_db("d")
        run(client, "CREATE TABLE ledger (id INT PRIMARY KEY, v INT) COMMENT='txguard: retention=1h'")
        run(client, "CREATE TABLE plain (id INT PRIMARY KEY, v INT)")
        moments = write(client, seed=random.randrange(1000))
        until(lambda: records_cleaned(cluster, moments[-1][0]))
        assert counts(cluster, history_name("d", "plain")) == [0, 0]
        assert all(counts(cluster, "kept"))

        for instant, expected in moments:
            assert run(client, f"SELECT * FROM ledger AS OF TIMESTAMP {instant} ORDER BY id") == expected
        instant, expected = moments[COMMITS // 2]
        for key in range(ROWS):
            found = run(client, f"SELECT * FROM ledger AS OF TIMESTAMP {instant} WHERE id = {key}")
            assert found == tuple(row for row in expected if row[0] == key)
        assert errno(client, f"SELECT * FROM plain AS OF TIMESTAMP {instant}") == 9104
        assert errno(client, f"SELECT * FROM plain AS OF TIMESTAMP {instant} WHERE id = 1") == 9104
        run(client, f"START TRANSACTION READ ONLY AS OF TIMESTAMP {instant}")
        assert run(client, "SELECT * FROM ledger ORDER BY id") == expected
        assert errno(client, "SELECT * FROM plain") == 9104
        assert run(client, "SELECT * FROM ledger ORDER BY id") == expected
        joined = "SELECT l.v FROM ledger l JOIN plain p ON l.id = p.id"
        assert errno(client, joined) == 9104
        run(client, "COMMIT")
        assert run(client, "SELECT * FROM ledger ORDER BY id") == moments[-1][1]

        written = {key for _, rows in moments for key, _ in rows}
        history = txguard("history", "d.ledger", str(min(written)))
        assert history.stdout.split()[1] == "insert", "the first version is told, with its time"
        assert "kept from before" not in history.stdout
        assert txguard("rollback-to", str(instant), "--table", "d.ledger", "--yes").exit_code == 0
        assert run(client, "SELECT * FROM ledger ORDER BY id") == expected

        assert "d.ledger: 3600 s" in txguard("retention").stdout
        assert "d.ledger: 3600 s" in txguard("retention", "d.ledger").stdout
        assert txguard("retention", "d.plain").stdout == "d.plain: 1 s, as all tables\n"
        assert txguard("retention", "d.nothing", "7d").exit_code == 2
        assert txguard("retention", "d.nothing").exit_code == 2
        assert txguard("retention", "d.ledger", "for ever").exit_code == 2
        answer = txguard("retention", "d.ledger", "1s")
        assert answer.exit_code == 0, answer.output
        until(lambda: counts(cluster, "kept") == [0, 0])
        until(lambda: counts(cluster, history_name("d", "ledger")) == [0, 0])
        assert errno(client, f"SELECT * FROM ledger AS OF TIMESTAMP {instant}") == 9104
        assert run(client, "SELECT * FROM ledger ORDER BY id") == expected


async def test_it_is_set_later_and_what_was_kept_goes_with_the_table(cluster: Cluster, txguard: Call) -> None:
    await asyncio.to_thread(set_later, cluster, txguard)


def set_later(cluster: Cluster, txguard: Call) -> None:
    with cluster.connect() as client:
        run(client, "CREATE DATABASE d")
        client.select_db("d")
        run(client, "CREATE TABLE ledger (id INT PRIMARY KEY, v INT)")
        run(client, "CREATE TABLE plain (id INT PRIMARY KEY, v INT)")
        before = write(client, seed=random.randrange(1000))
        until(lambda: records_cleaned(cluster, before[-1][0]))
        assert txguard("retention", "d.ledger", "1d").exit_code == 0
        moments = write(client, seed=random.randrange(1000))
        until(lambda: records_cleaned(cluster, moments[-1][0]))
        for instant, expected in moments:
            assert run(client, f"SELECT * FROM ledger AS OF TIMESTAMP {instant} ORDER BY id") == expected
        assert errno(client, f"SELECT * FROM ledger AS OF TIMESTAMP {before[0][0]}") == 9104
        run(client, "TRUNCATE TABLE ledger")
        assert "d.ledger: 86400 s" in txguard("retention", "d.ledger").stdout
        run(client, "DROP TABLE ledger")
        assert txguard("retention").stdout == ""
        until(lambda: counts(cluster, "kept") == [0, 0])
        refused = "CREATE TABLE bare (v INT) COMMENT='txguard: retention=1d'"
        assert errno(client, refused) == 1231
