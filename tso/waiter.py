"""A call that cannot go on yet, sans-IO: what it waits for, counted down by the window.

The window hands a `Waiter` to the caller in place of an answer; the caller sets `wake` and gives the waiter
up with `withdraw` when its own deadline passes. `wake` must only schedule: it must not call the window
back.
"""

from __future__ import annotations

import enum
from collections.abc import Callable


class WaiterState(enum.Enum):
    WAITING = "waiting"
    READY = "ready"
    """Everything it waited for has happened."""
    FAILED = "failed"
    """Something that it waited for was rolled back: waiting longer is no use."""
    WITHDRAWN = "withdrawn"


class Waiter:
    """Waits for one event of each place that it joined. Settled once, then in no place any more."""

    __slots__ = ("_places", "state", "wake")

    def __init__(self) -> None:
        self.state = WaiterState.WAITING
        self.wake: Callable[[], None] | None = None
        self._places: list[WaitingPlace] = []

    def join(self, place: WaitingPlace) -> None:
        place.waiting[self] = None
        self._places.append(place)

    def withdraw(self) -> None:
        """Wait no longer. Idempotent, and harmless when settled already."""
        if self.state is WaiterState.WAITING:
            self._leave(WaiterState.WITHDRAWN)

    def arrive(self, place: WaitingPlace) -> None:
        """The event of one place has happened."""
        del place.waiting[self]
        self._places.remove(place)
        if not self._places:
            self._settle(WaiterState.READY)

    def fail(self) -> None:
        self._settle(WaiterState.FAILED)

    def _settle(self, state: WaiterState) -> None:
        if self.state is not WaiterState.WAITING:
            return
        self._leave(state)
        if self.wake is not None:
            self.wake()

    def _leave(self, state: WaiterState) -> None:
        self.state = state
        for place in self._places:
            del place.waiting[self]
        self._places.clear()


class WaitingPlace:
    """Those who wait for one event, in the order in which they came."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: dict[Waiter, None] = {}

    def release(self) -> None:
        """The event has happened."""
        for waiter in tuple(self.waiting):
            waiter.arrive(self)

    def fail(self) -> None:
        """The event will not happen as hoped."""
        for waiter in tuple(self.waiting):
            waiter.fail()
