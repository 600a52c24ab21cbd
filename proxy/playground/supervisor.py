"""Brings back what died. Backs off when a thing keeps dying, and tells what it does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from proxy.playground.errors import PlaygroundError

POLL_S = 0.2
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
_STABLE_AFTER_S = 30.0


class Restartable(Protocol):
    @property
    def running(self) -> bool: ...

    async def start(self) -> None: ...


async def supervise(things: Mapping[str, Restartable], tell: Callable[[str], None]) -> None:
    """Watch over all of `things`, by name, until cancelled."""
    async with asyncio.TaskGroup() as group:
        for name, thing in things.items():
            group.create_task(_watch(name, thing, tell))


async def _watch(name: str, thing: Restartable, tell: Callable[[str], None]) -> None:
    pause_s = _FIRST_PAUSE_S
    started = time.monotonic()
    while True:
        await asyncio.sleep(POLL_S)
        if thing.running:
            continue
        if time.monotonic() - started > _STABLE_AFTER_S:
            pause_s = _FIRST_PAUSE_S
        tell(f"{name} died; starting it again")
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        try:
            await thing.start()
        except (PlaygroundError, OSError) as error:
            tell(f"{name} does not start: {error}")
        else:
            tell(f"{name} is back")
        started = time.monotonic()
