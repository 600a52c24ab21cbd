"""Carries out the steps of a lifecycle: once for plain functions, once for async ones.

The async interpreter's rule about cancellation: COMMIT, ROLLBACK and the return of a connection run to their
end, and the cancellation is raised after them, with a note that says what became of the transaction. Anything
else is cancelled at once; its connection is thrown away, so the server rolls back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from txguard.transactional.leases import AsyncLease, Opener, SyncLease
from txguard.transactional.lifecycle import (
    Autocommit,
    Call,
    Commit,
    Execute,
    Open,
    Release,
    Rollback,
    Sleep,
    Step,
    Steps,
)
from txguard.transactional.retry import Clock

CANCELLED_COMMIT_S: Final = 10.0
"""How long a COMMIT may go on after its task was cancelled; then its outcome is undetermined."""


def run(steps: Steps, opener: Opener, call: Callable[[Any], Any], clock: Clock) -> Any:
    """Drive `steps` to their end in this thread. `call` runs the user's function on a connection."""

    def perform(step: Step) -> Any:
        match step:
            case Open():
                return SyncLease(opener())
            case Execute(lease, statement):
                return lease.execute(statement)
            case Call(connection):
                return call(connection)
            case Commit(lease):
                return lease.commit()
            case Rollback(lease):
                return lease.rollback()
            case Autocommit(lease):
                return lease.autocommit()
            case Release(lease, error):
                return lease.release(error)
            case Sleep(seconds):
                return clock.sleep(seconds)

    try:
        step = next(steps)
        while True:
            try:
                answer = perform(step)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        return end.value


class AsyncInterpreter:
    """One run of a lifecycle in one task."""

    def __init__(self, opener: Opener, call: Callable[[Any], Awaitable[Any]], clock: Clock) -> None:
        self._opener, self._call, self._clock = opener, call, clock
        self._cancelled: asyncio.CancelledError | None = None

    async def run(self, steps: Steps) -> Any:
        """Drive `steps` to their end; a cancellation that had to wait is raised then."""
        try:
            value = await self._drive(steps)
        except Exception as error:
            if self._cancelled is not None:
                self._cancelled.add_note(f"txguard: {type(error).__name__}: {error}")
                raise self._cancelled from error
            raise
        if self._cancelled is not None:
            self._cancelled.add_note("txguard: the transaction had been committed")
            raise self._cancelled
        return value

    async def _drive(self, steps: Steps) -> Any:
        try:
            step = next(steps)
            while True:
                try:
                    answer = await self._perform(step)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            return end.value

    async def _perform(self, step: Step) -> Any:
        match step:
            case Commit(lease):
                return await self._to_the_end(lease.commit())
            case Rollback(lease):
                return await self._to_the_end(lease.rollback())
            case Release(lease, error):
                return await self._to_the_end(lease.release(error))
        if self._cancelled is not None:
            raise self._cancelled
        match step:
            case Open():
                return await AsyncLease.open(self._opener())
            case Execute(lease, statement):
                return await lease.execute(statement)
            case Call(connection):
                return await self._call(connection)
            case Autocommit(lease):
                return await lease.autocommit()
            case Sleep(seconds):
                return await self._clock.sleep_async(seconds)

    async def _to_the_end(self, work: Any) -> Any:
        """Await `work` although this task is cancelled meanwhile, for a bounded time."""
        task = asyncio.get_running_loop().create_task(work)  # awaited below, in any case
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError as cancelled:
            if task.cancelled():
                raise
            self._cancelled = cancelled
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=CANCELLED_COMMIT_S)
        if not task.done():
            task.cancel()
            raise TimeoutError("cancelled, and the server did not answer in time")
        return task.result()
