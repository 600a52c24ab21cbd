"""What the oracle says without a wait: dependencies of a commit that is outstanding itself, and calm shards."""

from __future__ import annotations

import pytest

from tso.errors import DependencyRolledBack, TransactionUnknown
from tso.types import Outcome, ShardName, Timestamp
from tso.waiter import Waiter, WaiterState
from tso.window import Window

A, B, C = ShardName("a"), ShardName("b"), ShardName("c")


@pytest.fixture
def window() -> Window:
    return Window()


def outstanding(window: Window, start: int, commit: int, *participants: ShardName) -> Timestamp:
    window.begin(Timestamp(start))
    window.begin_commit(Timestamp(start), Timestamp(commit), participants)
    return Timestamp(start)


class TestEarlierDependencies:
    def test_it_waits_for_those_that_are_named(self, window: Window) -> None:
        named = outstanding(window, 1, 11, A, B)
        outstanding(window, 2, 12, A, B)
        own = outstanding(window, 3, 13, A, C)
        waiter = window.wait_earlier(own, [named], A)
        assert isinstance(waiter, Waiter)
        window.decide(named, Outcome.COMMITTED)
        assert waiter.state is WaiterState.READY

    def test_for_all_on_the_shard_where_they_are_too_many_to_name(self, window: Window) -> None:
        first, second = outstanding(window, 1, 11, A, B), outstanding(window, 2, 12, A, C)
        outstanding(window, 3, 13, B, C)
        own = outstanding(window, 4, 14, A, C)
        waiter = window.wait_earlier(own, None, A)
        assert isinstance(waiter, Waiter)
        window.decide(first, Outcome.COMMITTED)
        assert waiter.state is WaiterState.WAITING
        window.decide(second, Outcome.COMMITTED)
        assert waiter.state is WaiterState.READY

    def test_never_for_a_later_one_so_that_nobody_waits_in_a_circle(self, window: Window) -> None:
        later = outstanding(window, 1, 12, A, B)
        own = outstanding(window, 2, 11, A, C)
        assert window.wait_earlier(own, [later], A) is None
        assert window.wait_earlier(own, None, A) is None
        assert window.wait_earlier(later, None, A) is not None

    def test_one_that_is_rolled_back_already(self, window: Window) -> None:
        undone, undoing = outstanding(window, 1, 11, A, B), outstanding(window, 2, 12, A, B)
        own = outstanding(window, 3, 13, A, C)
        window.end_commit(undone, Outcome.ROLLED_BACK)
        window.decide(undoing, Outcome.ROLLED_BACK)
        for dependency in (undone, undoing):
            with pytest.raises(DependencyRolledBack):
                window.wait_earlier(own, [dependency], A)

    def test_one_that_is_rolled_back_later(self, window: Window) -> None:
        other, own = outstanding(window, 1, 11, A, B), outstanding(window, 2, 12, A, C)
        waiter = window.wait_earlier(own, [other], A)
        assert isinstance(waiter, Waiter)
        window.decide(other, Outcome.ROLLED_BACK)
        assert waiter.state is WaiterState.FAILED

    def test_a_commit_that_is_not_outstanding(self, window: Window) -> None:
        with pytest.raises(TransactionUnknown):
            window.wait_earlier(Timestamp(1), [], A)

    def test_what_began_after_the_last_write_is_none(self, window: Window) -> None:
        outstanding(window, 1, 11, A, B)
        commits = window.commits
        assert commits.cross_shard_before([A], Timestamp(11))
        assert not commits.cross_shard_before([A], Timestamp(10))
        assert not commits.cross_shard_before([C], Timestamp(20))


class TestCalm:
    def test_a_shard_without_commits(self, window: Window) -> None:
        token = window.commits.calm_token(A)
        assert token is not None
        assert window.commits.was_calm(A, token)

    def test_one_that_begins_meanwhile_but_not_two(self, window: Window) -> None:
        token = window.commits.calm_token(A)
        assert token is not None
        outstanding(window, 1, 11, A)
        assert window.commits.was_calm(A, token)
        outstanding(window, 2, 12, B)
        assert window.commits.was_calm(A, token)
        outstanding(window, 3, 13, A)
        assert not window.commits.was_calm(A, token)

    def test_one_that_was_under_way_and_another_that_begins(self, window: Window) -> None:
        first = outstanding(window, 1, 11, A)
        token = window.commits.calm_token(A)
        assert token is not None
        window.end_commit(first, Outcome.COMMITTED)
        assert window.commits.was_calm(A, token)
        outstanding(window, 2, 12, A)
        assert not window.commits.was_calm(A, token), "both were under way since"

    def test_two_under_way(self, window: Window) -> None:
        outstanding(window, 1, 11, A)
        outstanding(window, 2, 12, A)
        assert window.commits.calm_token(A) is None

    def test_one_that_was_overtaken(self, window: Window) -> None:
        """The later one is in the rows already, the earlier one perhaps not."""
        slow, fast = outstanding(window, 1, 11, A), outstanding(window, 2, 12, A)
        window.end_commit(fast, Outcome.COMMITTED)
        assert window.commits.calm_token(A) is None
        window.end_commit(slow, Outcome.COMMITTED)
        assert window.commits.calm_token(A) is not None
