"""The life of a call of a transactional function, as a script of steps: everything that matters, no input or
output.

Sans-IO: `lifecycle` is a generator. It yields a step, the interpreter (interpret.py, one for plain and one
for async functions) carries it out and sends back the result or throws the error. The rules kept here:

1. A function runs between begin and COMMIT on one connection, or it has not run: what it raises rolls back.
2. Only a whole function is repeated, on a fresh lease, and only after a failure that certainly committed
   nothing.
3. A COMMIT without an answer is `OutcomeUndetermined`. Nothing in here repeats it.
4. What joined and failed is not committed, even if its caller swallows the error (`UnexpectedRollback`).
5. A connection in doubt is thrown away: the server rolls back what is open on it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, NoReturn

from txguard.transactional.classify import Failure, classify, classify_commit, classify_connect, start_ts_of
from txguard.transactional.errors import (
    OutcomeUndetermined,
    RetriesExhausted,
    TransactionEnded,
    TransactionForbidden,
    TransactionMisused,
    TransactionRequired,
    UnexpectedRollback,
)
from txguard.transactional.options import Options, Propagation
from txguard.transactional.retry import Clock, RetryBudget
from txguard.transactional.scope import (
    Frame,
    Scope,
    SourceKey,
    Unit,
    UnitState,
    deadline_of_caller,
    entered,
    joinable_frame,
)


@dataclass(frozen=True, slots=True)
class Open:
    """Get a connection. Answer: a `Lease`."""


@dataclass(frozen=True, slots=True)
class Execute:
    lease: Any
    statement: str


@dataclass(frozen=True, slots=True)
class Commit:
    lease: Any


@dataclass(frozen=True, slots=True)
class Rollback:
    lease: Any


@dataclass(frozen=True, slots=True)
class Autocommit:
    """Switch autocommit on, for a connection that is used without a transaction."""

    lease: Any


@dataclass(frozen=True, slots=True)
class Call:
    """Run the user's function. Answer: what it returns."""

    connection: Any


@dataclass(frozen=True, slots=True)
class Release:
    """Give the connection back; with `error`, throw it away. Never fails."""

    lease: Any
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


