"""The names of what can go wrong, and which isolation level forbids what.

Sources: Adya's thesis (G0 to G2), Berenson et al. (lost update), Elle (`-realtime`, G-nonadjacent), Cerone and
Gotsman (long fork). Snapshot isolation is meant strictly: a snapshot holds everything acknowledged before it, so
an order of real time counts as a dependency.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final


class Level(enum.Enum):
    """Values are the SQL names."""

    READ_COMMITTED = "READ COMMITTED"
    SNAPSHOT = "REPEATABLE READ"
    SERIALIZABLE = "SERIALIZABLE"

    @property
    def snapshots(self) -> bool:
        """A transaction reads as of one instant."""
        return self is not Level.READ_COMMITTED


G0: Final = "G0"
G1A: Final = "G1a"
G1B: Final = "G1b"
G1C: Final = "G1c"
G_SINGLE: Final = "G-single"
LOST_UPDATE: Final = "lost update"
LONG_FORK: Final = "long fork"
G2_ITEM: Final = "G2-item"
INCOMPATIBLE_ORDER: Final = "incompatible order"
DUPLICATE: Final = "duplicate element"
PHANTOM: Final = "phantom element"
INTERNAL: Final = "internal"
LOST_WRITE: Final = "lost write"
REALTIME: Final = "-realtime"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something that the level forbids. `operations` are indexes into the history."""

    name: str
    text: str
    operations: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"
