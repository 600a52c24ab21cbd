from __future__ import annotations

import asyncio

import pytest

from proxy.errors import AutoIncrementFailed
from proxy.routing.sequences import FIRST_RANGE, LARGEST_NOTED, LARGEST_RANGE, Sequences
from tests.unit.proxy.routing.routing_fakes import Counter, catalog, fake_shards, table
from txguard.errors import ShardDown

T = table()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def sequences(counter: Counter, clock: Clock | None = None) -> Sequences:
    shards = fake_shards(counter)
    return Sequences(shards, lambda: catalog(T), clock or Clock())


async def test_values_come_in_order_from_a_range_at_hand() -> None:
    counter = Counter(7)
    given = sequences(counter)
    assert given.allocate_nowait(T, 1) is None
    assert await given.allocate(T, 1) == 7
    assert given.allocate_nowait(T, 3) == 8
    assert given.allocate_nowait(T, 1) == 11
    assert counter.next == 7 + FIRST_RANGE


async def test_a_large_request_gets_consecutive_values() -> None:
    given = sequences(Counter())
    await given.allocate(T, 1)
    first = await given.allocate(T, 5_000)
    assert given.allocate_nowait(T, 1) == first + 5_000


async def test_two_processes_never_give_the_same_value() -> None:
    counter = Counter()
    one, other = sequences(counter), sequences(counter)
    values: list[int] = []
    for _ in range(1_500):
        values += [await one.allocate(T, 1), await other.allocate(T, 1)]
    assert len(set(values)) == 3_000


async def test_many_at_once_share_one_range() -> None:
    counter = Counter()
    given = sequences(counter)
    values = await asyncio.gather(*(given.allocate(T, 1) for _ in range(500)))
    assert sorted(values) == list(range(1, 501))
    assert counter.next == 1 + FIRST_RANGE


async def test_a_range_grows_under_load_and_shrinks_again() -> None:
    counter, clock = Counter(), Clock()
    given = sequences(counter, clock)
    for _ in range(20):
        await given.allocate(T, LARGEST_RANGE)
    clock.now += 60
    before = counter.next or 0
    while counter.next == before:
        await given.allocate(T, 1_000)
    assert (counter.next or 0) - before == FIRST_RANGE


@pytest.mark.parametrize("explicit", [3, 500, 1_000, 1_001, 70_000])
async def test_a_clients_own_value_is_never_given_again(explicit: int) -> None:
    counter = Counter()
    given = sequences(counter)
    first = await given.allocate(T, 1)
    await given.note_explicit(T, explicit)
    assert await given.allocate(T, 1) == max(first, explicit) + 1
    assert (counter.next or 0) > explicit


async def test_clients_that_count_themselves_do_not_ask_the_counter_each_time() -> None:
    counter = Counter()
    shards = fake_shards(counter)
    given = Sequences(shards, lambda: catalog(T), Clock())
    for value in range(1, 900):
        await given.note_explicit(T, value)
    assert sum(len(shard.asked) for shard in shards.values()) == 2


async def test_a_value_below_every_range_needs_nothing() -> None:
    counter = Counter()
    given = sequences(counter)
    await given.allocate(T, 10)
    before = counter.next
    await given.note_explicit(T, -5)
    await given.note_explicit(T, 4)
    assert counter.next == before
    assert given.allocate_nowait(T, 1) == 11


async def test_the_greatest_values_leave_room_for_ranges() -> None:
    counter = Counter()
    await sequences(counter).note_explicit(T, 2**64 - 1)
    assert LARGEST_NOTED < (counter.next or 0) < 2**64


async def test_a_table_that_was_truncated_begins_again() -> None:
    counter = Counter()
    given = sequences(counter)
    assert await given.allocate(T, 100) == 1
    await given.begin("shop", "t", 1)
    again = table(created_ts=9)
    assert given.allocate_nowait(again, 1) is None
    assert await given.allocate(again, 1) == 1


async def test_old_and_new_definitions_at_once_both_get_values() -> None:
    """A statement that was planned before a TRUNCATE may still be at work after it."""
    given = sequences(Counter())
    again = table(created_ts=9)
    for _ in range(3):
        assert await asyncio.wait_for(given.allocate(T, 2), 1) != await asyncio.wait_for(
            given.allocate(again, 2), 1
        )


async def test_without_a_counter_no_value_is_made_up() -> None:
    counter = Counter()
    counter.next = None
    with pytest.raises(AutoIncrementFailed):
        await sequences(counter).allocate(T, 1)


async def test_a_counter_that_cannot_be_reached() -> None:
    shards = fake_shards()
    for shard in shards.values():
        shard.down = True
    with pytest.raises(ShardDown):
        await Sequences(shards, lambda: catalog(T), Clock()).allocate(T, 1)
