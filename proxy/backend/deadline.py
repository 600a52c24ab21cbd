"""A connection's deadline without a timer per statement.

Setting and clearing a deadline is one assignment. One timer at most sleeps at the loop; when it wakes too
early it sleeps again until the deadline that holds by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    __slots__ = ("_at", "_handle", "_loop", "_on_passed", "_wakes_at")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_passed: Callable[[], None]) -> None:
        self._loop = loop
        self._on_passed = on_passed
        self._at: float | None = None
        self._wakes_at = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def set(self, timeout_s: float) -> None:
        at = self._at = self._loop.time() + timeout_s
        if self._handle is None or at < self._wakes_at:
            self._sleep(at)

    def clear(self) -> None:
        self._at = None

    def close(self) -> None:
        self._at = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _sleep(self, at: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._wakes_at = at
        self._handle = self._loop.call_at(at, self._wake)

    def _wake(self) -> None:
        self._handle = None
        if self._at is None:
            return
        if self._loop.time() < self._at - 0.001:
            self._sleep(self._at)
            return
        self._at = None
        self._on_passed()
