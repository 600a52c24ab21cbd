"""The table of transitions is complete, and keeps the rules stated above it."""

from __future__ import annotations

import pytest

from proxy.session.phases import Action, Event, IllegalTransition, Phase, transition


def test_begin_inside_a_transaction_commits_it_first() -> None:
    assert transition(Phase.OPEN, Event.BEGIN) == (Action.COMMIT_AND_START, Phase.OPEN)


@pytest.mark.parametrize("event", [Event.BEGIN, Event.STATEMENT, Event.COMMIT, Event.IMPLICIT_COMMIT])
def test_a_lost_transaction_refuses_everything_but_rollback(event: Event) -> None:
    assert transition(Phase.LOST, event) == (Action.REFUSE, Phase.LOST)


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("event", [Event.ROLLBACK, Event.RESET])
def test_every_phase_can_be_left_by_rollback_and_reset(phase: Phase, event: Event) -> None:
    assert transition(phase, event)[1] is Phase.IDLE


def test_ddl_commits_an_open_transaction() -> None:
    assert transition(Phase.OPEN, Event.IMPLICIT_COMMIT) == (Action.COMMIT, Phase.IDLE)


def test_what_the_engine_cannot_do_is_illegal() -> None:
    with pytest.raises(IllegalTransition, match="rolled back while idle"):
        transition(Phase.IDLE, Event.ROLLED_BACK)


def test_only_the_engine_s_own_events_are_illegal_anywhere() -> None:
    for phase in Phase:
        for event in Event:
            try:
                transition(phase, event)
            except IllegalTransition:
                assert event in (Event.ROLLED_BACK, Event.SHARD_LOST)
