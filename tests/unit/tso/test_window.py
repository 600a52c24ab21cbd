"""The window's rules, one by one: floors, barriers [R2], dependencies [R4], tokens [R5], orphans, safe point."""

from __future__ import annotations

import pytest

from tso.errors import CommitOutstanding, DependencyRolledBack, OutcomeContradiction, TransactionUnknown
from tso.types import Orphan, Outcome, ShardName, Timestamp
from tso.waiter import Waiter, WaiterState
from tso.window import SessionId, Window

A, B, C = ShardName("a"), ShardName("b"), ShardName("c")
S1, S2 = SessionId(1), SessionId(2)
COMMITTED, ROLLED_BACK = Outcome.COMMITTED, Outcome.ROLLED_BACK


def ts(number: int) -> Timestamp:
    return Timestamp(number)


@pytest.fixture
def window() -> Window:
    return Window()


def outstanding(window: Window, start: int, commit: int, *participants: ShardName) -> Timestamp:
    window.begin(ts(start))
    window.begin_commit(ts(start), ts(commit), participants)
    return ts(start)


def waiting(found: object) -> Waiter:
    assert isinstance(found, Waiter)
    assert found.state is WaiterState.WAITING
    return found


class TestFloor:
    def test_is_the_oldest_transaction_that_has_not_ended(self, window: Window) -> None:
        assert window.begin(ts(1)) == 1
        assert window.begin(ts(2)) == 1
        window.end(ts(1))
        assert window.begin(ts(3)) == 2
        window.end(ts(2))
        window.end(ts(3))
        assert window.begin(ts(4)) == 4

    def test_an_outstanding_commit_has_not_ended(self, window: Window) -> None:
        first = outstanding(window, 1, 2, A)
        assert window.begin(ts(3)) == 1
        window.end_commit(first, COMMITTED)
        assert window.begin(ts(4)) == 3

    def test_an_adopted_commit_lowers_it(self, window: Window) -> None:
        window.begin(ts(10))
        window.adopt(ts(5), ts(6), (A, B))
        assert window.begin(ts(11)) == 5
        window.end_commit(ts(5), ROLLED_BACK)
        assert window.begin(ts(12)) == 10

    def test_is_right_behind_one_that_stays_for_long(self, window: Window) -> None:
        window.begin(ts(1))
        for start in range(2, 5_000):
            assert window.begin(ts(start)) == 1
            window.end(ts(start))
        window.begin(ts(6_000))
        window.end(ts(1))
        assert window.begin(ts(6_001)) == 6_000


class TestBarrier:
    def test_none_outstanding(self, window: Window) -> None:
        assert window.wait_barrier((A,), ts(5)) is None

    def test_waits_for_older_commits_on_its_shards(self, window: Window) -> None:
        first = outstanding(window, 1, 3, A)
        barrier = waiting(window.wait_barrier((A, C), ts(5)))
        assert window.wait_barrier((B, C), ts(5)) is None
        window.end_commit(first, COMMITTED)
        assert barrier.state is WaiterState.READY

    def test_does_not_wait_for_younger_commits(self, window: Window) -> None:
        outstanding(window, 1, 6, A)
        assert window.wait_barrier((A,), ts(5)) is None
        assert window.wait_barrier((A,), ts(6)) is None
        assert window.wait_barrier((A,), ts(7)) is not None

    def test_a_decision_is_not_enough(self, window: Window) -> None:
        first = outstanding(window, 1, 3, A, B)
        barrier = waiting(window.wait_barrier((B,), ts(5)))
        window.decide(first, ROLLED_BACK)
        assert barrier.state is WaiterState.WAITING
        window.end_commit(first, ROLLED_BACK)
        assert barrier.state is WaiterState.READY

    def test_waits_for_all(self, window: Window) -> None:
        both = [outstanding(window, 1, 2, A, B), outstanding(window, 3, 4, B)]
        barrier = waiting(window.wait_barrier((A, B), ts(9)))
        window.end_commit(both[0], COMMITTED)
        assert barrier.state is WaiterState.WAITING
        window.end_commit(both[1], COMMITTED)
        assert barrier.state is WaiterState.READY

    def test_one_that_gave_up_is_not_woken(self, window: Window) -> None:
        first = outstanding(window, 1, 3, A)
        barrier = waiting(window.wait_barrier((A,), ts(5)))
        barrier.wake = pytest.fail
        barrier.withdraw()
        window.end_commit(first, COMMITTED)
        assert barrier.state is WaiterState.WITHDRAWN


