from __future__ import annotations

from collections import Counter

import pytest

from proxy.routing.slots import SLOTS, SlotMap, SlotRange, slot_of, slot_of_name
from tso.types import ShardName

A, B, C = ShardName("a"), ShardName("b"), ShardName("c")


def test_the_hash_is_fixed_for_ever() -> None:
    """Rows are looked for where this hash put them: these numbers must never change."""
    assert [slot_of(key) for key in (b"", b"0", b"1", b"42", b"-7", b"1.5", b"alice")] == [
        0, 3873, 4023, 136, 3359, 3002, 3143,
    ]  # fmt: skip
    assert slot_of_name("shop", "orders") == slot_of(b"shop.orders")


def test_consecutive_integers_spread_evenly() -> None:
    layout = SlotMap.lay_out([A, B, C])
    counts = Counter(layout.shard_of_slot[slot_of(b"%d" % number)] for number in range(30_000))
    assert all(9_500 < count < 10_500 for count in counts.values())


@pytest.mark.parametrize("count", [1, 2, 3, 7, 256])
def test_slots_are_laid_out_in_even_contiguous_ranges(count: int) -> None:
    shards = [ShardName(f"s{number}") for number in range(count)]
    layout = SlotMap.lay_out(shards)
    assert layout.shards == tuple(shards)
    sizes = {piece.last - piece.first + 1 for piece in layout.ranges}
    assert max(sizes) - min(sizes) <= 1
    for piece in layout.ranges:
        assert set(layout.shard_of_slot[piece.first : piece.last + 1]) == {piece.shard}


def test_ranges_may_come_in_any_order_and_a_shard_may_have_several() -> None:
    layout = SlotMap((SlotRange(3000, SLOTS - 1, A), SlotRange(0, 999, A), SlotRange(1000, 2999, B)))
    assert layout.shards == (A, B)
    assert [layout.shard_of_slot[slot] for slot in (0, 999, 1000, 2999, 3000, SLOTS - 1)] == [
        A,
        A,
        B,
        B,
        A,
        A,
    ]


@pytest.mark.parametrize(
    "ranges",
    [
        (),
        (SlotRange(0, SLOTS - 2, A),),
        (SlotRange(1, SLOTS - 1, A),),
        (SlotRange(0, 10, A), SlotRange(12, SLOTS - 1, B)),
        (SlotRange(0, 10, A), SlotRange(10, SLOTS - 1, B)),
        (SlotRange(0, SLOTS, A),),
    ],
)
def test_every_slot_must_be_covered_once(ranges: tuple[SlotRange, ...]) -> None:
    with pytest.raises(ValueError, match="slot"):
        SlotMap(ranges)
