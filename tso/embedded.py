"""The oracle in the coordinator's own process: plain calls, one implicit session.

Owns the oracle's life: a term begun durably, the background renewal of the bound, the release at the end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn, Self

from tso.background import BackgroundTask
from tso.clock import HybridClock, PhysicalClock
from tso.lease import Lease
from tso.oracle import Oracle
from tso.physical import SystemClock
from tso.store import BoundStore, Term

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
        term: Term | None = None,
    ) -> Self:
        """Serve above everything that was ever served. Raises TsoUnavailable.

        `term`: the one that `stand_by` has won, with a lease of `window_ms`. Without, a new one begins at once, and
        whoever led is deposed: it may still serve for the rest of its lease, where it is alive.
        """
        physical = clock or SystemClock()
        try:
            return await cls._serve(store, physical, window_ms, term or await store.begin_term(window_ms))
        except BaseException:
            await store.aclose()
            raise

    @classmethod
    async def _serve(cls, store: BoundStore, physical: PhysicalClock, window_ms: int, term: Term) -> Self:
        hybrid = HybridClock(physical, above=term.bound)
        lease = Lease(term.epoch, hybrid, physical, store, window_ms)
        await lease.renew()
        self = cls(hybrid, lease)
        self._store = store
        self._renewing = BackgroundTask(lease.run(), name="tso-lease")
        log.info("the oracle serves epoch %d", term.epoch)
        return self

    @property
    def leader(self) -> str:
        return "this process"

    @property
    def live(self) -> bool:
        """Whether no other oracle can serve yet."""
        return self._lease.live

    def on_lapse(self, call: Callable[[], None]) -> None:
        """Have `call` called whenever a renewal has failed and the lease is over."""
        self._lease.on_lapse = call

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