class TestDependencies:
    def test_needed_only_beside_a_cross_shard_commit(self, window: Window) -> None:
        outstanding(window, 1, 2, A)
        cross = outstanding(window, 3, 4, A, B)
        assert window.needs_dependencies((B,))
        assert not window.needs_dependencies((C,))
        window.decide(cross, COMMITTED)
        assert window.needs_dependencies((A, C)), "decided but outstanding"
        window.end_commit(cross, COMMITTED)
        assert not window.needs_dependencies((A, B, C))

    def test_wait_until_decided(self, window: Window) -> None:
        cross = outstanding(window, 1, 2, A, B)
        waiter = waiting(window.wait_dependencies((cross,), ()))
        window.decide(cross, COMMITTED)
        assert waiter.state is WaiterState.READY
        assert window.wait_dependencies((cross,), ()) is None

    def test_fail_when_rolled_back(self, window: Window) -> None:
        first, second = outstanding(window, 1, 2, A, B), outstanding(window, 3, 4, A, B)
        waiter = waiting(window.wait_dependencies((first, second), ()))
        window.decide(second, ROLLED_BACK)
        assert waiter.state is WaiterState.FAILED
        window.end_commit(first, COMMITTED)
        assert waiter.state is WaiterState.FAILED

    def test_rolled_back_before(self, window: Window) -> None:
        window.begin(ts(1))
        cross = outstanding(window, 2, 3, A, B)
        window.decide(cross, ROLLED_BACK)
        with pytest.raises(DependencyRolledBack):
            window.wait_dependencies((cross,), ())
        window.end_commit(cross, ROLLED_BACK)
        with pytest.raises(DependencyRolledBack):
            window.wait_dependencies((cross,), ())

    def test_a_single_shard_commit_is_no_reason_to_wait(self, window: Window) -> None:
        assert window.wait_dependencies((outstanding(window, 1, 2, A),), (A,)) is None

    def test_committed_or_ancient_writers_are_no_reason_to_wait(self, window: Window) -> None:
        assert window.wait_dependencies((ts(7), ts(8)), ()) is None

    def test_inserting_depends_on_all_cross_shard_commits_there(self, window: Window) -> None:
        cross = outstanding(window, 1, 2, A, B)
        assert window.wait_dependencies((), (C,)) is None
        waiter = waiting(window.wait_dependencies((), (B,)))
        window.decide(cross, COMMITTED)
        assert waiter.state is WaiterState.READY

    def test_inserting_beside_an_undo(self, window: Window) -> None:
        window.decide(outstanding(window, 1, 2, A, B), ROLLED_BACK)
        with pytest.raises(DependencyRolledBack):
            window.wait_dependencies((), (A,))

    def test_later_commits_are_not_waited_for(self, window: Window) -> None:
        first = outstanding(window, 1, 2, A, B)
        waiter = waiting(window.wait_dependencies((), (A,)))
        outstanding(window, 3, 4, A, B)
        window.end_commit(first, COMMITTED)
        assert waiter.state is WaiterState.READY

    def test_an_adopted_commit_below_the_floor_is_one(self, window: Window) -> None:
        """Its shard came back later: the triggers took its rows for decided, and named no writer."""
        before = ts(10)
        window.begin(before)
        window.adopt(ts(5), ts(6), (A, B))
        after = ts(11)
        window.begin(after)
        assert window.adopted_since(before, (A,)) == [5]
        assert window.adopted_since(before, (C,)) == []
        assert window.adopted_since(after, (A,)) == []
        window.end_commit(ts(5), ROLLED_BACK)
        assert window.adopted_since(before, (A,)) == []

    def test_rolled_back_writers_are_remembered_while_anyone_can_depend_on_them(self, window: Window) -> None:
        window.begin(ts(1))
        for start in range(10, 4_000, 10):
            window.end_commit(outstanding(window, start, start + 1, A, B), ROLLED_BACK)
        with pytest.raises(DependencyRolledBack):
            window.wait_dependencies((ts(10),), ())

    def test_rolled_back_writers_are_forgotten_in_the_end(self, window: Window) -> None:
        for start in range(10, 4_000, 10):
            window.end_commit(outstanding(window, start, start + 1, A, B), ROLLED_BACK)
        assert len(window._rolled_back) < 100

    def test_an_adopted_rollback_is_remembered_while_it_is_outstanding(self, window: Window) -> None:
        window.adopt(ts(1), ts(2), (A, B))
        window.adopt(ts(3), ts(4), (A, B))
        window.decide(ts(3), ROLLED_BACK)
        for start in range(10, 4_000, 10):
            window.end_commit(outstanding(window, start, start + 1, A, B), ROLLED_BACK)
        with pytest.raises(DependencyRolledBack):
            window.wait_dependencies((ts(3),), ())


