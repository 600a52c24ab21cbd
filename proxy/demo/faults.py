"""What happens to the playground while the demo runs: the proxy is killed, then one server; each comes back.

The times scale with the demo's length. After a return there is a grace period for what the kill left behind:
the fence, the resolving of undecided transactions, clients that connect again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

from proxy.demo.tally import Tally

PROXY_AT: Final = 0.3
SERVER_AT: Final = 0.6
"""Shares of the demo's length."""
LONGEST_ABSENCE_S: Final = 1.0
GRACE_S: Final = 6.0


class Mortal(Protocol):
    async def kill9(self) -> None: ...

    async def start(self) -> None: ...


async def disturb(
    proxy: Mortal, server: Mortal, name: str, length_s: float, tally: Tally, tell: Callable[[str], None]
) -> None:
    """Both faults, at their times. Raises what a start raises."""
    started = time.monotonic()
    absence_s = min(LONGEST_ABSENCE_S, length_s / 15)
    for share, what, victim in ((PROXY_AT, "the proxy", proxy), (SERVER_AT, f"server {name}", server)):
        await asyncio.sleep(max(0.0, started + share * length_s - time.monotonic()))
        tally.disturb(what, time.time())
        tell(f"kill -9 of {what}")
        await victim.kill9()
        await asyncio.sleep(absence_s)
        began = time.monotonic()
        await victim.start()
        tell(f"{what} is back, its start took {time.monotonic() - began:.1f} s")
        tally.calm(what, time.time() + GRACE_S)
