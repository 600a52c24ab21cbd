"""One of several oracles over one lease: it stands by, leads, is deposed, and stands by again.

Rule: the server lets coordinators in between the first renewal of a term and its end, and at no other time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final, NoReturn, Protocol

from tso.election import Observer, stand_by
from tso.embedded import EmbeddedTso
from tso.errors import TsoUnavailable
from tso.physical import SystemClock
from tso.service import TsoServer
from tso.store import MajorityStore

LEASE_MS: Final = 1_500
"""With what finding out and taking over need beyond it, less than the 3 s in which a standby must serve."""
LOOK_S: Final = (0.1, 0.2)
"""How often a standby looks at the copies; at random, so that two of them seldom claim at the same moment."""


class ReplicaObserver(Observer, Protocol):
    def leads(self, epoch: int) -> None: ...

    def deposed(self, error: TsoUnavailable) -> None: ...


async def run_replica(
    server: TsoServer,
    open_store: Callable[[], MajorityStore],
    observer: ReplicaObserver,
    lease_ms: int = LEASE_MS,
) -> NoReturn:
    """Until cancelled; then the term is released, if there is one, and a standby need not wait."""
    while True:
        store = open_store()
        try:
            term = await stand_by(store, lease_ms, SystemClock(), _pause, observer)
        except BaseException:
            await store.aclose()
            raise
        try:
            async with await EmbeddedTso.open(store, window_ms=lease_ms, term=term) as oracle:
                await _lead(server, oracle, observer)
        except TsoUnavailable as error:
            observer.deposed(error)


async def _lead(server: TsoServer, oracle: EmbeddedTso, observer: ReplicaObserver) -> NoReturn:
    server.lead(oracle)
    observer.leads(oracle.epoch)
    try:
        await oracle.until_deposed()
    finally:
        await server.stand_by()


async def _pause() -> None:
    await asyncio.sleep(random.uniform(*LOOK_S))
