"""The oracle in the coordinator's own process: plain calls, one implicit session.

Owns the oracle's life: a term begun durably, the background renewal of the bound, the release at the end.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import NoReturn, Self

from tso.background import BackgroundTask
from tso.clock import NS_PER_MS, HybridClock, PhysicalClock, physical_ms
from tso.lease import Lease
from tso.oracle import Oracle
from tso.physical import SystemClock
from tso.store import BoundStore

log = logging.getLogger(__name__)

WINDOW_MS = 3_000


class EmbeddedTso(Oracle):
    """Made by `open`; ended by `aclose` or as an `async with` block."""

    _store: BoundStore
    _renewing: BackgroundTask

    @classmethod
    async def open(
        cls,
        store: BoundStore,
        *,
        clock: PhysicalClock | None = None,
        window_ms: int = WINDOW_MS,
        wait_for_old_leader: bool = False,
    ) -> Self:
        """Begin a new term above everything that was ever served. Raises TsoUnavailable.

        `wait_for_old_leader`: begin only when an oracle that did not release its term has stopped serving,
        at most one window later. Needed where an old leader may still be alive, on another machine, say.
        """
        physical = clock or SystemClock()
        try:
            return await cls._begin_term(store, physical, window_ms, wait_for_old_leader)
        except BaseException:
            await store.aclose()
            raise

    @classmethod
    async def _begin_term(
        cls, store: BoundStore, physical: PhysicalClock, window_ms: int, wait_for_old_leader: bool
    ) -> Self:
        term = await store.begin_term()
        hybrid = HybridClock(physical, above=term.bound)
        if wait_for_old_leader:
            left_ms = physical_ms(term.bound) - physical.wall_ns() // NS_PER_MS
            if left_ms >= 0:  # one more, as both ends were rounded down
                await asyncio.sleep((min(left_ms, window_ms) + 1) / 1000)
        lease = Lease(term.epoch, hybrid, physical, store, window_ms)
        await lease.renew()
        self = cls(hybrid, lease)
        self._store = store
        self._renewing = BackgroundTask(lease.run(), name="tso-lease")
        log.info("the oracle serves epoch %d", term.epoch)
        return self

    async def until_deposed(self) -> NoReturn:
        """Wait until another oracle has taken over: this one refuses from then on, for ever. Raises Deposed then."""
        await self._lease.until_deposed()

    async def aclose(self) -> None:
        """Serve nothing any more and release the term. Outstanding commits are left to the next epoch."""
        await self._renewing.aclose()
        await self._lease.release()
        await self._store.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
