"""The client processes as the demo sees them: start, listen to their progress, stop."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from proxy.demo.client import WORKERS, Assignment, Role
from proxy.demo.progress import Progress

STOP_TIMEOUT_S: Final = 45.0
"""Longer than a transfer may take: `@transactional` gives up after 30 s."""
_PACKAGES: Final = Path(__file__).parents[2]
_LONGEST_LINE: Final = 16 * 1024 * 1024


class ClientProcess:
    """One `python -m proxy.demo.client`. Its errors go to `log`."""

    def __init__(self, assignment: Assignment, log: Path) -> None:
        self.assignment = assignment
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        path = os.pathsep.join(filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH")]))
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "proxy.demo.client"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": path},
                limit=_LONGEST_LINE,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops its clients
            )
        assert self._process.stdin is not None
        self._process.stdin.write(self.assignment.to_line().encode() + b"\n")
        await self._process.stdin.drain()

    async def listen(self, tell: Callable[[Progress], None]) -> None:
        """Until it ends."""
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            tell(Progress.from_line(line))

    def ask_to_stop(self) -> None:
        """The end of its standard input is the sign."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    async def wait_ended(self) -> str | None:
        """What is wrong with how it ended, if anything."""
        assert self._process is not None
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                status = await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            return f"the {self.assignment.role.value} clients hung and had to be killed"
        if status != 0:
            return f"the {self.assignment.role.value} clients ended with status {status}; see {self._log}"
        return None

    async def kill(self) -> None:
        """Where it did not end by itself."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def assignments(host: str, port: int, journals: Path, shards: Sequence[Sequence[int]]) -> list[Assignment]:
    """One process for each role."""
    made = []
    first_worker = 1
    for role in Role:
        made.append(Assignment(role, host, port, "root", "", str(journals), first_worker, shards))
        first_worker += WORKERS[role]
    return made