class TestCommit:
    def test_of_an_unknown_transaction(self, window: Window) -> None:
        with pytest.raises(TransactionUnknown):
            window.require(ts(1))

    def test_of_another_session(self, window: Window) -> None:
        window.begin(ts(1), S1)
        window.require(ts(1), S1)
        with pytest.raises(TransactionUnknown):
            window.require(ts(1), S2)

    def test_twice(self, window: Window) -> None:
        first = outstanding(window, 1, 2, A)
        with pytest.raises(CommitOutstanding):
            window.begin_commit(first, ts(3), (A,))

    def test_an_outcome_never_changes(self, window: Window) -> None:
        first = outstanding(window, 1, 2, A, B)
        window.decide(first, COMMITTED)
        window.decide(first, COMMITTED)
        with pytest.raises(OutcomeContradiction):
            window.end_commit(first, ROLLED_BACK)
        assert window.rollbacks() == ()

    def test_ends_once(self, window: Window) -> None:
        first = outstanding(window, 1, 2, A, B)
        for _ in range(3):
            window.end_commit(first, ROLLED_BACK)
        assert window.rollbacks() == ((A, 1), (B, 1))
        assert window.active() == ()


class TestTokens:
    def test_a_quiet_shard(self, window: Window) -> None:
        outstanding(window, 1, 2, A)
        assert window.validate_read(A, window.read_token(A)) is True

    def test_a_rollback_since(self, window: Window) -> None:
        cross = outstanding(window, 1, 2, A, B)
        token = window.read_token(A)
        window.decide(cross, ROLLED_BACK)
        assert window.validate_read(A, token) is False, "the undo is still to come"
        window.end_commit(cross, ROLLED_BACK)
        assert window.validate_read(A, token) is False
        assert window.validate_read(C, window.read_token(C)) is True
        assert window.validate_read(A, window.read_token(A)) is True

    def test_an_undecided_commit_that_commits(self, window: Window) -> None:
        cross = outstanding(window, 1, 2, A, B)
        waiter = waiting(window.validate_read(A, window.read_token(A)))
        window.decide(cross, COMMITTED)
        assert waiter.state is WaiterState.READY
        assert window.token_holds(A, window.read_token(A))
        assert window.validate_read(A, window.read_token(A)) is True

    def test_an_undecided_commit_that_is_rolled_back(self, window: Window) -> None:
        cross = outstanding(window, 1, 2, A, B)
        waiter = waiting(window.validate_read(A, window.read_token(A)))
        window.end_commit(cross, ROLLED_BACK)
        assert waiter.state is WaiterState.FAILED

    def test_a_token_does_not_outlive_its_epoch(self) -> None:
        token = Window(token_base=1 << 32).read_token(A)
        assert Window(token_base=2 << 32).validate_read(A, token) is False


