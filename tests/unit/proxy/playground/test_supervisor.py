"""What died is started again, less often when it keeps dying."""

from __future__ import annotations

import asyncio

import pytest

from proxy.playground import supervisor
from proxy.playground.servers import ServerFailed
from proxy.playground.supervisor import supervise


class Thing:
    """Runs, dies when told to, and fails to start as often as told to."""

    def __init__(self, failures: int = 0) -> None:
        self.running = True
        self.starts = 0
        self._failures = failures
        self.back = asyncio.Event()

    async def start(self) -> None:
        self.starts += 1
        if self.starts <= self._failures:
            raise ServerFailed("not yet")
        self.running = True
        self.back.set()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "POLL_S", 0.001)
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE_S", 0.001)


async def test_only_the_dead_are_started() -> None:
    dead, alive = Thing(), Thing()
    told: list[str] = []
    dead.running = False
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(supervise({"dead": dead, "alive": alive}, told.append))
        await dead.back.wait()
        await asyncio.sleep(0.02)
        task.cancel()
    assert (dead.starts, alive.starts) == (1, 0)
    assert told == ["dead died; starting it again", "dead is back"]


async def test_a_start_that_fails_is_tried_again() -> None:
    thing = Thing(failures=2)
    thing.running = False
    told: list[str] = []
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(supervise({"s1": thing}, told.append))
        await thing.back.wait()
        task.cancel()
    assert thing.starts == 3
    assert told.count("s1 does not start: not yet") == 2
