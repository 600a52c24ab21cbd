"""The private servers that the playground and all tests stand on."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import pymysql
import pytest

from proxy.playground.servers import (
    Server,
    ServerFailed,
    ServerKind,
    ServerState,
    find_server,
    start_servers,
)
from tests.fakes.clients import connect_server


def query(server: Server, statement: str) -> tuple[object, ...]:
    connection = connect_server(server, read_timeout=10)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone()
            return row or ()
    finally:
        connection.close()


def process_is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_shared_servers_are_durable_and_of_the_kind_asked_for(
    server_kind: ServerKind, shard_servers: Sequence[Server]
) -> None:
    assert len({server.port for server in shard_servers}) == 3
    for server in shard_servers:
        version, flush = query(server, "SELECT VERSION(), @@innodb_flush_log_at_trx_commit")
        assert ("MariaDB" in str(version)) == (server_kind is ServerKind.MARIADB)
        assert flush == 1


async def test_kill_9_keeps_what_was_committed_and_the_port(fresh_shard_servers) -> None:
    (server,) = await fresh_shard_servers(1)
    port = server.port
    query(server, "CREATE DATABASE d")
    query(server, "CREATE TABLE d.t (a INT PRIMARY KEY)")
    query(server, "INSERT INTO d.t VALUES (7)")
    await server.kill9()
    assert server.state is ServerState.STOPPED
    with pytest.raises(pymysql.OperationalError):
        query(server, "SELECT 1")
    await server.start()
    assert server.port == port
    assert query(server, "SELECT a FROM d.t") == (7,)


async def test_a_paused_server_keeps_silent_until_resumed(fresh_shard_servers) -> None:
    (server,) = await fresh_shard_servers(1)
    server.pause()
    reader, writer = await asyncio.open_connection(server.host, server.port)  # the kernel accepts
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await reader.readexactly(1)
    server.resume()
    async with asyncio.timeout(10):
        await reader.readexactly(1)
    writer.close()


async def test_a_start_that_fails_shows_the_servers_own_words_and_leaves_nothing(
    server_kind: ServerKind, tmp_path: Path
) -> None:
    with pytest.raises(ServerFailed, match="no-such-option"):
        await start_servers(find_server(server_kind), tmp_path, 2, options=["--no-such-option"])
    assert not _processes_mentioning(str(tmp_path))


async def test_servers_die_with_a_parent_that_was_killed(server_kind: ServerKind, tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import asyncio, pathlib, time
        from proxy.playground.servers import ServerKind, find_server, start_servers
        found = find_server(ServerKind("{server_kind.value}"))
        servers = asyncio.run(start_servers(found, pathlib.Path("{tmp_path}"), 1))
        print(servers[0].pid, flush=True)
        time.sleep(60)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=_environment()
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert process_is_alive(pid)
        parent.kill()
    deadline = time.monotonic() + 10
    while process_is_alive(pid):
        assert time.monotonic() < deadline, "the server outlived its parent"
        await asyncio.sleep(0.05)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def _processes_mentioning(text: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command and f"/{os.getpid()}/" not in str(path):
            found.append(command)
    return found
