"""Where a session's transaction stands: the states, the events and every legal transition, as one table.

Rule 1: everything that opens or ends a transaction is an event here; nothing else changes the phase.
Rule 2: a transaction that lost a shard (LOST) takes ROLLBACK and nothing else, so that nobody commits half of it.
Rule 3: an event's action is carried out first; the new phase is taken also when a COMMIT fails, because a failed
COMMIT has rolled back (or its outcome is not known, and the transaction is no longer the session's).

The meaning of each event is MySQL's (manual: START TRANSACTION, COMMIT, and ROLLBACK Statements; Statements That
Cause an Implicit Commit; autocommit, Commit, and Rollback).
"""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    IDLE = "idle"
    """No transaction: with autocommit=0 the next statement opens one."""
    OPEN = "open"
    LOST = "lost"


class Event(enum.Enum):
    BEGIN = "begin"
    STATEMENT = "statement"
    """A statement that reads or writes tables while autocommit=0."""
    COMMIT = "commit"
    ROLLBACK = "rollback"
    IMPLICIT_COMMIT = "implicit commit"
    """DDL, or SET autocommit from 0 to 1."""
    ROLLED_BACK = "rolled back"
    """The engine has rolled everything back by itself (1213)."""
    SHARD_LOST = "shard lost"
    RESET = "reset"
    """COM_RESET_CONNECTION, COM_CHANGE_USER, the end of the connection."""


class Action(enum.Enum):
    NOTHING = "nothing"
    START = "start"
    COMMIT = "commit"
    COMMIT_AND_START = "commit and start"
    ROLLBACK = "rollback"
    REFUSE = "refuse"


_TRANSITIONS: dict[tuple[Phase, Event], tuple[Action, Phase]] = {
    (Phase.IDLE, Event.BEGIN): (Action.START, Phase.OPEN),
    (Phase.IDLE, Event.STATEMENT): (Action.START, Phase.OPEN),
    (Phase.IDLE, Event.COMMIT): (Action.NOTHING, Phase.IDLE),
    (Phase.IDLE, Event.ROLLBACK): (Action.NOTHING, Phase.IDLE),
    (Phase.IDLE, Event.IMPLICIT_COMMIT): (Action.NOTHING, Phase.IDLE),
    (Phase.IDLE, Event.RESET): (Action.NOTHING, Phase.IDLE),
    (Phase.OPEN, Event.BEGIN): (Action.COMMIT_AND_START, Phase.OPEN),
    (Phase.OPEN, Event.STATEMENT): (Action.NOTHING, Phase.OPEN),
    (Phase.OPEN, Event.COMMIT): (Action.COMMIT, Phase.IDLE),
    (Phase.OPEN, Event.ROLLBACK): (Action.ROLLBACK, Phase.IDLE),
    (Phase.OPEN, Event.IMPLICIT_COMMIT): (Action.COMMIT, Phase.IDLE),
    (Phase.OPEN, Event.ROLLED_BACK): (Action.NOTHING, Phase.IDLE),
    (Phase.OPEN, Event.SHARD_LOST): (Action.NOTHING, Phase.LOST),
    (Phase.OPEN, Event.RESET): (Action.ROLLBACK, Phase.IDLE),
    (Phase.LOST, Event.BEGIN): (Action.REFUSE, Phase.LOST),
    (Phase.LOST, Event.STATEMENT): (Action.REFUSE, Phase.LOST),
    (Phase.LOST, Event.COMMIT): (Action.REFUSE, Phase.LOST),
    (Phase.LOST, Event.ROLLBACK): (Action.ROLLBACK, Phase.IDLE),
    (Phase.LOST, Event.IMPLICIT_COMMIT): (Action.REFUSE, Phase.LOST),
    (Phase.LOST, Event.SHARD_LOST): (Action.NOTHING, Phase.LOST),
    (Phase.LOST, Event.RESET): (Action.ROLLBACK, Phase.IDLE),
}


class IllegalTransition(Exception):
    """A bug in the proxy: the event cannot happen in this phase."""


def transition(phase: Phase, event: Event) -> tuple[Action, Phase]:
    """What to do, and the phase after it."""
    try:
        return _TRANSITIONS[phase, event]
    except KeyError:
        raise IllegalTransition(f"{event.value} while {phase.value}") from None
