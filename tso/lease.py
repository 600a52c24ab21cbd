"""Keeps the persisted bound ahead of the clock.

Rule (PD's): a bound is given to the clock only after the store has it. Each renewal asks for a higher bound than
the last, so that a standby sees that it happened. While the store fails the oracle serves up to the last bound and
then refuses, and recovers by itself as soon as a renewal succeeds. Once deposed it refuses for ever.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable
from typing import NoReturn

from tso.clock import NS_PER_MS, HybridClock, PhysicalClock
from tso.errors import BoundStoreError, Deposed, TsoUnavailable
from tso.store import BoundStore
from tso.types import Timestamp

log = logging.getLogger(__name__)

RETRY_S = 0.1
RENEWALS_PER_WINDOW = 4


class LeaseState(enum.Enum):
    SERVING = "serving"
    FAILING = "failing"
    """The last renewal failed; timestamps below the last bound may still be served."""
    DEPOSED = "deposed"
    CLOSED = "closed"


class Lease:
    """The term of one leader: epoch, clock and store. `run` renews until it is cancelled or deposed."""

    def __init__(
        self, epoch: int, clock: HybridClock, physical: PhysicalClock, store: BoundStore, window_ms: int
    ) -> None:
        self.epoch = epoch
        self.state = LeaseState.SERVING
        self._clock = clock
        self._physical = physical
        self._store = store
        self._window_ms = window_ms
        self._until_ns = 0
        self._asked = Timestamp(0)
        self._failure: TsoUnavailable | None = None
        self._hurry = asyncio.Event()
        self._attempted = asyncio.Event()
        self._deposed = asyncio.Event()
        self.on_lapse: Callable[[], None] | None = None
        """Called when a renewal has failed and another leader may serve."""

    @property
    def live(self) -> bool:
        """Whether no other leader can serve yet: until a window after the last renewal began."""
        return self._physical.monotonic_ns() < self._until_ns

    async def renew(self) -> None:
        """Persist the next bound and serve below it. Raises BoundStoreError, or Deposed for ever."""
        began_ns = self._physical.monotonic_ns()
        bound = self._asked = Timestamp(max(self._clock.next_bound(self._window_ms), self._asked + 1))
        await self._store.raise_bound(self.epoch, bound, self._window_ms)
        self._clock.raise_bound(bound)
        self._until_ns = began_ns + self._window_ms * NS_PER_MS

    async def run(self) -> None:
        while self.state is not LeaseState.DEPOSED:
            pace_s = self._window_ms / 1000 / RENEWALS_PER_WINDOW
            await self._pause(pace_s if self.state is LeaseState.SERVING else min(RETRY_S, pace_s))
            await self._attempt()

    async def wait_renewed(self, timeout_s: float) -> None:
        """Wait for a renewal after BoundReached. Raises TsoUnavailable with the cause when there is none."""
        if self.state is LeaseState.SERVING:
            attempted = self._attempted
            self._hurry.set()
            try:
                async with asyncio.timeout(timeout_s):
                    await attempted.wait()
            except TimeoutError:
                raise TsoUnavailable("the oracle's bound was not renewed in time; try again") from None
        if self.state is not LeaseState.SERVING:
            raise self.unavailable()

    async def until_deposed(self) -> NoReturn:
        """Wait until there is a newer leader; raises Deposed then."""
        await self._deposed.wait()
        raise self.unavailable()

    def unavailable(self) -> TsoUnavailable:
        if isinstance(self._failure, Deposed):
            return Deposed(str(self._failure))
        if self.state is LeaseState.CLOSED:
            return TsoUnavailable("the oracle is closed")
        return TsoUnavailable(
            f"the oracle cannot persist its bound, so it serves no timestamps until it can: {self._failure}"
        )

    async def release(self) -> None:
        """The end of the term: what was not served is left to the next one, which then need not wait."""
        last = self._clock.last
        self.close()
        if self.state is LeaseState.DEPOSED:
            return
        self.state = LeaseState.CLOSED
        try:
            await self._store.release(self.epoch, Timestamp(last + 1))
        except TsoUnavailable as error:
            log.warning("the oracle's bound was not released: %s", error)  # the next start goes above it

    def close(self) -> None:
        self._clock.close()
        self._until_ns = 0

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            pass

    async def _attempt(self) -> None:
        was = self.state
        self._hurry.clear()
        try:
            await self.renew()
            self.state, self._failure = LeaseState.SERVING, None
        except Deposed as error:
            self.state, self._failure = LeaseState.DEPOSED, error
            self.close()
            self._deposed.set()
            log.error("the oracle stops serving: %s", error)
        except BoundStoreError as error:
            self.state, self._failure = LeaseState.FAILING, error
            if was is LeaseState.SERVING:
                log.warning("the oracle cannot renew its bound: %s", error)
            if self.on_lapse is not None and not self.live:
                self.on_lapse()
        if was is LeaseState.FAILING and self.state is LeaseState.SERVING:
            log.info("the oracle renewed its bound again")
        attempted, self._attempted = self._attempted, asyncio.Event()
        attempted.set()
