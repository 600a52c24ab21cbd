"""What became of a transaction: @@txguard_start_ts, SHOW TXGUARD TRANSACTION, `txguard txn`, session state."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection

from proxy.cli import txn
from proxy.wire.capabilities import Capability
from proxy.wire.commands import Command
from proxy.wire.responses import is_err, make_variable_change, parse_ok
from tests.integration.conftest import Cluster, StartCluster
from tests.unit.proxy.cli.test_commands import run as run_command

SETTLED_S = 15.0


def run(connection: Connection[Any], sql: str) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall())


def start_ts(connection: Connection[Any]) -> int:
    [(value,)] = run(connection, "SELECT @@txguard_start_ts")
    return int(value)


def outcome(connection: Connection[Any], number: int) -> tuple[str, int | None, list[str], str]:
    [(asked, state, commit_ts, participants, reason)] = run(connection, f"SHOW TXGUARD TRANSACTION {number}")
    assert asked == number
    return state, commit_ts, participants.split(",") if participants else [], reason


def fill(connection: Connection[Any], database: str) -> None:
    run(connection, f"CREATE TABLE {database}.t (id INT PRIMARY KEY, v INT NOT NULL)")
    rows = ", ".join(f"({key}, 0)" for key in range(1, 21))  # enough for some on every shard
    run(connection, f"INSERT INTO {database}.t VALUES {rows}")


def test_the_start_ts_of_open_last_and_no_transaction(proxy_cluster: Cluster, database: str) -> None:
    with proxy_cluster.connect(database) as client, proxy_cluster.connect(database) as fresh:
        assert start_ts(fresh) == 0
        fill(client, database)
        inserted = start_ts(client)
        assert inserted > 0
        run(client, "BEGIN")
        assert start_ts(client) == 0, "the open transaction has none yet"
        run(client, "UPDATE t SET v = 1 WHERE id = 1")
        mine = start_ts(client)
        assert mine > inserted
        run(client, "COMMIT")
        assert start_ts(client) == mine
        run(client, "SELECT v FROM t WHERE id = 1")
        assert start_ts(client) == mine, "an autocommit read of one shard is no transaction"
        with pytest.raises(pymysql.err.OperationalError, match="read only"):
            run(client, "SET txguard_start_ts = 1")


def session_state(connection: Any, sql: str) -> bytes:
    """What the statement's OK packet says of the session's state."""
    connection._execute_command(Command.COM_QUERY, sql)
    payload = bytes(connection._read_packet().get_all_data())
    assert not is_err(payload)
    return parse_ok(payload, Capability.SESSION_TRACK).session_state


def test_the_ok_packet_tells_the_start_ts_once(proxy_cluster: Cluster, database: str) -> None:
    with (
        proxy_cluster.connect(database, client_flag=int(Capability.SESSION_TRACK)) as client,
        proxy_cluster.connect(database) as plain,
    ):
        fill(client, database)
        for _ in range(2):
            assert session_state(client, "BEGIN") == b""
            told = session_state(client, "UPDATE t SET v = v + 1 WHERE id = 1")
            assert told == make_variable_change("txguard_start_ts", str(start_ts(client)))
            assert session_state(client, "UPDATE t SET v = v + 1 WHERE id = 2") == b""
            assert session_state(client, "COMMIT") == b""
        assert session_state(client, "UPDATE t SET v = v + 1 WHERE id = 2") == b"", "its OK is its outcome"
        run(plain, "BEGIN")
        assert session_state(plain, "UPDATE t SET v = 9 WHERE id = 1") == b"", "it did not ask for it"
        run(plain, "ROLLBACK")


def test_open_committed_rolled_back_and_unknown(proxy_cluster: Cluster, database: str) -> None:
    with proxy_cluster.connect(database) as client, proxy_cluster.connect() as other:
        fill(client, database)
        run(client, "BEGIN")
        run(client, "UPDATE t SET v = v + 1")
        mine = start_ts(client)
        state, _, _, reason = outcome(other, mine)
        assert (state, "still open" in reason) == ("in doubt", True)
        run(client, "COMMIT")
        state, commit_ts, participants, _ = outcome(other, mine)
        assert (state, participants) == ("committed", ["s1", "s2", "s3"])
        assert commit_ts is not None
        assert commit_ts > mine
        run(client, "BEGIN")
        run(client, "UPDATE t SET v = v + 1")
        undone = start_ts(client)
        run(client, "ROLLBACK")
        assert outcome(other, undone)[0] == "rolled back"
        run(client, "UPDATE t SET v = 5 WHERE id = 1")
        state, _, participants, _ = outcome(other, start_ts(client))
        assert (state, len(participants)) == ("committed", 1)
        assert outcome(other, mine + (1 << 40))[0] == "unknown"
        assert outcome(other, 5)[0] == "unknown", "older than the retention"


def test_a_victim_of_a_conflict_is_rolled_back(proxy_cluster: Cluster, database: str) -> None:
    with proxy_cluster.connect(database) as client, proxy_cluster.connect(database) as other:
        fill(client, database)
        run(client, "BEGIN")
        run(client, "SELECT * FROM t")
        mine = start_ts(client)
        run(other, "UPDATE t SET v = 7 WHERE id = 1")
        with pytest.raises(pymysql.err.OperationalError) as raised:
            run(client, "UPDATE t SET v = 8 WHERE id = 1")
        assert raised.value.args[0] == 1213
        assert start_ts(client) == mine
        assert outcome(other, mine)[0] == "rolled back"


def test_the_command_tells_by_status_and_json(proxy_cluster: Cluster, database: str, tmp_path: Path) -> None:
    dsn = f"mysql://root@127.0.0.1:{proxy_cluster.port}"
    with proxy_cluster.connect(database) as client:
        fill(client, database)
        run(client, "BEGIN")
        run(client, "UPDATE t SET v = v + 1")
        mine = start_ts(client)
        assert run_command(txn.command, str(mine), "--dsn", dsn)[0] == 3
        run(client, "COMMIT")
        status, stdout, _ = run_command(txn.command, str(mine), "--dsn", dsn, "--json")
        answer = json.loads(stdout)
        assert (status, answer["state"], answer["participants"]) == (0, "committed", ["s1", "s2", "s3"])
        run(client, "BEGIN")
        run(client, "UPDATE t SET v = v + 1")
        undone = start_ts(client)
        run(client, "ROLLBACK")
        assert run_command(txn.command, str(undone), "--dsn", dsn)[0] == 1
        assert run_command(txn.command, "5", "--dsn", dsn)[0] == 4
    nobody = run_command(txn.command, "5", "--dsn", "mysql://root@127.0.0.1:1")
    assert nobody[0] == 2
    assert "could not be asked" in nobody[2]


async def test_in_doubt_names_the_shard_and_ends_as_the_data_say(own_cluster: StartCluster) -> None:
    cluster = await own_cluster(count=2)
    with cluster.connect() as client:
        run(client, "CREATE DATABASE d")
        fill(client, "d")
        run(client, "BEGIN")
        run(client, "UPDATE d.t SET v = 1")
        mine = start_ts(client)
        cluster.servers[1].pause()
        with pytest.raises(pymysql.err.OperationalError) as raised:
            await asyncio.to_thread(run, client, "COMMIT")
    assert raised.value.args[0] == 9101
    assert f"SHOW TXGUARD TRANSACTION {mine}" in raised.value.args[1]
    with cluster.connect() as client:
        state, _, participants, reason = await asyncio.to_thread(outcome, client, mine)
        assert (state, participants) == ("in doubt", ["s1", "s2"])
        assert "s2 does not answer" in reason
    await cluster.proxy.kill9()
    cluster.servers[1].resume()
    await cluster.proxy.start()
    with cluster.connect() as client:
        deadline = time.monotonic() + SETTLED_S
        while (answer := await asyncio.to_thread(outcome, client, mine))[0] == "in doubt":
            assert time.monotonic() < deadline, answer
        [(lowest, highest)] = run(client, "SELECT MIN(v), MAX(v) FROM d.t")
        assert (answer[0], lowest, highest) in (("committed", 1, 1), ("rolled back", 0, 0))
