"""Hash slots: 4,096 of them, laid over the shards in contiguous ranges.

Owns: the hash of a canonical key (`proxy.routing.keys`), and `SlotMap`, which says which shard holds a slot.
The ranges are stored in the catalog; a shard moves only by changing them there. Pure: no I/O.

The hash is CRC-32, fixed for ever: it decides where the rows already stored are looked for.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tso.types import ShardName

SLOTS: Final = 4096
_MASK: Final = SLOTS - 1


def slot_of(canonical: bytes) -> int:
    """The slot of a key in canonical form."""
    return zlib.crc32(canonical) & _MASK


def slot_of_name(schema: str, table: str) -> int:
    """The slot that picks the home of what belongs to a table as a whole (a single table, a sequence)."""
    return slot_of(f"{schema}.{table}".encode())


@dataclass(frozen=True, slots=True)
class SlotRange:
    """Slots `first` to `last`, both included."""

    first: int
    last: int
    shard: ShardName


@dataclass(frozen=True, slots=True)
class SlotMap:
    """Which shard holds each slot. Raises ValueError unless the ranges cover every slot exactly once."""

    ranges: tuple[SlotRange, ...]
    shards: tuple[ShardName, ...] = field(init=False)
    """Every shard once, in the order of its first slot."""
    shard_of_slot: tuple[ShardName, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        ranges = tuple(sorted(self.ranges, key=lambda piece: piece.first))
        flat: list[ShardName] = []
        for piece in ranges:
            if piece.first != len(flat) or piece.last < piece.first:
                raise ValueError(f"the slot ranges have a gap or an overlap at slot {len(flat)}")
            flat.extend([piece.shard] * (piece.last - piece.first + 1))
        if len(flat) != SLOTS:
            raise ValueError(f"the slot ranges cover {len(flat)} slots instead of {SLOTS}")
        object.__setattr__(self, "ranges", ranges)
        object.__setattr__(self, "shards", tuple(dict.fromkeys(flat)))
        object.__setattr__(self, "shard_of_slot", tuple(flat))

    @classmethod
    def lay_out(cls, shards: Sequence[ShardName]) -> SlotMap:
        """Even contiguous ranges over the shards, in their order."""
        if not 1 <= len(shards) <= SLOTS:
            raise ValueError(f"between 1 and {SLOTS} shards are needed")
        bounds = [SLOTS * index // len(shards) for index in range(len(shards) + 1)]
        return cls(tuple(_pieces(shards, bounds)))

    def home_of_name(self, schema: str, table: str) -> ShardName:
        return self.shard_of_slot[slot_of_name(schema, table)]


def _pieces(shards: Sequence[ShardName], bounds: Sequence[int]) -> Iterable[SlotRange]:
    for index, shard in enumerate(shards):
        yield SlotRange(bounds[index], bounds[index + 1] - 1, shard)
