"""Proxies and oracles as child processes, with the life and the faults of a private server.

A child is held down while a fault wants it down; otherwise `Cluster.supervise` starts it again, as a supervisor
would. It dies with this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from proxy.playground.processes import spawn, tail, terminate, wait_ended

ROOT: Final = Path(__file__).parents[2]
START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 20.0


class Victim(Protocol):
    """What a fault can do to a process; private servers have it too."""

    @property
    def running(self) -> bool: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def kill9(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class ChildFailed(Exception):
    """It did not start; the text ends with its log's last lines."""


class Child:
    """`python -m …` with this checkout's packages. `environment` is added at every start."""

    def __init__(
        self, name: str, port: int, arguments: Sequence[str], log: Path, ready: Callable[[], Awaitable[bool]]
    ) -> None:
        self.name, self.port, self.log = name, port, log
        self.environment: dict[str, str] = {}
        self._command = [sys.executable, "-P", *arguments]
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None
        self._paused: set[int] = set()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def start(self, once: Mapping[str, str] | None = None) -> None:
        """Start and wait until it serves. `once`: environment for this life only. Raises ChildFailed."""
        if self.running:
            return
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path, **self.environment, **(once or {})}
        process = self._process = spawn(self._command, output=self.log, environment=environment)
        deadline = time.monotonic() + START_TIMEOUT_S
        try:
            while process.poll() is None and time.monotonic() < deadline:
                if await self._ready() and process.poll() is None:
                    return
                await asyncio.sleep(0.05)
        except BaseException:
            process.kill()
            process.wait()
            raise
        status = process.poll()
        process.kill()
        process.wait()
        raise ChildFailed(f"{self.name} did not start (status {status}):\n{tail(self.log)}")

    async def stop(self) -> None:
        if self._process is not None:
            await terminate(self._process, STOP_TIMEOUT_S)

    async def kill9(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            await wait_ended(self._process, STOP_TIMEOUT_S)

    def pause(self) -> None:
        self._paused |= set(self._pids())
        _signal(self._pids(), signal.SIGSTOP)

    def resume(self) -> None:
        """Also the workers of a life that was ended while they were stopped: they end, and free the port."""
        _signal([*self._paused, *self._pids()], signal.SIGCONT)
        self._paused.clear()

    @property
    def workers(self) -> list[int]:
        """The process ids of its own children."""
        if not self.running:
            return []
        try:
            listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except OSError:  # it has ended just now, or this is no Linux
            return []
        return [int(pid) for pid in listed.split()]

    def _pids(self) -> list[int]:
        """Its own and its workers'."""
        if self._process is None or self._process.poll() is not None:
            return []
        return [self._process.pid, *self.workers]


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
