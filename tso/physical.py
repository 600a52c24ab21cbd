"""The machine's clocks, as the hybrid clock wants them."""

from __future__ import annotations

import time


class SystemClock:
    __slots__ = ()

    wall_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)