Step = Open | Execute | Commit | Rollback | Autocommit | Call | Release | Sleep
Steps = Generator[Step, Any, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One call: where connections come from, what was asked for, and how to see that a transaction is still
    open."""

    source: SourceKey
    options: Options
    clock: Clock
    name: str
    in_transaction: Callable[[Any], bool | None]
    given: Any = None
    """A connection that the caller gave: it is used instead of the source's, and cannot be replaced by a new
    one."""


class _AttemptFailed(Exception):
    """Nothing was committed by this attempt. Never leaves this module."""

    def __init__(self, failure: Failure, error: BaseException) -> None:
        super().__init__(failure)
        self.failure, self.error = failure, error


def lifecycle(request: Request) -> Steps:
    """Decide by propagation: join, nest, or begin."""
    propagation = request.options.propagation
    frame = joinable_frame(request.source, request.given)
    if propagation is Propagation.NEVER:
        if frame is not None:
            raise TransactionForbidden(f"{request.name} must not be called inside a transaction")
        return (yield from _without_transaction(request))
    if frame is None and propagation is Propagation.MANDATORY:
        raise TransactionRequired(f"{request.name} must be called inside a transaction")
    if frame is None or propagation is Propagation.REQUIRES_NEW:
        return (yield from _new_transaction(request))
    wanted = request.options.isolation
    if wanted is not None and frame.unit.isolation is not wanted:
        raise TransactionMisused(f"{request.name} asks for {wanted.value}; the transaction around it did not")
    if propagation is Propagation.NESTED:
        return (yield from _nested(request, frame))
    return (yield from _joined(frame))


def _new_transaction(request: Request) -> Steps:
    """Attempts until one ends in COMMIT, in an error of the function, in doubt, or out of budget."""
    budget = RetryBudget(request.options, request.clock, deadline_of_caller())
    while True:
        try:
            return (yield from _attempt(request, budget.deadline_at))
        except _AttemptFailed as failed:
            failure, error = failed.failure, failed.error
        if failure is Failure.FATAL or (failure is Failure.LOST and request.given is not None):
            raise error
        delay_s = budget.next_delay_s(failure)
        if delay_s is None:
            raise RetriesExhausted(
                f"{request.name} was given up after {budget.attempts} attempts in {budget.elapsed_s:.1f} s, "
                f"nothing was committed; the last met: {error}",
                budget.attempts,
                budget.elapsed_s,
            ) from error
        yield Sleep(delay_s)


def _attempt(request: Request, deadline_at: float) -> Steps:
    """One run on a lease of its own."""
    unit = yield from _open(request, deadline_at)
    try:
        value = yield from _run_body(request, unit)
        yield from _commit(request, unit)
        return value
    finally:
        unit.state = UnitState.ENDED
        yield Release(unit.lease, unit.broken_by)


def _open(request: Request, deadline_at: float) -> Generator[Step, Any, Unit]:
    try:
        lease = yield Open()
    except Exception as error:
        raise _AttemptFailed(classify_connect(error), error) from error
    return Unit(request.source, lease, lease.connection, request.options.isolation, deadline_at)


def _run_body(request: Request, unit: Unit) -> Steps:
    """Begin, run the function, see that it may be committed. If it raises, nothing is left open."""
    try:
        for statement in request.options.begin_statements():
            yield Execute(unit.lease, statement)
        with entered(unit, unit.scope) as frame:
            value = yield Call(unit.connection)
            _check_alone(request, frame)
        if unit.scope.doomed_by is None and request.in_transaction(unit.connection) is False:
            raise TransactionEnded(
                f"the transaction of {request.name} was over before the function was: it ran DDL or COMMIT, "
                "or swallowed a conflict; what it did outside the transaction is in the database"
            )
    except Exception as error:
        yield from _abandon(unit, error, error)
    except BaseException as error:
        unit.broken_by = error
        raise
    if unit.scope.doomed_by is not None:
        cause = unit.scope.doomed_by
        unexpected = UnexpectedRollback(f"{request.name} went on after a function that joined it had failed")
        unexpected.__cause__ = cause
        yield from _abandon(unit, cause, unexpected)
    return value


def _check_alone(request: Request, frame: Frame) -> None:
    if frame.unit.top is not frame:
        raise TransactionMisused(f"a task or thread of {request.name} still runs in its transaction")


def _abandon(unit: Unit, cause: BaseException, error: Exception) -> Generator[Step, Any, NoReturn]:
    """Undo the unit because of `cause`; raise what makes for another attempt, or else `error`."""
    failure = classify(cause)
    if failure is Failure.LOST:
        unit.broken_by = cause
    else:
        yield from _roll_back(unit)
    if failure in (Failure.CONFLICT, Failure.LOST):
        raise _AttemptFailed(failure, cause)
    if failure is Failure.UNDETERMINED and error is cause and not isinstance(error, OutcomeUndetermined):
        raise OutcomeUndetermined(str(error), start_ts_of(error)) from error
    raise error


def _roll_back(unit: Unit) -> Generator[Step, Any, None]:
    try:
        yield Rollback(unit.lease)
    except Exception as error:
        unit.broken_by = error


def _commit(request: Request, unit: Unit) -> Generator[Step, Any, None]:
    """The one place where a transaction can become visible. A crash during it leaves the outcome open."""
    try:
        yield Commit(unit.lease)
    except Exception as error:
        failure = classify_commit(error)
        if failure is Failure.CONFLICT:
            yield from _roll_back(unit)
            raise _AttemptFailed(failure, error) from error
        unit.broken_by = error
        if failure is Failure.LOST or request.options.read_only:
            raise _AttemptFailed(Failure.LOST, error) from error  # who only read may read again
        raise OutcomeUndetermined(
            f"the COMMIT of {request.name} got no clear answer, so it may have committed: {error}",
            start_ts_of(error),
        ) from error
    except BaseException as error:
        unit.broken_by = error
        error.add_note(f"txguard: during the COMMIT of {request.name}; it may have committed")
        raise


def _joined(frame: Frame) -> Steps:
    """Run in the caller's scope; a failure dooms it."""
    unit, scope = frame.unit, frame.scope
    with entered(unit, scope):
        try:
            return (yield Call(unit.connection))
        except BaseException as error:
            scope.doom(error)
            yield from _stay_in_transaction(unit, error)
            raise


def _nested(request: Request, frame: Frame) -> Steps:
    """Run in a scope of its own, a savepoint; if that cannot be undone by itself, the scope around is doomed
    too."""
    unit, savepoint, scope = frame.unit, frame.unit.new_savepoint(), Scope()
    yield Execute(unit.lease, f"SAVEPOINT {savepoint}")
    with entered(unit, scope):
        try:
            value = yield Call(unit.connection)
        except Exception as error:
            yield from _undo_to(frame, savepoint, error)
            raise
        except BaseException as error:
            frame.scope.doom(error)
            raise
    if scope.doomed_by is not None:
        yield from _undo_to(frame, savepoint, scope.doomed_by)
        raise UnexpectedRollback(
            f"{request.name} went on after a function that joined it had failed"
        ) from scope.doomed_by
    try:
        yield Execute(unit.lease, f"RELEASE SAVEPOINT {savepoint}")
    except Exception as error:
        frame.scope.doom(error)
        raise
    return value


def _undo_to(outer: Frame, savepoint: str, cause: BaseException) -> Generator[Step, Any, None]:
    """Roll back to the savepoint. Impossible (a conflict has ended everything, the connection is gone): doom
    `outer`."""
    try:
        yield Execute(outer.unit.lease, f"ROLLBACK TO SAVEPOINT {savepoint}")
    except Exception:
        outer.scope.doom(cause)
        yield from _stay_in_transaction(outer.unit, cause)


def _stay_in_transaction(unit: Unit, error: BaseException) -> Generator[Step, Any, None]:
    """After a conflict the server's transaction is over: what a caller that swallows it still writes would be
    committed at once. So begin another one, which will be rolled back (ROLLBACK first: a START would
    commit)."""
    if classify(error) is not Failure.CONFLICT:
        return
    try:
        yield Rollback(unit.lease)
        yield Execute(unit.lease, "START TRANSACTION")
    except Exception as lost:
        unit.broken_by = lost


def _without_transaction(request: Request) -> Steps:
    """Propagation NEVER: each statement for itself, so nothing is repeated."""
    try:
        unit = yield from _open(request, request.clock.monotonic() + request.options.deadline_s)
    except _AttemptFailed as failed:
        raise failed.error from None
    unit.state = UnitState.AUTOCOMMIT
    try:
        yield Autocommit(unit.lease)
        with entered(unit, unit.scope):
            return (yield Call(unit.connection))
    except BaseException as error:
        unit.broken_by = error
        raise
    finally:
        unit.state = UnitState.ENDED
        yield Release(unit.lease, unit.broken_by)
