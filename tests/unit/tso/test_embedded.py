"""The embedded oracle: waits with deadlines, the lease on the bound, quiet snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import pytest

from tests.fakes.tso_store import ManualClock, MemoryBoundStore
from tso.clock import timestamp_at
from tso.embedded import EmbeddedTso
from tso.errors import (
    DependencyRolledBack,
    Deposed,
    QuietExpired,
    TransactionUnknown,
    TsoTimeout,
    TsoUnavailable,
)
from tso.types import Orphan, Outcome, ShardName, Timestamp

A, B, C = ShardName("a"), ShardName("b"), ShardName("c")
COMMITTED, ROLLED_BACK = Outcome.COMMITTED, Outcome.ROLLED_BACK
T = TypeVar("T")


@pytest.fixture
def store() -> MemoryBoundStore:
    return MemoryBoundStore()


@pytest.fixture
async def tso(store: MemoryBoundStore) -> AsyncIterator[EmbeddedTso]:
    async with await EmbeddedTso.open(store) as tso:
        yield tso


def at_once(call: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that must not suspend."""
    try:
        call.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    call.close()
    raise AssertionError("the call suspended")


async def committing(tso: EmbeddedTso, *participants: ShardName) -> tuple[Timestamp, Timestamp]:
    start_ts = (await tso.begin()).start_ts
    commit_ts = await tso.begin_commit(start_ts, participants, (), (), 1.0)
    assert commit_ts is not None
    return start_ts, commit_ts


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class TestCalls:
    async def test_nothing_suspends_when_nothing_is_waited_for(self, tso: EmbeddedTso) -> None:
        start_ts, floor = at_once(tso.begin())
        assert floor == start_ts
        read_ts = at_once(tso.read_ts(start_ts))
        at_once(tso.wait_barrier((A, B), read_ts, 1.0))
        commit_ts = at_once(tso.begin_commit(start_ts, (A, B), None, (A,), 1.0))
        assert commit_ts is not None
        assert start_ts < read_ts < commit_ts
        at_once(tso.end_commit(start_ts, COMMITTED))
        token = tso.read_token_nowait(A)
        assert token is not None
        assert tso.validate_read_nowait(A, token) is True
        assert at_once(tso.validate_read(A, token, 1.0)) is True

    async def test_a_barrier_waits(self, tso: EmbeddedTso) -> None:
        start_ts, commit_ts = await committing(tso, A)
        reader = (await tso.begin()).start_ts
        read_ts = await tso.read_ts(reader)
        assert read_ts > commit_ts
        with pytest.raises(TsoTimeout, match=str(start_ts)):
            await tso.wait_barrier((A,), read_ts, 0.01)
        async with asyncio.TaskGroup() as group:
            group.create_task(tso.wait_barrier((A,), read_ts, 5.0))
            await settle()
            await tso.end_commit(start_ts, COMMITTED)

    async def test_dependencies_are_asked_for_and_waited_for(self, tso: EmbeddedTso) -> None:
        writer, writer_commit_ts = await committing(tso, A, B)
        start_ts = (await tso.begin()).start_ts
        assert at_once(tso.begin_commit(start_ts, (A,), None, (), 1.0)) is None
        async with asyncio.TaskGroup() as group:
            call = group.create_task(tso.begin_commit(start_ts, (A,), (writer,), (), 5.0))
            await settle()
            assert not call.done()
            await tso.decide(writer, COMMITTED)
        commit_ts = call.result()
        assert commit_ts is not None
        assert commit_ts > writer_commit_ts

    async def test_a_shard_that_was_only_looked_at_counts(self, tso: EmbeddedTso) -> None:
        other, _ = await committing(tso, A, B)
        start_ts = (await tso.begin()).start_ts
        assert await tso.begin_commit(start_ts, (C,), None, (A,), 1.0) is None
        with pytest.raises(TsoTimeout):
            await tso.begin_commit(start_ts, (C,), (), (A,), 0.01)
        await tso.decide(other, ROLLED_BACK)
        with pytest.raises(DependencyRolledBack):
            await tso.begin_commit(start_ts, (C,), (), (A,), 1.0)

    async def test_what_was_adopted_below_the_floor_is_depended_on(self, tso: EmbeddedTso) -> None:
        start_ts = (await tso.begin()).start_ts
        await tso.adopt(Timestamp(5), Timestamp(6), (A, B))
        assert await tso.begin_commit(start_ts, (A,), None, (), 1.0) is None
        with pytest.raises(TsoTimeout):
            await tso.begin_commit(start_ts, (A,), (), (), 0.01)
        await tso.end_commit(Timestamp(5), COMMITTED)
        assert await tso.begin_commit(start_ts, (A,), (), (), 1.0) is not None

    async def test_a_dependency_that_is_rolled_back(self, tso: EmbeddedTso) -> None:
        writer, _ = await committing(tso, A, B)
        start_ts = (await tso.begin()).start_ts
        rolled_back = asyncio.get_running_loop().call_later(
            0.01, lambda: at_once(tso.decide(writer, ROLLED_BACK))
        )
        with pytest.raises(DependencyRolledBack):
            await tso.begin_commit(start_ts, (A,), (writer,), (), 5.0)
        rolled_back.cancel()
        assert (await tso.statistics()).active == (writer, start_ts)

    async def test_a_dependency_that_stays_undecided(self, tso: EmbeddedTso) -> None:
        writer, _ = await committing(tso, A, B)
        start_ts = (await tso.begin()).start_ts
        with pytest.raises(TsoTimeout):
            await tso.begin_commit(start_ts, (A,), (writer,), (), 0.01)

    async def test_ended_while_it_waits(self, tso: EmbeddedTso) -> None:
        writer, _ = await committing(tso, A, B)
        start_ts = (await tso.begin()).start_ts
        with pytest.raises(TransactionUnknown):
            async with asyncio.timeout(5):
                await asyncio.gather(
                    tso.begin_commit(start_ts, (A,), (writer,), (), 5.0),
                    tso.end(start_ts),
                    tso.decide(writer, COMMITTED),
                )
        assert [c.start_ts for c in (await tso.statistics()).outstanding] == [writer]

    async def test_of_an_older_epoch(self, store: MemoryBoundStore) -> None:
        async with await EmbeddedTso.open(store) as old:
            start_ts = (await old.begin()).start_ts
        async with await EmbeddedTso.open(store) as new:
            assert new.epoch == old.epoch + 1
            with pytest.raises(TransactionUnknown):
                await new.read_ts(start_ts)
            with pytest.raises(TransactionUnknown):
                await new.begin_commit(start_ts, (A,), None, (), 1.0)

    async def test_validation_waits_for_the_decision(self, tso: EmbeddedTso) -> None:
        for outcome, valid in ((COMMITTED, True), (ROLLED_BACK, False)):
            token = await tso.read_token(A)
            writer, _ = await committing(tso, A, B)
            assert tso.validate_read_nowait(A, token) is None
            async with asyncio.TaskGroup() as group:
                call = group.create_task(tso.validate_read(A, token, 5.0))
                await settle()
                await tso.decide(writer, outcome)
                await settle()
                assert call.done() is valid, "a read again before the undo would meet the same rows"
                assert tso.validate_read_nowait(A, token) is (True if valid else None)
                await tso.end_commit(writer, outcome)
            assert call.result() is valid

    async def test_orphans(self, tso: EmbeddedTso) -> None:
        start_ts, commit_ts = await committing(tso, A, B)
        async with asyncio.TaskGroup() as group:
            janitor = group.create_task(tso.next_orphan())
            await settle()
            await tso.orphan(start_ts)
        assert janitor.result() == Orphan(start_ts, commit_ts, (A, B))
        assert (await tso.statistics()).outstanding[0].orphaned

    async def test_adopting_moves_the_clock_above_it(self, tso: EmbeddedTso) -> None:
        begun = await tso.begin()
        seen = Timestamp(begun.start_ts + (100 << 18))
        await tso.adopt(Timestamp(5), seen, (A, B))
        begun = await tso.begin()
        assert begun.start_ts > seen
        assert begun.floor == 5

    async def test_safe_point(self, tso: EmbeddedTso) -> None:
        start_ts = (await tso.begin()).start_ts
        assert await tso.safe_point(0) == start_ts
        retained = await tso.safe_point(60_000)
        assert abs(retained - (start_ts - timestamp_at(60_000))) < timestamp_at(1_000)
        await tso.end(start_ts)
        assert await tso.safe_point(0) > start_ts


