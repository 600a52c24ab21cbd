"""When to run a transaction again: exponential backoff with full jitter, bounded by count and deadline.

Sans-IO: `Clock` is the only way to time and chance, so that tests need neither. Full jitter (AWS,
"Exponential Backoff And Jitter") because transactions that met once would otherwise meet again.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Final, Protocol

from txguard.transactional.classify import Failure
from txguard.transactional.options import Options


class Clock(Protocol):
    """Time and chance, as the retries need them."""

    def monotonic(self) -> float: ...

    def uniform(self) -> float:
        """A number in [0, 1)."""
        ...

    def sleep(self, seconds: float) -> None: ...

    async def sleep_async(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's own."""

    def monotonic(self) -> float:
        return time.monotonic()

    def uniform(self) -> float:
        return random.random()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Backoff:
    """The n-th delay lies in `[floor_s, floor_s + min(cap_s, first_s * 2**n))`."""

    floor_s: float
    first_s: float
    cap_s: float

    def delay_s(self, attempt: int, chance: float) -> float:
        return self.floor_s + chance * min(self.cap_s, self.first_s * 2.0 ** min(attempt, 30))


BACKOFFS: Final = {
    Failure.CONFLICT: Backoff(floor_s=0.0, first_s=0.010, cap_s=1.0),
    # A server that went away takes a moment to come back: the default eight retries bridge several seconds.
    Failure.LOST: Backoff(floor_s=0.050, first_s=0.100, cap_s=3.0),
}


class RetryBudget:
    """The bounds of one call: how many more runs, until when. `deadline_at` is on the clock's scale."""

    def __init__(self, options: Options, clock: Clock, outer_deadline_at: float | None = None) -> None:
        self._clock = clock
        self._started_at = clock.monotonic()
        own = self._started_at + options.deadline_s
        self.deadline_at = own if outer_deadline_at is None else min(own, outer_deadline_at)
        self._retries_left = options.retries
        self._failed = 0

    @property
    def attempts(self) -> int:
        """Runs that have failed so far."""
        return self._failed

    @property
    def elapsed_s(self) -> float:
        return self._clock.monotonic() - self._started_at

    def next_delay_s(self, failure: Failure) -> float | None:
        """Note a failed run. How long to wait before the next one; None: there is to be none."""
        self._failed += 1
        backoff = BACKOFFS.get(failure)
        if backoff is None or self._retries_left == 0:
            return None
        delay_s = backoff.delay_s(self._failed - 1, self._clock.uniform())
        if self._clock.monotonic() + delay_s >= self.deadline_at:
            return None
        self._retries_left -= 1
        return delay_s
