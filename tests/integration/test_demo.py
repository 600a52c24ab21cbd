"""The demo's parts: its clients against a plain server (which tells a good bank from a bad one), then all of
it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from proxy.demo.audit import audit, compare_with_journals
from proxy.demo.bank import ACCOUNTS, DATABASE, open_bank
from proxy.demo.client_processes import ClientProcess, assignments
from proxy.demo.journal import Entry, Outcome, read_journals
from proxy.demo.progress import Progress
from proxy.demo.tally import Tally
from proxy.playground.servers import Server, ServerKind
from tests.fakes.clients import connect_server
from txguard.engine.install import INSTALL_STATEMENTS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bank(shard_servers: Sequence[Server]) -> Iterator[Any]:
    """The bank on one plain server, which stands for the proxy and for the shards."""
    server = shard_servers[0]
    with contextlib.closing(connect_server(server)) as connection:
        open_bank(connection)
        with connection.cursor() as cursor:
            for statement in INSTALL_STATEMENTS:
                cursor.execute(statement)
        yield server, connection
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {DATABASE}")
            cursor.execute("DROP DATABASE _txguard")


async def work(server: Server, folder: Path, seconds: float) -> Tally:
    """All client processes for a while."""
    tally = Tally()
    homes = [list(range(first, ACCOUNTS + 1, 3)) for first in (1, 2, 3)]
    clients = [
        ClientProcess(a, folder / "clients.log") for a in assignments(server.host, server.port, folder, homes)
    ]
    async with asyncio.TaskGroup() as group:
        for client in clients:
            await client.start()
            group.create_task(client.listen(lambda progress: tally.add(progress, time.time())))
        await asyncio.sleep(seconds)
        for client in clients:
            client.ask_to_stop()
        wrong = [await client.wait_ended() for client in clients]
    assert wrong == [None] * 3, (folder / "clients.log").read_text()
    return tally


async def test_clients_on_a_plain_server(bank: Any, tmp_path: Path) -> None:
    """A single server in SERIALIZABLE is right by itself; so nothing may look wrong."""
    server, connection = bank
    with connection.cursor() as cursor:
        cursor.execute("SET GLOBAL TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    try:
        tally = await work(server, tmp_path, 1.5)
        assert tally.violations == []
        assert tally.unexpected == []
        assert min(tally.transfers, tally.cross_shard, tally.snapshots) > 10
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET GLOBAL TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    assert await audit(server.host, server.port, [server], tmp_path, print) == []
    acknowledged = [e for e in read_journals(tmp_path) if e.outcome is Outcome.ACKNOWLEDGED]
    assert len(acknowledged) == tally.transfers


async def test_the_audit_finds_what_is_wrong(bank: Any, tmp_path: Path) -> None:
    server, connection = bank
    await work(server, tmp_path, 1.0)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {DATABASE}.account SET balance = balance + 1 WHERE id = 5")
        cursor.execute(f"DELETE FROM {DATABASE}.transfer LIMIT 1")
        cursor.execute("INSERT INTO _txguard.txn_lock VALUES (7, 7, 's1,s2', NOW())")
    violations = "\n".join(await audit(server.host, server.port, [server], tmp_path, print, 0.5))
    assert "1 acknowledged transfers are missing" in violations
    assert "accounts do not hold what their transfers say" in violations
    assert "1 locks" in violations


async def test_a_reader_tells_a_wrong_sum(bank: Any, tmp_path: Path) -> None:
    server, connection = bank
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {DATABASE}.account SET balance = balance + 1 WHERE id = 5")
    tally = await work(server, tmp_path, 1.0)
    assert tally.snapshots == 0
    assert any(text.startswith("one_statement") for text in tally.violations)
    assert any(text.startswith("several_statements") for text in tally.violations)


def test_the_journals_against_the_bank() -> None:
    entries = [Entry(Outcome.ACKNOWLEDGED, 1, 0), Entry(Outcome.FAILED, 2, 0), Entry(Outcome.UNKNOWN, 3, 0)]
    assert compare_with_journals(entries, {1}) == []
    assert compare_with_journals(entries, {1, 3}) == []
    assert compare_with_journals(entries, set()) == ["1 acknowledged transfers are missing: [1]"]
    assert compare_with_journals(entries, {1, 2}) == ["1 transfers are there that failed: [2]"]
    assert compare_with_journals(entries, {1, 9}) == ["1 transfers are there that nobody was told of: [9]"]


def test_progress_survives_the_pipe() -> None:
    progress = Progress(transfers=3, local_ms=[1.5], errors=[(12.5, "gone")], violations=["bad"])
    assert Progress.from_line(progress.to_line()) == progress


@pytest.mark.slow
def test_the_whole_demo(server_kind: ServerKind) -> None:
    """What `make demo` runs, shorter: two kills, no violation, exit status 0."""
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from proxy.cli import main; main()"),
            *("demo", "--seconds", "8", "--server", server_kind.value),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("demo: transfers=")
    assert last.endswith("violations=0 kills=2 OK")
