"""A statement of its own that reads several rows of one shard: a state that some snapshot shows, or none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.conftest import Cluster, StartCluster


def _run(cluster: Cluster, *statements: str) -> Any:
    with cluster.connect() as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


def _outstanding(cluster: Cluster) -> int:
    return int(dict(_run(cluster, "SHOW TXGUARD STATUS"))["tso_outstanding"])


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id, v FROM d.t WHERE k = 1 ORDER BY id",
        "SELECT id, v FROM d.t WHERE k = 1 AND id > 0 ORDER BY id",
    ],
)
async def test_a_commit_that_was_overtaken_is_waited_for(
    own_cluster: StartCluster, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """The first has taken its `commit_ts` and is slow; the second, later one is durable and acknowledged."""
    monkeypatch.setenv("TXGUARD_FAILPOINTS", "commit_after_begin=sleep:1@2*1")
    cluster = await own_cluster(count=1)
    _run(
        cluster,
        "CREATE DATABASE d",
        "CREATE TABLE d.t (k INT, id INT, v INT, PRIMARY KEY (k, id))",
        "INSERT INTO d.t VALUES (1, 1, 0), (1, 2, 0)",
    )
    update = "UPDATE d.t SET v = 1 WHERE k = 1 AND id = {}"
    async with asyncio.TaskGroup() as group:
        first = group.create_task(asyncio.to_thread(_run, cluster, update.format(1)))
        while not _outstanding(cluster):
            await asyncio.sleep(0.01)
        await asyncio.to_thread(_run, cluster, update.format(2))
        assert not first.done(), "or the test shows nothing"
        assert await asyncio.to_thread(_run, cluster, query) == ((1, 1), (2, 1))