class TestQuiet:
    async def test_drains_and_holds_back(self, tso: EmbeddedTso) -> None:
        writer, _ = await committing(tso, A)
        reader = (await tso.begin()).start_ts
        late = (await tso.begin()).start_ts
        elsewhere = (await tso.begin()).start_ts
        asyncio.get_running_loop().call_later(0.005, lambda: at_once(tso.end_commit(writer, COMMITTED)))
        async with asyncio.TaskGroup() as group, tso.quiet(reader, (A, B), 5.0) as read_ts:
            assert (await tso.statistics()).outstanding == ()
            held = group.create_task(tso.begin_commit(late, (B, C), (), (), 5.0))
            await settle()
            assert not held.done()
            assert at_once(tso.begin_commit(elsewhere, (C,), None, (), 1.0)) is not None
        commit_ts = held.result()
        assert commit_ts is not None
        assert commit_ts > read_ts

    async def test_lets_go_after_its_bound(self, tso: EmbeddedTso) -> None:
        reader = (await tso.begin()).start_ts
        late = (await tso.begin()).start_ts
        with pytest.raises(QuietExpired):
            async with tso.quiet(reader, (A,), 5.0):  # its views take too long
                assert await tso.begin_commit(late, (A,), (), (), 5.0) is not None

    async def test_an_error_in_the_block_is_the_one_that_is_raised(self, tso: EmbeddedTso) -> None:
        reader = (await tso.begin()).start_ts
        with pytest.raises(ZeroDivisionError):
            async with tso.quiet(reader, (A,), 5.0):
                raise ZeroDivisionError
        assert at_once(tso.begin_commit(reader, (A,), None, (), 1.0)) is not None

    async def test_a_commit_that_does_not_end_holds_up_nobody_else(self, tso: EmbeddedTso) -> None:
        writer, _ = await committing(tso, A)
        reader = (await tso.begin()).start_ts
        other = (await tso.begin()).start_ts

        async def take() -> None:
            async with tso.quiet(reader, (A,), 5.0):
                assert (await tso.statistics()).outstanding == ()

        async with asyncio.TaskGroup() as group:
            group.create_task(take())
            await settle()
            assert await tso.begin_commit(other, (A,), (), (), 1.0) is not None, "let go in time"
            await tso.end_commit(other, COMMITTED)
            await tso.end_commit(writer, COMMITTED)

    async def test_times_out(self, tso: EmbeddedTso) -> None:
        writer, _ = await committing(tso, A)
        reader = (await tso.begin()).start_ts
        with pytest.raises(TsoTimeout, match=str(writer)):
            async with tso.quiet(reader, (A,), 0.1):
                pass
        assert tso._window.gates.hold((A,)) is None

    async def test_an_adopted_commit_spoils_it(self, tso: EmbeddedTso) -> None:
        reader = (await tso.begin()).start_ts
        with pytest.raises(QuietExpired):
            async with tso.quiet(reader, (A,), 5.0):
                await tso.adopt(Timestamp(1), Timestamp(2), (A, B))

    async def test_a_commit_adopted_while_it_drains(self, tso: EmbeddedTso) -> None:
        writer, _ = await committing(tso, A)
        reader = (await tso.begin()).start_ts

        async def take() -> None:
            async with tso.quiet(reader, (A,), 5.0):
                assert (await tso.statistics()).outstanding == ()

        async with asyncio.TaskGroup() as group:
            group.create_task(take())
            await settle()
            await tso.adopt(Timestamp(1), Timestamp(2), (A, B))
            await tso.end_commit(writer, COMMITTED)
            await settle()
            await tso.end_commit(Timestamp(1), ROLLED_BACK)

    async def test_interrupted_while_it_drains(self, tso: EmbeddedTso) -> None:
        await committing(tso, A)
        reader = (await tso.begin()).start_ts
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001), tso.quiet(reader, (A,), 5.0):
                pass
        assert at_once(tso.begin_commit(reader, (A,), (), (), 1.0)) is not None

    async def test_many_in_a_row_let_commits_through(self, tso: EmbeddedTso) -> None:
        async def snapshots() -> None:
            for _ in range(20):
                reader = (await tso.begin()).start_ts
                async with tso.quiet(reader, (A,), 5.0):
                    await asyncio.sleep(0.001)
                await tso.end(reader)

        async def commits() -> None:
            for _ in range(20):
                start_ts = (await tso.begin()).start_ts
                await tso.begin_commit(start_ts, (A, B), (), (), 1.0)
                await asyncio.sleep(0)
                await tso.end_commit(start_ts, COMMITTED)

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(snapshots())
            group.create_task(snapshots())
            group.create_task(commits())


