"""The proxy as a child process: `python -m proxy`, with the same life and faults as a private server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from proxy.config import Config
from proxy.playground.errors import PlaygroundError
from proxy.playground.processes import greets, spawn, tail, terminate, wait_ended

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
_PACKAGES = Path(__file__).parents[2]


class ProxyFailed(PlaygroundError):
    """The proxy did not start; the text ends with its log's last lines."""


class ProxyProcess:
    """A proxy that serves the configuration file `config_path`, whose contents are `config`."""

    def __init__(
        self, config_path: Path, config: Config, log: Path, *, environment: Sequence[tuple[str, str]] = ()
    ) -> None:
        """`environment` adds to this process's own."""
        self.host, self.port = config.proxy.host, config.proxy.port
        self.log = log
        self._command = [sys.executable, "-P", "-m", "proxy", "--config", str(config_path)]
        # -P and the path: the child finds these packages, not a folder named proxy where the user stands.
        path = os.pathsep.join(filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH")]))
        self._environment = {**os.environ, "PYTHONPATH": path, **dict(environment)}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start and wait until clients are let in. Raises ProxyFailed."""
        if self.running:
            return
        process = self._process = spawn(self._command, output=self.log, environment=self._environment)
        deadline = time.monotonic() + START_TIMEOUT_S
        try:
            while process.poll() is None and time.monotonic() < deadline:
                if await greets(asyncio.open_connection(self.host, self.port)) and process.poll() is None:
                    return
                await asyncio.sleep(0.05)
        except BaseException:
            process.kill()
            process.wait()
            raise
        status = process.poll()
        process.kill()
        process.wait()
        how = (
            f"ended with status {status}"
            if status is not None
            else f"let nobody in for {START_TIMEOUT_S:.0f} s"
        )
        raise ProxyFailed(f"the proxy {how}. The end of {self.log}:\n{tail(self.log)}")

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when it does not end in time."""
        if self._process is not None:
            await terminate(self._process, STOP_TIMEOUT_S)

    async def kill9(self) -> None:
        """The crash."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            await wait_ended(self._process, STOP_TIMEOUT_S)
