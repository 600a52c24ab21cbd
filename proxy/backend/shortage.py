"""Why nobody got a connection in time, in words that are true: an overload and a hung shard look alike to a pool.

Where every connection waits for an answer, and the one that asked last has waited for a while too, the shard has
answered nothing since then: more connections would not help.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SILENCE_S: Final = 1.0
"""A shard that owes answers to all connections and gave none for so long is said not to answer."""


@dataclass(frozen=True, slots=True)
class Shortage:
    max_connections: int
    waits_s: Sequence[float]
    """For how long each connection that waits for an answer of the shard has waited."""
    opening: int
    """Connections that are being opened: these wait for the shard, too."""

    def text(self, shard: str, timeout_s: float) -> str:
        """What to say to one who stood in line for `timeout_s`."""
        waiting = len(self.waits_s) + self.opening
        silence_s = min(timeout_s, SILENCE_S)
        if waiting >= self.max_connections and all(wait_s >= silence_s for wait_s in self.waits_s):
            return (
                f"shard {shard} does not answer: {self._waiting()}; it hangs, or the network does, "
                "or all of them wait for row locks"
            )
        return (
            f"shard {shard}: all {self.max_connections} connections are in use and none became free within "
            f"{timeout_s:g} s ({self._waiting()}); raise max_connections of the shard or lower the load"
        )

    def _waiting(self) -> str:
        opening = f"{self.opening} are being opened" if self.opening else ""
        if not self.waits_s:
            return opening or "none of them waits for the shard: open transactions hold them"
        longest = f"{len(self.waits_s)} wait for its answer, the longest for {max(self.waits_s):.1f} s"
        return f"{longest}, {opening}" if opening else longest
