"""The oracle in asyncio: the window and the clock behind the calls of `tso.api.Tso`, for many sessions.

Rule: a coroutine here suspends only when something has to be waited for, and between the last look at the
window and the change that rests on it there is no pause. Waits have deadlines; the window does the
reasoning.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager

from tso.api import Leader, Tso
from tso.clock import MAX_TIMESTAMP, BoundReached, HybridClock, timestamp_at
from tso.errors import QuietExpired, TsoTimeout
from tso.gates import Gate, GateState
from tso.lease import Lease
from tso.nowait import NowaitOracle
from tso.types import Begun, Orphan, Outcome, ShardName, Timestamp, TsoStatistics
from tso.waiter import Waiter, WaiterState
from tso.window import LOCAL_SESSION, SessionId, dependency_rolled_back

QUIET_S = 0.050
"""How long commits are held back at most for one quiet snapshot."""
QUIET_DRAIN_S = QUIET_S / 2
"""How much of it may go into waiting for the outstanding commits; the rest is for opening the views."""
RENEWAL_WAIT_S = 1.0
"""How long a call waits for a bound that is only late, after a pause of the process, say."""


class Deadline:
    """A moment by which a call of several waits must have ended."""

    __slots__ = ("_at",)

    def __init__(self, timeout_s: float) -> None:
        self._at = asyncio.get_running_loop().time() + timeout_s

    def left_s(self) -> float:
        return self._at - asyncio.get_running_loop().time()


class Oracle(NowaitOracle, Tso):
    """See `Tso` for the meaning of each call. `session` is whose transaction it is."""

    def __init__(self, clock: HybridClock, lease: Lease) -> None:
        super().__init__(clock, lease)
        self._retention_ms = 0

    def on_new_epoch(self, prepare: Callable[[Leader], Awaitable[None]]) -> None:
        """Never: an oracle that is deposed serves no more."""

    # Transactions

    async def begin(self, session: SessionId = LOCAL_SESSION) -> Begun:
        while (begun := self.begin_nowait(session)) is None:
            await self._lease.wait_renewed(RENEWAL_WAIT_S)
        return begun

    async def begin_many(self, count: int, session: SessionId) -> tuple[Timestamp, Timestamp]:
        """`count` transactions with consecutive `start_ts`: the first, and the floor of them all."""
        first = await self._allocate(count)
        floor = self._window.begin(first, session)
        for start_ts in range(first + 1, first + count):
            self._window.begin(Timestamp(start_ts), session)
        return first, floor

    async def read_ts(self, start_ts: Timestamp, session: SessionId = LOCAL_SESSION) -> Timestamp:
        while True:
            transaction = self._window.require(start_ts, session)
            try:
                read_ts = transaction.read_ts = self._clock.next()
                return read_ts
            except BoundReached:
                await self._lease.wait_renewed(RENEWAL_WAIT_S)

    async def end(self, start_ts: Timestamp) -> None:
        self._window.end(start_ts)

    def end_session(self, session: SessionId) -> None:
        """A coordinator's connection died."""
        self._window.end_session(session)

    # Commits

    async def begin_commit(
        self,
        start_ts: Timestamp,
        participants: tuple[ShardName, ...],
        dependencies: Collection[Timestamp] | None,
        inserted: Collection[ShardName],
        timeout_s: float,
        session: SessionId = LOCAL_SESSION,
    ) -> Timestamp | None:
        window = self._window
        window.require(start_ts, session)
        if dependencies is None:
            if window.needs_dependencies((*participants, *inserted)):
                return None
        elif waiter := window.wait_dependencies(
            [*dependencies, *window.adopted_since(start_ts, participants)], inserted
        ):
            deadline = Deadline(timeout_s)
            await self._wait(waiter, timeout_s, lambda: f"begin_commit {start_ts}: a dependency is undecided")
            if waiter.state is WaiterState.FAILED:
                raise dependency_rolled_back()
            timeout_s = deadline.left_s()
        try:
            # What may have been replaced was outstanding before this call: later ones are no dependencies.
            if not window.gates.any_closed:
                return self._make_outstanding(start_ts, participants, session)
        except BoundReached:
            pass
        return await self._begin_commit_late(start_ts, participants, Deadline(timeout_s), session)

    async def wait_dependencies(
        self,
        start_ts: Timestamp,
        dependencies: Collection[Timestamp] | None,
        shard: ShardName,
        timeout_s: float,
    ) -> None:
        if waiter := self._window.wait_earlier(start_ts, dependencies, shard):
            await self._wait(waiter, timeout_s, lambda: f"commit {start_ts}: a dependency is undecided")
            if waiter.state is WaiterState.FAILED:
                raise dependency_rolled_back()

    async def _begin_commit_late(
        self,
        start_ts: Timestamp,
        participants: tuple[ShardName, ...],
        deadline: Deadline,
        session: SessionId,
    ) -> Timestamp:
        """Behind gates, or at the bound."""
        gates = self._window.gates
        while True:
            if held := gates.hold(participants):
                try:
                    await self._wait(
                        held,
                        deadline.left_s(),
                        lambda: f"begin_commit {start_ts}: a quiet snapshot holds it back",
                    )
                finally:
                    gates.release_held(held)  # those who wait for it run later than the lines below
            try:
                return self._make_outstanding(start_ts, participants, session)
            except BoundReached:
                await self._lease.wait_renewed(RENEWAL_WAIT_S)

    async def decide(self, start_ts: Timestamp, outcome: Outcome) -> None:
        self._window.decide(start_ts, outcome)

    async def end_commit(self, start_ts: Timestamp, outcome: Outcome) -> None:
        self._window.end_commit(start_ts, outcome)

    async def adopt(
        self, start_ts: Timestamp, commit_ts: Timestamp, participants: tuple[ShardName, ...]
    ) -> None:
        self._clock.observe(commit_ts)
        self._window.adopt(start_ts, commit_ts, participants)

    async def orphan(self, start_ts: Timestamp) -> None:
        self._window.orphan(start_ts)

    async def next_orphan(self, session: SessionId = LOCAL_SESSION) -> Orphan:
        while isinstance(found := self._window.take_orphan(session), Waiter):
            await self._wait(found, None, lambda: "next_orphan")
        return found

    # Reads

    async def wait_barrier(self, shards: Collection[ShardName], read_ts: Timestamp, timeout_s: float) -> None:
        if waiter := self._window.wait_barrier(shards, read_ts):
            await self._wait(waiter, timeout_s, lambda: self._blockers("barrier", shards, read_ts))

    async def read_token(self, shard: ShardName) -> int:
        return self._window.read_token(shard)

    async def validate_read(self, shard: ShardName, token: int, timeout_s: float) -> bool:
        if not self._lease.live:
            await self._lease.wait_renewed(timeout_s)
        deadline = Deadline(timeout_s)
        valid = self._window.validate_read(shard, token)
        if isinstance(valid, Waiter):
            await self._wait(
                valid, timeout_s, lambda: self._blockers("validate_read", (shard,), MAX_TIMESTAMP)
            )
            valid = valid.state is WaiterState.READY and self._window.token_holds(shard, token)
        if not valid and (undone := self._window.wait_undone(shard)):
            await self._wait(
                undone, deadline.left_s(), lambda: self._blockers("validate_read", (shard,), MAX_TIMESTAMP)
            )
        return valid

    # Quiet snapshots

    @asynccontextmanager
    async def quiet(
        self, start_ts: Timestamp, shards: Collection[ShardName], timeout_s: float
    ) -> AsyncGenerator[Timestamp, None]:
        gate, read_ts = await self.close_gate(start_ts, shards, timeout_s)
        held_all_the_time = False
        try:
            yield read_ts
        finally:
            held_all_the_time = self.open_gate(gate)
        if not held_all_the_time:
            raise QuietExpired("the views were not all open within 50 ms; take the snapshot again")

    async def close_gate(
        self,
        start_ts: Timestamp,
        shards: Collection[ShardName],
        timeout_s: float,
        session: SessionId = LOCAL_SESSION,
    ) -> tuple[Gate, Timestamp]:
        """Hold back commits on `shards`, wait until none is outstanding, take `read_ts`. Then `open_gate`."""
        deadline = Deadline(timeout_s)
        gates = self._window.gates
        while True:
            self._window.require(start_ts, session)
            gate = gates.close(shards)
            if isinstance(gate, Waiter):
                await self._wait(
                    gate, deadline.left_s(), lambda: "quiet: another quiet snapshot is being taken"
                )
                continue
            asyncio.get_running_loop().call_later(QUIET_S, gates.expire, gate)
            try:
                if await self._drained(shards, deadline):
                    read_ts = await self.read_ts(start_ts, session)
                    if gate.state is GateState.CLOSED:
                        return gate, read_ts
            except BaseException:
                gates.open(gate)
                raise
            # Somebody is slow to end: let the others go on until then, and try again.
            slow = self._window.wait_barrier(shards, MAX_TIMESTAMP)
            gates.open(gate)
            if slow is not None:
                await self._wait(
                    slow, deadline.left_s(), lambda: self._blockers("quiet", shards, MAX_TIMESTAMP)
                )

    def open_gate(self, gate: Gate) -> bool:
        """True when no commit went through since `close_gate`, neither here nor at another leader."""
        return self._window.gates.open(gate) and self._lease.live

    async def _drained(self, shards: Collection[ShardName], deadline: Deadline) -> bool:
        """Whether no commit is outstanding on `shards` any more, in time to be of use."""
        if waiter := self._window.wait_barrier(shards, MAX_TIMESTAMP):
            try:
                await self._wait(waiter, min(QUIET_DRAIN_S, deadline.left_s()), lambda: "quiet")
            except TsoTimeout:
                return False
        return True

    # The whole

    async def safe_point(self, retention_ms: int) -> Timestamp:
        self._retention_ms = retention_ms
        return self._safe_point()

    async def statistics(self) -> TsoStatistics:
        window = self._window
        safe_point = self._safe_point()
        return TsoStatistics(
            epoch=self.epoch,
            now=self._clock.last,
            active=window.active(),
            outstanding=window.commits.snapshot(self._clock.now_ms()),
            rollbacks=window.rollbacks(),
            safe_point=safe_point,
            timestamps_served=self._clock.served,
        )

    def _safe_point(self) -> Timestamp:
        try:
            now = self._clock.next()  # a timestamp that was served: all later ones are above it
        except BoundReached:
            now = self._clock.last
        return self._window.safe_point(Timestamp(max(0, now - timestamp_at(self._retention_ms))))

    async def _allocate(self, count: int = 1) -> Timestamp:
        while True:
            try:
                return self._clock.next(count)
            except BoundReached:
                await self._lease.wait_renewed(RENEWAL_WAIT_S)

    def _blockers(self, what: str, shards: Collection[ShardName], read_ts: Timestamp) -> str:
        blockers = sorted(commit.start_ts for commit in self._window.commits.before(shards, read_ts))
        named = ", ".join(map(str, blockers[:3])) + (", …" if len(blockers) > 3 else "")
        return f"{what} on {', '.join(sorted(shards))}: outstanding commits of transactions {named}"

    @staticmethod
    async def _wait(waiter: Waiter, timeout_s: float | None, what: Callable[[], str]) -> None:
        """Until the waiter is settled. Raises TsoTimeout, saying `what` was waited for."""
        settled = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not settled.done():
                settled.set_result(None)

        waiter.wake = wake
        try:
            async with asyncio.timeout(timeout_s):
                await settled
        except TimeoutError:
            if waiter.state is WaiterState.WAITING:
                raise TsoTimeout(f"timed out: {what()}") from None
        finally:
            waiter.withdraw()
