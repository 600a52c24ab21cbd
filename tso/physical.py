"""The machine's clocks, as the hybrid clock wants them."""

from __future__ import annotations

import time
from functools import partial


class SystemClock:
    """Its monotonic clock goes on while the machine is suspended, where the system has such a one: a lease ends."""

    __slots__ = ()

    wall_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(
        partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)
        if hasattr(time, "CLOCK_BOOTTIME")
        else time.monotonic_ns
    )
