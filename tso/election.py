"""Who leads: how a standby finds that the lease is over, and takes it. No I/O, no clock and no random of its own.

Rule: a standby claims only a majority of copies each of which has not changed for as long as the lease that stands
in it, by the standby's own monotonic clock. Whoever leads has renewed its lease on a majority, which has a copy in
common with any other; that copy would have changed. No two machines' wall clocks are ever compared. A lease begins
when its renewal is sent, so it is over for its owner before it is for anybody else.
Source: Gray and Cheriton, "Leases" (1989). docs/protocol.md, "The oracle's fail-over".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from tso.clock import NS_PER_MS, PhysicalClock
from tso.copies import Row
from tso.errors import BoundStoreError
from tso.store import Candidacy, MajorityStore, Term, make_candidacy


def patience_ns(lease_ms: int) -> int:
    """How long to wait for the end of another machine's lease: clocks' rates may differ by 3 percent."""
    return lease_ms * NS_PER_MS * 33 // 32


class Watch:
    """One standby's view of the copies: what stands in each, and since when at the latest."""

    def __init__(self, copies: int) -> None:
        self._copies = copies
        self._seen: dict[int, tuple[Row, int]] = {}

    def candidacy(self, rows: Mapping[int, Row], now_ns: int) -> Candidacy | None:
        """What may be claimed, by the rows that were just read; None while somebody may lead."""
        over: dict[int, Row] = {}
        for number, row in rows.items():
            known, since_ns = self._seen.get(number, (None, 0))
            if row != known:
                since_ns = now_ns
                self._seen[number] = row, now_ns
            if now_ns - since_ns >= patience_ns(row.lease_ms):
                over[number] = row
        newest_epoch = max(row.epoch for row, _ in self._seen.values())
        candidacy = make_candidacy(rows, over, self._copies, newest_epoch)
        return candidacy if len(over) >= candidacy.needed else None

    def leader(self) -> Row:
        """Who leads, as far as one can tell: the newest row that has been read."""
        return max(row for row, _ in self._seen.values())


class Observer(Protocol):
    def stands_by(self, leader: Row) -> None: ...

    def cannot_tell(self, error: BoundStoreError) -> None:
        """Too few copies answer."""
        ...


async def stand_by(
    store: MajorityStore,
    lease_ms: int,
    clock: PhysicalClock,
    pause: Callable[[], Awaitable[None]],
    observer: Observer,
) -> Term:
    """Wait until nobody leads, and take the lead. `pause` is taken between two looks, of random length."""
    watch = Watch(store.copies)
    while True:
        try:
            rows = await store.read()
        except BoundStoreError as error:
            observer.cannot_tell(error)
        else:
            candidacy = watch.candidacy(rows, clock.monotonic_ns())
            if candidacy is None:
                observer.stands_by(watch.leader())
            elif term := await store.claim(candidacy, lease_ms):
                return term
        await pause()
