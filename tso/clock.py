"""The hybrid logical clock: allocates timestamps. Sans-IO; the physical clock is passed in.

Rules: timestamps are strictly increasing, whatever the wall clock does; and every timestamp served is below
the persisted bound. The wall clock is followed forwards only: when it is behind (it was stepped back, or it
is behind the old leader's bound), time goes on at the pace of the monotonic clock. So the bound is a lease,
too: once a whole window has passed without a renewal nothing is served, also after a SIGSTOP.

Source: Kulkarni et al., "Logical Physical Clocks" (2014); PD's pkg/tso for the persisted bound.
"""

from __future__ import annotations

from typing import Protocol

from tso.types import LOGICAL_BITS, Timestamp

NS_PER_MS = 1_000_000
MAX_TIMESTAMP = Timestamp((1 << 64) - 1)


class PhysicalClock(Protocol):
    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch. May step in both directions."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since anything. Never steps."""
        ...


class BoundReached(Exception):
    """The next timestamp would not be below the persisted bound: renew it, then ask again."""


def physical_ms(timestamp: Timestamp) -> int:
    return timestamp >> LOGICAL_BITS


def timestamp_at(milliseconds: int) -> Timestamp:
    """The first timestamp of a millisecond."""
    return Timestamp(milliseconds << LOGICAL_BITS)


class HybridClock:
    """Serves timestamps above `above` and below the bound; begins with no bound, so with nothing to serve."""

    __slots__ = ("_bound", "_last", "_offset_ns", "_physical", "served")

    def __init__(self, physical: PhysicalClock, above: Timestamp) -> None:
        self._physical = physical
        self._last: int = above
        self._bound: int = 0
        self._offset_ns = 0  # from monotonic time to ours; only ever raised
        self._follow(max(physical.wall_ns(), physical_ms(above) * NS_PER_MS))
        self.served = 0

    @property
    def last(self) -> Timestamp:
        """The highest timestamp served or observed."""
        return Timestamp(self._last)

    @property
    def bound(self) -> Timestamp:
        return Timestamp(self._bound)

    def now_ms(self) -> int:
        """Physical time that never goes backwards and never stands still."""
        wall_ns = self._physical.wall_ns()
        steady_ns = self._physical.monotonic_ns() + self._offset_ns
        if wall_ns > steady_ns:
            self._offset_ns += wall_ns - steady_ns
            return wall_ns // NS_PER_MS
        return steady_ns // NS_PER_MS

    def next(self, count: int = 1) -> Timestamp:
        """Allocate `count` consecutive timestamps, return the first. Raises BoundReached, allocating none."""
        # Invariant: last < every timestamp of this call < bound, and bound is persisted.
        first = self.now_ms() << LOGICAL_BITS
        if first <= self._last:
            first = self._last + 1
        last = first + count - 1
        if last >= self._bound:
            raise BoundReached
        self._last = last
        self.served += count
        return Timestamp(first)

    def next_bound(self, window_ms: int) -> Timestamp:
        """The bound to persist next: `window_ms` ahead of what could be served now."""
        return timestamp_at(max(self.now_ms(), self._last >> LOGICAL_BITS) + window_ms)

    def raise_bound(self, bound: Timestamp) -> None:
        """Serve below `bound` from now on. To be called only once it is persisted."""
        self._bound = max(self._bound, bound)

    def close(self) -> None:
        """Serve nothing any more."""
        self._bound = 0

    def observe(self, timestamp: Timestamp) -> None:
        """Never serve `timestamp` or one below it: it was seen on a shard."""
        self._last = max(self._last, timestamp)
        self._follow(physical_ms(timestamp) * NS_PER_MS)

    def _follow(self, now_ns: int) -> None:
        """Time is `now_ns` now, unless it is later already."""
        self._offset_ns = max(self._offset_ns, now_ns - self._physical.monotonic_ns())