class TestOrphans:
    def test_a_session_that_dies(self, window: Window) -> None:
        window.begin(ts(1), S1)
        window.begin(ts(2), S1)
        window.begin(ts(3), S2)
        window.begin_commit(ts(2), ts(4), (A, B))
        window.end_session(S1)
        assert window.active() == (2, 3)
        assert window.take_orphan() == Orphan(ts(2), ts(4), (A, B))
        waiting(window.take_orphan())
        with pytest.raises(TransactionUnknown):
            window.require(ts(2), S1)

    def test_a_waiting_janitor_is_woken(self, window: Window) -> None:
        waiter = waiting(window.take_orphan())
        window.orphan(outstanding(window, 1, 2, A, B))
        assert waiter.state is WaiterState.READY

    def test_each_is_handed_out_once(self, window: Window) -> None:
        first = outstanding(window, 1, 2, A, B)
        window.orphan(first)
        window.orphan(first)
        assert isinstance(window.take_orphan(), Orphan)
        waiting(window.take_orphan())

    def test_given_back_by_a_janitor_that_failed(self, window: Window) -> None:
        first = outstanding(window, 1, 2, A, B)
        window.orphan(first)
        window.take_orphan()
        window.orphan(first)
        assert isinstance(window.take_orphan(), Orphan)

    def test_given_back_when_the_janitor_dies(self, window: Window) -> None:
        window.orphan(outstanding(window, 1, 2, A, B))
        window.take_orphan(S2)
        window.end_session(S1)
        waiting(window.take_orphan())
        window.end_session(S2)
        assert isinstance(window.take_orphan(), Orphan)

    def test_resolved_in_the_meantime(self, window: Window) -> None:
        first = outstanding(window, 1, 2, A, B)
        window.orphan(first)
        window.end_commit(first, COMMITTED)
        waiting(window.take_orphan())

    def test_an_interrupted_coordinator_that_only_says_end(self, window: Window) -> None:
        first = outstanding(window, 1, 2, A, B)
        window.end(first)
        assert window.take_orphan() == Orphan(first, ts(2), (A, B))
        assert window.wait_barrier((A,), ts(3)) is not None

    def test_adopted(self, window: Window) -> None:
        window.adopt(ts(1), ts(2), (A, B))
        window.adopt(ts(1), ts(2), (A, B))
        assert window.take_orphan() == Orphan(ts(1), ts(2), (A, B))
        waiting(window.take_orphan())
        waiting(window.wait_barrier((B,), ts(3)))


class TestSafePoint:
    def test_is_what_is_retained_when_nothing_is_active(self, window: Window) -> None:
        assert window.safe_point(ts(77)) == 77

    def test_is_the_lowest_floor(self, window: Window) -> None:
        window.begin(ts(1))
        window.begin(ts(5))
        window.end(ts(1))
        window.begin(ts(6))
        assert window.safe_point(ts(77)) == 1, "5 began while 1 was active"
        window.end(ts(5))
        assert window.safe_point(ts(77)) == 5

    def test_stays_below_outstanding_and_adopted_commits(self, window: Window) -> None:
        first = outstanding(window, 10, 11, A)
        assert window.safe_point(ts(77)) == 10
        window.adopt(ts(3), ts(4), (A, B))
        assert window.safe_point(ts(77)) == 3
        window.end_commit(ts(3), ROLLED_BACK)
        window.end_commit(first, COMMITTED)
        assert window.safe_point(ts(77)) == 77
