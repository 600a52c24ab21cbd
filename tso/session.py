"""One coordinator's session at the service: its requests, its transactions and its gates.

Requests that never wait are answered in the order in which they came, in the frame that follows; those that
may wait run as tasks of the session. When the session ends, so do its tasks, its gates open, its active
transactions end and its outstanding commits become orphans.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tso import messages as m
from tso.errors import TransactionUnknown, TsoError
from tso.fields import WireError
from tso.gates import Gate
from tso.oracle import Oracle
from tso.outbox import Outbox
from tso.types import Timestamp
from tso.window import SessionId
from tso.wire import NO_REPLY

log = logging.getLogger(__name__)

MAX_BEGINS: Final = 100_000
MAX_WAITING: Final = 100_000
UNKNOWN: Final = Timestamp(0)
DONE: Final = m.Done()


class ServerSession:
    """`waiting` holds the tasks of requests that wait; it lives as long as the connection."""

    def __init__(
        self, oracle: Oracle, session: SessionId, outbox: Outbox, waiting: asyncio.TaskGroup
    ) -> None:
        self._oracle = oracle
        self._session = session
        self._outbox = outbox
        self._waiting = waiting
        self._waiting_count = 0
        self._gates: dict[int, Gate] = {}
        self._gate_ids = itertools.count(1)

    async def handle(self, request_id: int, request: m.Message) -> None:
        """Answer at once, or start a task that does. Raises WireError for what is no request."""
        if waits := _WAITING.get(type(request)):
            if self._waiting_count >= MAX_WAITING:
                raise WireError("too many requests are waiting")
            self._waiting_count += 1
            self._waiting.create_task(self._answer_later(request_id, waits(self, request)))
        elif at_once := _AT_ONCE.get(type(request)):
            await self._answer(request_id, at_once(self, request))
        else:
            raise WireError(f"{type(request).__name__} is not a request")

    def end(self) -> None:
        for gate in self._gates.values():
            self._oracle.open_gate(gate)
        self._gates.clear()
        self._oracle.end_session(self._session)

    async def _answer_later(self, request_id: int, answer: Awaitable[m.Message]) -> None:
        try:
            await self._answer(request_id, answer)
        finally:
            self._waiting_count -= 1

    async def _answer(self, request_id: int, answer: Awaitable[m.Message]) -> None:
        try:
            reply = await answer
        except TsoError as error:
            if request_id == NO_REPLY:
                log.error("a coordinator's report was refused: %s", error)
            reply = m.failed(error)
        except ValueError as error:
            reply = m.failed(TsoError(f"a request is not valid: {error}"))
        if request_id != NO_REPLY:
            self._outbox.add(request_id, reply)

    # Never waiting, but for a bound that is late

    async def _begin(self, request: m.Begin) -> m.Message:
        if not 0 < request.transactions <= MAX_BEGINS:
            raise ValueError(f"Begin for {request.transactions} transactions")
        first, floor = await self._oracle.begin_many(request.transactions, self._session)
        return m.Begun(first, floor)

    async def _read_ts(self, request: m.ReadTs) -> m.Message:
        return m.Timestamps(tuple([await self._one_read_ts(start_ts) for start_ts in request.start_ts]))

    async def _one_read_ts(self, start_ts: Timestamp) -> Timestamp:
        try:
            return await self._oracle.read_ts(start_ts, self._session)
        except TransactionUnknown:
            return UNKNOWN

    async def _end(self, request: m.End) -> m.Message:
        for start_ts in request.start_ts:
            await self._oracle.end(start_ts)
        return DONE

    async def _decide(self, request: m.Decide) -> m.Message:
        await self._oracle.decide(request.start_ts, request.outcome)
        return DONE

    async def _end_commit(self, request: m.EndCommit) -> m.Message:
        await self._oracle.end_commit(request.start_ts, request.outcome)
        return DONE

    async def _read_token(self, request: m.ReadToken) -> m.Message:
        return m.Number(await self._oracle.read_token(request.shard))

    async def _open_gate(self, request: m.OpenGate) -> m.Message:
        gate = self._gates.pop(request.gate, None)
        return m.Holds(gate is not None and self._oracle.open_gate(gate))

    async def _adopt(self, request: m.Adopt) -> m.Message:
        await self._oracle.adopt(request.start_ts, request.commit_ts, request.participants)
        return DONE

    async def _give_orphan(self, request: m.GiveOrphan) -> m.Message:
        await self._oracle.orphan(request.start_ts)
        return DONE

    async def _safe_point(self, request: m.SafePoint) -> m.Message:
        return m.Number(await self._oracle.safe_point(request.retention_ms))

    async def _statistics(self, request: m.Statistics) -> m.Message:
        return m.StatisticsTaken(await self._oracle.statistics())

    async def _ping(self, request: m.Ping) -> m.Message:
        return DONE

    # Maybe waiting

    async def _begin_commit(self, request: m.BeginCommit) -> m.Message:
        commit_ts = await self._oracle.begin_commit(
            request.start_ts,
            request.participants,
            request.dependencies,
            request.inserted,
            request.timeout_ms / 1000,
            self._session,
        )
        return m.Number(commit_ts or UNKNOWN)

    async def _wait_barrier(self, request: m.WaitBarrier) -> m.Message:
        await self._oracle.wait_barrier(request.shards, request.read_ts, request.timeout_ms / 1000)
        return DONE

    async def _validate_read(self, request: m.ValidateRead) -> m.Message:
        return m.Holds(
            await self._oracle.validate_read(request.shard, request.token, request.timeout_ms / 1000)
        )

    async def _close_gate(self, request: m.CloseGate) -> m.Message:
        gate, read_ts = await self._oracle.close_gate(
            request.start_ts, request.shards, request.timeout_ms / 1000, self._session
        )
        gate_id = next(self._gate_ids)
        self._gates[gate_id] = gate
        return m.GateClosed(gate_id, read_ts)

    async def _next_orphan(self, request: m.NextOrphan) -> m.Message:
        try:
            async with asyncio.timeout(request.timeout_ms / 1000):
                return m.OrphanFound(await self._oracle.next_orphan(self._session))
        except TimeoutError:
            return m.OrphanFound(None)


Handler = Callable[[ServerSession, Any], Awaitable[m.Message]]

_AT_ONCE: Final[dict[type[m.Message], Handler]] = {
    m.Begin: ServerSession._begin,
    m.ReadTs: ServerSession._read_ts,
    m.End: ServerSession._end,
    m.Decide: ServerSession._decide,
    m.EndCommit: ServerSession._end_commit,
    m.ReadToken: ServerSession._read_token,
    m.OpenGate: ServerSession._open_gate,
    m.Adopt: ServerSession._adopt,
    m.GiveOrphan: ServerSession._give_orphan,
    m.SafePoint: ServerSession._safe_point,
    m.Statistics: ServerSession._statistics,
    m.Ping: ServerSession._ping,
}
_WAITING: Final[dict[type[m.Message], Handler]] = {
    m.BeginCommit: ServerSession._begin_commit,
    m.WaitBarrier: ServerSession._wait_barrier,
    m.ValidateRead: ServerSession._validate_read,
    m.CloseGate: ServerSession._close_gate,
    m.NextOrphan: ServerSession._next_orphan,
}
