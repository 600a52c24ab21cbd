"""`txguard recover`: deciding by hand while a shard is gone, and the shard that returns all the same."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection

from proxy.cli import recover
from tests.integration.conftest import Cluster, StartCluster
from tests.integration.test_outcomes import fill, outcome, run, start_ts
from tests.unit.proxy.cli.test_commands import run as run_command

BACK_S = 20.0
# Each takes ten seconds and more, of time-outs; one kind of server each shows enough.


async def in_doubt(cluster: Cluster) -> int:
    """A commit whose second participant stops to answer in the middle; its start_ts."""
    with cluster.connect() as client:
        run(client, "CREATE DATABASE d")
        fill(client, "d")
        run(client, "BEGIN")
        run(client, "UPDATE d.t SET v = 1")
        number = start_ts(client)
        cluster.servers[1].pause()
        with pytest.raises(pymysql.err.OperationalError) as raised:
            await asyncio.to_thread(run, client, "COMMIT")
        assert raised.value.args[0] == 9101
    return number


async def command(cluster: Cluster, *arguments: str) -> tuple[int, str]:
    config = cluster.proxy.log.parent / "txguard.toml"
    status, stdout, stderr = await asyncio.to_thread(
        run_command, recover.command, "--config", str(config), *arguments
    )
    return status, stdout + stderr


def values_of_the_first_shard(cluster: Cluster) -> set[int]:
    with cluster.connect_shard(0) as shard:
        return {row[0] for row in run(shard, "SELECT v FROM d.t")}


async def wait_for(client: Connection[Any], sql: str, wanted: tuple[Any, ...]) -> None:
    deadline = time.monotonic() + BACK_S
    while True:
        try:
            found: Any = await asyncio.to_thread(run, client, sql)
        except pymysql.err.MySQLError as error:
            found = error
        if found == (wanted,):
            return
        assert time.monotonic() < deadline, found


@pytest.mark.mysql_only
async def test_rolled_back_by_hand_and_undone_on_the_shard_that_returns(own_cluster: StartCluster) -> None:
    cluster = await own_cluster(count=2)
    assert await command(cluster) == (0, "nothing is in doubt on the shards that answer\n")
    number = await in_doubt(cluster)
    status, listed = await command(cluster, "--json")
    [doubt] = json.loads(listed)["doubts"]
    assert (status, doubt["start_ts"], doubt["participants"]) == (1, number, ["s1", "s2"])
    assert (doubt["lost"], doubt["committed_on"]) == (["s2"], ["s1"])

    status, text = await command(cluster, "--rollback", str(number), "--yes-i-lose", "s1,s2")
    assert status == 1
    assert f"txguard recover --rollback {number} --yes-i-lose s2" in text
    assert "its client may have been told that it is committed" in text
    assert values_of_the_first_shard(cluster) == {1}

    status, text = await command(cluster, "--rollback", str(number), "--yes-i-lose", "s2")
    assert (status, "rolled back" in text) == (0, True), text
    assert values_of_the_first_shard(cluster) == {0}
    status, text = await command(cluster, "--commit", str(number), "--yes-i-lose", "s2")
    assert (status, "rolled back" in text) == (1, True), "what is decided stays decided"

    cluster.servers[1].resume()  # with the prewrite that it had received
    with cluster.connect() as client:
        await wait_for(client, "SELECT MIN(v), MAX(v), COUNT(*) FROM d.t", (0, 0, 20))
        assert outcome(client, number)[0] == "rolled back"
    assert (await command(cluster))[0] == 0


@pytest.mark.mariadb_only
async def test_committed_by_hand_and_refused_without_its_part(own_cluster: StartCluster) -> None:
    cluster = await own_cluster(count=2)
    number = await in_doubt(cluster)
    await cluster.servers[1].kill9()  # before it could read the prewrite
    status, text = await command(cluster, "--commit", str(number))
    assert (status, "--yes-i-lose s2" in text) == (1, True)
    status, text = await command(cluster, "--commit", str(number), "--yes-i-lose", "s2")
    assert (status, "committed" in text) == (0, True), text
    assert values_of_the_first_shard(cluster) == {1}

    await cluster.proxy.stop()
    await cluster.servers[1].start()
    await cluster.proxy.start()
    with cluster.connect() as client:
        assert outcome(client, number)[0] == "committed"
        deadline = time.monotonic() + BACK_S
        while f"lacks its part of transaction {number}" not in run(client, "SHOW TXGUARD SHARDS")[1][9]:
            assert time.monotonic() < deadline
        with pytest.raises(pymysql.err.OperationalError) as raised:
            await asyncio.to_thread(run, client, "SELECT * FROM d.t")
        assert raised.value.args[0] == 9102
        status, text = await command(cluster, "--accept", str(number))
        assert (status, f"--accept {number} --yes-i-lose s2" in text) == (1, True)
        status, text = await command(cluster, "--accept", str(number), "--yes-i-lose", "s2")
        assert status == 0, text
        await wait_for(client, "SELECT MIN(v), MAX(v), COUNT(*) FROM d.t", (0, 1, 20))
        assert outcome(client, number)[0] == "committed"
    assert (await command(cluster))[0] == 0

    # The retention passes, and the proxy starts again: it has agreed before.
    await cluster.proxy.stop()
    with cluster.connect_shard(1) as shard:
        [(commit_ts,)] = run(shard, f"SELECT commit_ts FROM _txguard.txn WHERE start_ts = {number}")
        run(shard, f"UPDATE _txguard.txn SET commit_ts = {commit_ts} WHERE start_ts = 0")
        run(shard, f"DELETE FROM _txguard.txn WHERE start_ts = {number}")
    await cluster.proxy.start()
    with cluster.connect() as client:
        await wait_for(client, "SELECT MIN(v), MAX(v), COUNT(*) FROM d.t", (0, 1, 20))


@pytest.mark.mariadb_only
async def test_what_settles_by_itself_is_not_decided_by_hand(own_cluster: StartCluster) -> None:
    cluster = await own_cluster(count=2)
    number = await in_doubt(cluster)
    cluster.servers[1].resume()
    with cluster.connect() as client:
        deadline = time.monotonic() + BACK_S
        while (state := (await asyncio.to_thread(outcome, client, number))[0]) == "in doubt":
            assert time.monotonic() < deadline
        other = "--commit" if state == "rolled back" else "--rollback"
        status, text = await command(cluster, other, str(number), "--yes-i-lose", "s2")
        assert (status, state in text) == (1, True)
        value = 1 if state == "committed" else 0
        await wait_for(client, "SELECT MIN(v), MAX(v) FROM d.t", (value, value))
