"""Which transaction the running code is in: units, scopes, frames, and the context variable that holds them.

A *unit* is one transaction on one connection. A *scope* is what can be rolled back by itself: the unit or a
savepoint in it; a scope that is rollback-only will never be committed. A *frame* is one running transactional
function; frames of one unit form a stack. The context variable holds the innermost frame of the running task
or thread. Children of a task inherit it, so a frame may only be joined while it is on top of its unit's
stack: two functions that use one connection at a time are found out.
"""

from __future__ import annotations

import contextlib
import contextvars
import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from txguard.transactional.errors import TransactionMisused
from txguard.transactional.options import Isolation


class SourceKey(NamedTuple):
    """What two transactional functions must have in common to share a transaction."""

    asynchronous: bool
    source: object


class UnitState(enum.Enum):
    ACTIVE = "active"
    AUTOCOMMIT = "autocommit"  # propagation NEVER: a connection, but no transaction to join
    ENDED = "ended"


@dataclass(slots=True, eq=False)
class Scope:
    """`doomed_by` is the error that made the scope rollback-only."""

    doomed_by: BaseException | None = None

    def doom(self, cause: BaseException) -> None:
        self.doomed_by = self.doomed_by or cause


@dataclass(slots=True, eq=False)
class Unit:
    """`source` says where the connection came from: equal sources join. `connection` is what the function
    gets,
    `lease` what the steps work on; `broken_by` is why the connection must not be used again."""

    source: SourceKey
    lease: Any
    connection: Any
    isolation: Isolation | None
    deadline_at: float
    state: UnitState = UnitState.ACTIVE
    scope: Scope = field(default_factory=Scope)
    top: Frame | None = None
    broken_by: BaseException | None = None
    _savepoints: int = 0

    def new_savepoint(self) -> str:
        self._savepoints += 1
        return f"txg_{self._savepoints}"


@dataclass(slots=True, eq=False)
class Frame:
    """`below` is the frame that was innermost when this one was entered, of whatever unit."""

    unit: Unit
    scope: Scope
    below: Frame | None


_innermost: contextvars.ContextVar[Frame | None] = contextvars.ContextVar("txguard_frame", default=None)


@contextlib.contextmanager
def entered(unit: Unit, scope: Scope) -> Iterator[Frame]:
    """Run the body as the innermost frame."""
    below_in_unit = unit.top
    frame = Frame(unit, scope, _innermost.get())
    token = _innermost.set(frame)
    unit.top = frame
    try:
        yield frame
    finally:
        unit.top = below_in_unit
        _innermost.reset(token)


def _frames() -> Iterator[Frame]:
    """The frames that the running code is in, innermost first; ended units (a task that outlived one) are
    skipped."""
    frame = _innermost.get()
    while frame is not None:
        if frame.unit.state is not UnitState.ENDED:
            yield frame
        frame = frame.below


def joinable_frame(source: SourceKey, given: object | None = None) -> Frame | None:
    """The innermost frame of a transaction on `source`, or on the connection `given`; None: there is none.

    Raises TransactionMisused if another task or thread works in that transaction.
    """
    for frame in _frames():
        unit = frame.unit
        if unit.state is not UnitState.ACTIVE:
            continue
        if unit.source != source if given is None else unit.connection is not given:
            continue
        if unit.top is not frame:
            raise TransactionMisused(
                "another task or thread runs in this transaction now: await it first, "
                "or give the function Propagation.REQUIRES_NEW"
            )
        return frame
    return None


def deadline_of_caller() -> float | None:
    """The tightest deadline of the transactions around: a new one inside them must not outlive them."""
    return min((frame.unit.deadline_at for frame in _frames()), default=None)


def current_connection(source: object | None = None) -> Any:
    """The connection of the transaction that the running code is in.

    `source` (as given to `@transactional`) chooses among transactions on several sources; without it the
    innermost. Raises LookupError outside any.
    """
    for frame in _frames():
        if source is None or frame.unit.source.source == source:
            return frame.unit.connection
    raise LookupError("no transaction runs here: call this from a function decorated with @transactional")
