"""Whether a shard is worth trying, sans-IO: failures are answered at once for a while that grows to a second.

    UP ── a connection could not be opened ─► DOWN;  DOWN ── its pause is over, someone tries ─► PROBING
    PROBING ── connected, and the hook has fenced the shard ─► UP;  ── failed ─► DOWN, for twice as long

A shard begins as DOWN without a pause: the first connection is a probe too.
"""

from __future__ import annotations

import enum

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0


class CircuitState(enum.Enum):
    DOWN = "down"
    PROBING = "probing"
    UP = "up"


class Circuit:
    __slots__ = ("_pause_s", "_retry_at", "last_error", "state")

    def __init__(self) -> None:
        self.state = CircuitState.DOWN
        self.last_error = ""
        self._pause_s = 0.0
        self._retry_at = float("-inf")

    def may_probe(self, now: float) -> bool:
        return self.state is CircuitState.DOWN and now >= self._retry_at

    def probing(self) -> None:
        if self.state is not CircuitState.DOWN:
            raise ValueError(f"a probe begins while the circuit is {self.state.value}")
        self.state = CircuitState.PROBING

    def succeeded(self) -> None:
        self.state = CircuitState.UP
        self._pause_s = 0.0
        self.last_error = ""

    def encouraged(self) -> None:
        """Somebody else has just reached the shard: the next may try at once."""
        self._retry_at = float("-inf")

    def failed(self, error: str, now: float) -> None:
        """Several connections may fail at once: only one lengthens the pause."""
        self.last_error = error
        if self.state is not CircuitState.DOWN:
            self._pause_s = min(max(self._pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
            self._retry_at = now + self._pause_s
        self.state = CircuitState.DOWN

    def abandoned(self) -> None:
        """A probe was given up by who made it: the next may try at once."""
        self.state = CircuitState.DOWN
