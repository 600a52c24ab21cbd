"""`txguard tso` as a process: serves, stands by, ends on SIGTERM, and steps above its last term."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path

import pytest

from proxy.playground.processes import free_port
from proxy.playground.servers import Server
from tests.conftest import StartServers
from tests.integration.oracle_processes import OracleProcess, all_killed
from tso import messages as m
from tso.connection import Connection
from tso.errors import TsoUnavailable
from tso.types import ShardName

A = ShardName("a")

CONFIG = """\
[[users]]
name = "root"
password = ""
[[shards]]
name = "s1"
port = {shard_port}
user = "root"
[tso]
embedded = false
addresses = ["127.0.0.1:{port}", "127.0.0.1:{other_port}"]
secret = "between us"
[log]
format = "json"
"""


class Command:
    """Starts `txguard tso` with one configuration, as often as wanted."""

    def __init__(self, folder: Path, shard_port: int) -> None:
        self._path = folder / "txguard.toml"
        self.ports = free_port(), free_port()
        self._path.write_text(
            CONFIG.format(shard_port=shard_port, port=self.ports[0], other_port=self.ports[1])
        )
        self.started: list[OracleProcess] = []

    def start(self, *options: str) -> OracleProcess:
        log = self._path.with_name(f"{len(self.started)}.log")
        self.started.append(OracleProcess(self._path, log, *options))
        return self.started[-1]


@pytest.fixture
def tso(shard_servers: Sequence[Server], tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path, shard_servers[0].port)
    with all_killed(command.started):
        yield command


def test_a_service_starts_ends_and_starts_above_its_last_term(tso: Command) -> None:
    epochs = []
    for _ in range(2):
        oracle = tso.start()
        ready = oracle.wait_for("tso_ready")
        assert ready["address"] == f"127.0.0.1:{tso.ports[0]}"
        epochs.append(ready["epoch"])
        assert oracle.end() == 0
        assert "between us" not in oracle.text
    assert epochs[1] == epochs[0] + 1


def test_the_second_stands_by_and_takes_over_at_once_from_one_that_ends(tso: Command) -> None:
    leader = tso.start()
    epoch = leader.wait_for("tso_ready")["epoch"]
    standby = tso.start()
    standing_by = standby.wait_for("tso_stands_by")
    assert standing_by["address"] == f"127.0.0.1:{tso.ports[1]}", "the first that is free"
    assert (standing_by["leader"], standing_by["epoch"]) == (f"127.0.0.1:{tso.ports[0]}", epoch)
    assert leader.end() == 0
    ended = time.monotonic()
    assert standby.wait_for("tso_ready")["epoch"] == epoch + 1
    assert time.monotonic() - ended < 1.0, "a released lease is not waited for"


async def test_one_that_wakes_up_late_serves_nobody_and_stands_by(tso: Command) -> None:
    late = tso.start()
    epoch = late.wait_for("tso_ready")["epoch"]
    standby = tso.start()
    standby.wait_for("tso_stands_by")
    session = await Connection.open("127.0.0.1", tso.ports[0], "between us", 30)
    async with asyncio.TaskGroup() as group:
        group.create_task(session.run())
        begun = await session.begin()
        token = (await session.call(m.ReadToken(A))).value
        late.signal(signal.SIGSTOP)
        assert standby.wait_for("tso_ready")["epoch"] == epoch + 1
        # What it finds in its socket when it wakes up, before it has looked at anything else.
        asked = [
            session.begin(),
            session.read_ts(begun.start_ts),
            session.call(m.BeginCommit(begun.start_ts, (A,), (), (), 1_000)),
            session.call(m.ValidateRead(A, token, 1_000)),
        ]
        calls = [group.create_task(_refused(call)) for call in asked]
        await asyncio.sleep(0.05)
        late.signal(signal.SIGCONT)
        for call in calls:
            await call
        session.lose("the test is over")
    deposed = late.wait_for("tso_deposed")
    assert deposed["reason"].startswith(f"epoch {epoch} was deposed by epoch {epoch + 1}: 127.0.0.1:")
    late.wait_for("tso_stands_by")
    assert "Traceback" not in late.text
    assert standby.end() == 0
    assert late.wait_for("tso_ready", count=2)["epoch"] == epoch + 2


async def _refused(call: Awaitable[object]) -> None:
    with pytest.raises(TsoUnavailable):
        await call


def test_a_third_finds_no_address(tso: Command) -> None:
    tso.start().wait_for("tso_ready")
    tso.start().wait_for("tso_stands_by")
    third = tso.start()
    assert third.process.wait(20) == 1
    assert "cannot serve on 127.0.0.1:" in third.text
    chosen = tso.start("--address", f"127.0.0.1:{free_port()}")
    chosen.wait_for("tso_stands_by")
    wrong = tso.start("--address", "nowhere")
    assert wrong.process.wait(20) == 2


async def test_without_its_store_it_waits_and_says_what_is_missing(
    fresh_shard_servers: StartServers, tmp_path: Path
) -> None:
    [server] = await fresh_shard_servers(count=1)
    await server.kill9()
    command = Command(tmp_path, server.port)
    with all_killed(command.started):
        oracle = command.start()
        assert f"127.0.0.1:{server.port}" in oracle.wait_for("tso_store_unavailable")["reason"]
        await server.restart()
        oracle.wait_for("tso_ready")
