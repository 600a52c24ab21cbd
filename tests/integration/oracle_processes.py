"""`txguard tso` as child processes, and what their logs tell."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from proxy.cli import main; main()", "tso", "--config"]


class OracleProcess:
    """One `txguard tso`; its configuration logs as JSON."""

    def __init__(self, config: Path, log: Path, *options: str) -> None:
        self._log = log
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                [*COMMAND, str(config), *options], stderr=sink, env={**os.environ, "PYTHONPATH": str(ROOT)}
            )

    @property
    def text(self) -> str:
        return self._log.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        whole = [line for line in self.text.splitlines(keepends=True) if line.endswith("\n")]
        logged = [json.loads(line) for line in whole if line.startswith("{")]
        return [event for event in logged if event["event"] == name]

    def wait_for(self, name: str, count: int = 1, timeout_s: float = 30) -> dict[str, Any]:
        """The `count`-th event of this name, once it is logged."""
        deadline = time.monotonic() + timeout_s
        while len(found := self.events(name)) < count:
            assert self.process.poll() is None, self.text
            assert time.monotonic() < deadline, f"no {name}: {self.text}"
            time.sleep(0.01)
        return found[count - 1]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """SIGTERM, answered with the exit status."""
        self.process.terminate()
        return self.process.wait(20)

    def kill9(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def all_killed(oracles: list[OracleProcess]) -> Iterator[None]:
    """Whatever a test does: none of them is left, also none that is stopped."""
    try:
        yield
    finally:
        for oracle in oracles:
            oracle.kill9()
