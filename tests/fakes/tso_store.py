"""The oracle's store and clock in memory, with the faults that tests want."""

from __future__ import annotations

import asyncio

from tso.clock import NS_PER_MS
from tso.errors import BoundStoreError, Deposed
from tso.store import Term
from tso.types import Timestamp


class MemoryBoundStore:
    """Keeps its row over many oracles, as a server does.

    `failing` makes it refuse; while `answering` is clear it does not answer.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.bound = Timestamp(0)
        self.failing = False
        self.answering = asyncio.Event()
        self.answering.set()
        self.writes = 0

    async def begin_term(self, lease_ms: int) -> Term:
        await self._reach()
        self.epoch += 1
        return Term(self.epoch, self.bound)

    async def raise_bound(self, epoch: int, bound: Timestamp, lease_ms: int) -> None:
        await self._reach(epoch)
        self.bound = max(self.bound, bound)

    async def release(self, epoch: int, bound: Timestamp) -> None:
        await self._reach(epoch)
        self.bound = bound

    async def aclose(self) -> None:
        pass

    async def _reach(self, epoch: int | None = None) -> None:
        self.writes += 1
        await self.answering.wait()
        if self.failing:
            raise BoundStoreError("the test's store fails")
        if epoch is not None and epoch != self.epoch:
            raise Deposed(f"epoch {epoch} was deposed by epoch {self.epoch}")


class ManualClock:
    """A physical clock that stands still until it is told otherwise."""

    def __init__(self, wall_ms: int = 1_700_000_000_000, monotonic_ms: int = 1_000) -> None:
        self._wall_ns = wall_ms * NS_PER_MS
        self._monotonic_ns = monotonic_ms * NS_PER_MS

    @property
    def wall_ms(self) -> int:
        return self._wall_ns // NS_PER_MS

    def wall_ns(self) -> int:
        return self._wall_ns

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def advance(self, milliseconds: int) -> None:
        self._wall_ns += milliseconds * NS_PER_MS
        self._monotonic_ns += milliseconds * NS_PER_MS

    def step(self, milliseconds: int) -> None:
        """Somebody sets the wall clock."""
        self._wall_ns += milliseconds * NS_PER_MS