class TestLease:
    async def test_starts_above_the_old_bound(self, store: MemoryBoundStore) -> None:
        old = await EmbeddedTso.open(store)
        bound = store.bound
        assert (await old.begin()).start_ts < bound
        await old._renewing.aclose()  # killed: nothing is released
        async with await EmbeddedTso.open(store) as new:
            assert (await new.begin()).start_ts > bound

    async def test_a_clean_end_leaves_no_gap(self, store: MemoryBoundStore) -> None:
        async with await EmbeddedTso.open(store) as old:
            last = (await old.begin()).start_ts
        assert store.bound == last + 1
        with pytest.raises(TsoUnavailable, match="closed"):
            await old.begin()

    async def test_a_term_that_was_won_is_not_begun_again(self, store: MemoryBoundStore) -> None:
        won = await store.begin_term(200)
        async with await EmbeddedTso.open(store, window_ms=200, term=won) as tso:
            assert tso.epoch == won.epoch == store.epoch

    async def test_a_renewal_always_raises_the_bound(self, store: MemoryBoundStore) -> None:
        """A standby sees by it that the leader lives, also when no millisecond has passed."""
        async with await EmbeddedTso.open(store, clock=ManualClock()) as tso:
            for _ in range(3):
                before = store.bound
                await tso._lease.renew()
                assert store.bound > before

    async def test_says_when_its_lease_is_over_and_not_before(self, store: MemoryBoundStore) -> None:
        clock = ManualClock()
        async with await EmbeddedTso.open(store, clock=clock, window_ms=20) as tso:
            lapsed = asyncio.Event()
            tso.on_lapse(lapsed.set)
            store.failing = True
            writes = store.writes
            async with asyncio.timeout(5):
                while store.writes < writes + 3:
                    await asyncio.sleep(0.005)
            assert tso.live
            assert not lapsed.is_set()
            clock.advance(20)
            assert not tso.live
            async with asyncio.timeout(5):
                await lapsed.wait()

    async def test_a_quiet_snapshot_that_outlived_the_lease_is_none(self, store: MemoryBoundStore) -> None:
        """Woken up late, it sees the end of the block before the gate's own time-out."""
        clock = ManualClock()
        async with await EmbeddedTso.open(store, clock=clock) as tso:
            reader = (await tso.begin()).start_ts
            store.failing = True
            with pytest.raises(QuietExpired):
                async with tso.quiet(reader, (A,), 1.0):
                    clock.advance(3_000)

    async def test_renews_ahead(self, store: MemoryBoundStore) -> None:
        async with await EmbeddedTso.open(store, window_ms=40) as tso:
            for _ in range(20):
                await tso.begin()
                await asyncio.sleep(0.01)
        assert store.writes > 5

    async def test_the_store_fails_and_recovers(self, store: MemoryBoundStore) -> None:
        clock = ManualClock()
        async with await EmbeddedTso.open(store, clock=clock, window_ms=20) as tso:
            store.failing = True
            await asyncio.sleep(0.05)
            await tso.begin()  # below the last bound
            token = await tso.read_token(A)
            clock.advance(20)
            with pytest.raises(TsoUnavailable, match="store fails"):
                await tso.begin()
            assert tso.validate_read_nowait(A, token) is None
            with pytest.raises(TsoUnavailable):
                await tso.validate_read(A, token, 1.0)
            store.failing = False
            async with asyncio.timeout(5):
                while tso.validate_read_nowait(A, token) is None:
                    await asyncio.sleep(0.01)
            await tso.begin()

    async def test_after_a_pause_of_the_process_a_call_waits_for_the_renewal(
        self, store: MemoryBoundStore
    ) -> None:
        clock = ManualClock()
        async with await EmbeddedTso.open(store, clock=clock) as tso:
            before = (await tso.begin()).start_ts
            clock.advance(60_000)
            assert (await tso.begin()).start_ts >= before + timestamp_at(60_000) - 1
            clock.advance(60_000)
            assert await tso.read_ts((await tso.begin()).start_ts) > before

    async def test_no_answer_from_the_store(
        self, store: MemoryBoundStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tso.oracle.RENEWAL_WAIT_S", 0.01)
        clock = ManualClock()
        async with await EmbeddedTso.open(store, clock=clock) as tso:
            store.answering.clear()
            clock.advance(60_000)
            with pytest.raises(TsoUnavailable, match="not renewed in time"):
                await tso.begin()
            store.answering.set()
            await tso.begin()

    async def test_deposed_for_ever(self, store: MemoryBoundStore) -> None:
        standing_still = ManualClock()  # so that it is not the bound that ends the old term
        async with await EmbeddedTso.open(store, clock=standing_still, window_ms=20) as old:
            token = await old.read_token(A)
            async with await EmbeddedTso.open(store, window_ms=20):
                await asyncio.sleep(0.05)
                with pytest.raises(Deposed, match="epoch 2"):
                    await old.begin()
                assert old.validate_read_nowait(A, token) is None
                with pytest.raises(Deposed):
                    await old.validate_read(A, token, 1.0)

    async def test_who_waits_for_it_is_told_that_it_was_deposed(self, store: MemoryBoundStore) -> None:
        async with await EmbeddedTso.open(store, window_ms=20) as old:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await old.until_deposed()
            async with await EmbeddedTso.open(store, window_ms=20):
                for _ in range(2):  # now and for ever
                    with pytest.raises(Deposed, match="epoch 2"):
                        async with asyncio.timeout(5):
                            await old.until_deposed()

    async def test_no_store_no_oracle(self, store: MemoryBoundStore) -> None:
        store.failing = True
        with pytest.raises(TsoUnavailable):
            await EmbeddedTso.open(store)
