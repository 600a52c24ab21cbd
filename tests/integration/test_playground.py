"""`txguard playground` from the outside: up, used, down; and nothing left behind when something goes wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.playground.playground import Options
from proxy.playground.playground import Playground as InProcess
from proxy.playground.processes import free_port
from proxy.playground.proxy_process import ProxyFailed
from proxy.playground.servers import ServerKind, find_server
from tests.fakes.clients import connect_port

ROOT = Path(__file__).parents[2]
TXGUARD = [sys.executable, "-c", "from proxy.cli import main; main()"]
READY_S = 60.0

Start = Callable[..., "Playground"]


class Playground:
    """A `txguard playground` process in `folder`; its output goes to a file."""

    def __init__(self, folder: Path, kind: ServerKind, port: int, *options: str) -> None:
        self.folder, self.port = folder, port
        self.output = folder.with_name(f"{time.monotonic_ns()}.out")
        command = [*TXGUARD, "playground", "--dir", str(folder), "--port", str(port), "--server", kind.value]
        with self.output.open("w") as sink:
            self.process = subprocess.Popen(
                [*command, *options],
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def says(self, text: str) -> bool:
        return text in self.output.read_text()

    def wait_says(self, text: str) -> None:
        wait_until(lambda: self.says(text) or self.process.poll() is not None, text)
        assert self.says(text), self.output.read_text()

    def run(self, statement: str) -> tuple[object, ...] | None:
        with (
            connect_port(self.port) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return cursor.fetchone()

    def end(self, signal_number: int = signal.SIGTERM) -> int:
        self.process.send_signal(signal_number)
        return self.process.wait(60)

    def children(self) -> list[int]:
        """Processes whose command line names the folder, other than the playground itself."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = path.read_bytes()
            except OSError:
                continue
            pid = int(path.parent.name)
            if os.fsencode(self.folder) in command and pid != self.process.pid:
                found.append(pid)
        return found


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + READY_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {READY_S} s: {what}"
        time.sleep(0.05)


@pytest.fixture
def start(tmp_path: Path, server_kind: ServerKind) -> Iterator[Start]:
    started: list[Playground] = []

    def run(*options: str, folder: str = "pg", port: int | None = None) -> Playground:
        playground = Playground(tmp_path / folder, server_kind, port or free_port(), *options)
        started.append(playground)
        return playground

    yield run
    for playground in started:
        playground.process.kill()
        playground.process.wait()


def test_up_used_down_and_up_again_with_its_data(start: Start) -> None:
    playground = start("--shards", "2")
    playground.wait_says("Ctrl-C stops everything")
    assert playground.says(f"-P {playground.port} -u root")
    playground.run("CREATE DATABASE d")
    playground.run("CREATE TABLE d.t (a INT PRIMARY KEY, b INT)")
    playground.run("INSERT INTO d.t VALUES (1, 10), (2, 20), (3, 30), (4, 40)")
    assert playground.end(signal.SIGINT) == 0
    assert playground.children() == []

    again = start("--shards", "2")
    again.wait_says("Ctrl-C stops everything")
    (total,) = again.run("SELECT SUM(b) FROM d.t") or (None,)
    assert total == 100
    assert again.end() == 0
    assert again.children() == []


def test_what_dies_comes_back(start: Start) -> None:
    playground = start("--shards", "1")
    playground.wait_says("Ctrl-C stops everything")
    for pid in playground.children():
        os.kill(pid, signal.SIGKILL)
    playground.wait_says("s1 is back")
    playground.wait_says("the proxy is back")
    assert playground.run("SELECT 1") == (1,)
    assert playground.end() == 0


def test_a_killed_playground_takes_everything_along(start: Start) -> None:
    playground = start("--shards", "1")
    playground.wait_says("Ctrl-C stops everything")
    assert len(playground.children()) == 2
    playground.end(signal.SIGKILL)
    wait_until(lambda: playground.children() == [], "children gone")


def test_stopped_while_it_starts(start: Start) -> None:
    playground = start("--shards", "2")
    wait_until(lambda: len(playground.children()) > 0, "first server")
    assert playground.end() == 0
    assert playground.children() == []


def test_a_port_in_use_is_told_before_anything_starts(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        playground = start(port=taken.getsockname()[1])
        assert playground.process.wait(30) == 1
    assert playground.says("(Address already in use): choose another --port")
    assert not playground.folder.exists()


async def test_a_proxy_that_does_not_start_leaves_nothing(tmp_path: Path, server_kind: ServerKind) -> None:
    broken = (("PYTHONHOME", str(tmp_path / "nowhere")),)  # its interpreter finds no standard library
    options = Options(
        tmp_path / "pg", find_server(server_kind), shards=1, port=free_port(), environment=broken
    )
    playground = InProcess(options)
    with pytest.raises(ProxyFailed, match=r"ended with status 1\. The end of .*proxy\.log"):
        await playground.start()
    assert [server.running for server in playground.servers] == [False]
    playground.folder.lock()  # free again
    playground.folder.unlock()


def test_two_playgrounds_in_one_folder(start: Start) -> None:
    first = start("--shards", "1")
    first.wait_says("Ctrl-C stops everything")
    second = start("--shards", "1")
    assert second.process.wait(30) == 1
    assert second.says("a playground is running in")
    assert first.run("SELECT 1") == (1,)


def test_data_of_another_shape_are_refused_and_fresh_drops_them(start: Start) -> None:
    first = start("--shards", "1")
    first.wait_says("Ctrl-C stops everything")
    first.run("CREATE DATABASE gone")
    first.end()
    other = start("--shards", "2")
    assert other.process.wait(30) == 1
    assert other.says("has data of 1 shards: use --shards 1, or --fresh to drop them")
    fresh = start("--shards", "2", "--fresh")
    fresh.wait_says("Ctrl-C stops everything")
    assert fresh.run("SHOW DATABASES LIKE 'gone'") is None
    fresh.end()
