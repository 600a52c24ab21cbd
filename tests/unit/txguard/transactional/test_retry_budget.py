"""Backoff grows, is capped, and respects both bounds."""

from __future__ import annotations

from typing import Any

import pytest

from txguard.transactional.classify import Failure
from txguard.transactional.options import Isolation, Options
from txguard.transactional.retry import Backoff, RetryBudget


def test_backoff_doubles_up_to_its_cap_and_spreads_over_the_whole_range() -> None:
    backoff = Backoff(floor_s=0.0, first_s=0.01, cap_s=1.0)
    assert [backoff.delay_s(n, 0.5) for n in (0, 1, 2, 6, 7, 1000)] == [0.005, 0.01, 0.02, 0.32, 0.5, 0.5]
    assert backoff.delay_s(3, 0.0) == 0.0


def test_as_many_retries_as_asked_for(clock: Any) -> None:
    budget = RetryBudget(Options(retries=2), clock)
    delays = [budget.next_delay_s(Failure.CONFLICT) for _ in range(3)]
    assert delays[0] is not None
    assert delays[1] is not None
    assert delays[2] is None
    assert budget.attempts == 3


@pytest.mark.parametrize("failure", [Failure.UNDETERMINED, Failure.FATAL])
def test_no_retry_of_what_is_not_safe(clock: Any, failure: Failure) -> None:
    assert RetryBudget(Options(), clock).next_delay_s(failure) is None


def test_no_retry_would_begin_after_the_deadline(clock: Any) -> None:
    budget = RetryBudget(Options(deadline_s=1.0), clock)
    clock.now += 0.990
    assert budget.next_delay_s(Failure.CONFLICT) == pytest.approx(0.005)
    clock.now += 0.005
    assert budget.next_delay_s(Failure.CONFLICT) is None


def test_a_transaction_inside_another_does_not_outlive_it(clock: Any) -> None:
    budget = RetryBudget(Options(deadline_s=30.0), clock, outer_deadline_at=clock.now + 1.0)
    assert budget.deadline_at == clock.now + 1.0


def test_options_refuse_nonsense() -> None:
    with pytest.raises(ValueError, match="retries"):
        Options(retries=-1)
    with pytest.raises(ValueError, match="deadline_s"):
        Options(deadline_s=0)


def test_begin_statements() -> None:
    assert Options().begin_statements() == ("START TRANSACTION",)
    assert Options(Isolation.READ_COMMITTED, read_only=True).begin_statements() == (
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "START TRANSACTION READ ONLY",
    )
    assert Options(read_only=True, consistent_snapshot=True).begin_statements() == (
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    )
