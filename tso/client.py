"""The oracle over its service: `RemoteTso`, a `Tso` that follows the leader by itself.

Rules: all addresses are tried at once, and who has the lease lets one in; never one of an older epoch than the last.
A transaction lives in the session in which it began. When the connection is lost the server ends its
session, and what belonged to it gets TsoUnavailable (in flight) or TransactionUnknown (later). `end` and
`end_commit` are reported without waiting for an answer: should the report be lost, the session is too, and
the janitor finds out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from tso import messages as m
from tso.api import Leader, Tso
from tso.background import BackgroundTask
from tso.connection import Connection
from tso.errors import QuietExpired, TsoError, TsoUnavailable
from tso.types import Begun, Orphan, Outcome, ShardName, Timestamp, TsoStatistics

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S: Final = 1.5
"""How long an answer that needs no waiting may take; also how long a call waits for a connection to the only oracle."""
TAKEOVER_S: Final = 3.0
"""In this time a standby takes over: where there are standbys, a call waits for a connection so long."""
RECONNECT_S: Final = 0.1
ORPHAN_POLL_S: Final = 10.0

Address = tuple[str, int]


class RemoteTso(Tso):
    """Made by `connect`; ended by `aclose` or as an `async with` block. See `Tso` for the calls."""

    _running: BackgroundTask

    def __init__(self, addresses: Sequence[Address], secret: str | None, answer_timeout_s: float) -> None:
        self._addresses = tuple(addresses)
        self._secret = secret
        self._answer_timeout_s = answer_timeout_s
        self._patience_s = TAKEOVER_S if len(self._addresses) > 1 else answer_timeout_s
        self._connection: Connection | None = None
        self._connected = asyncio.Event()
        self._failures: dict[Address, str] = {}
        self._leader = self._addresses[0]
        self._epoch = 0
        self._prepare: Callable[[Leader], Awaitable[None]] | None = None

    @classmethod
    async def connect(
        cls,
        *addresses: Address,
        secret: str | None = None,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> Self:
        """Raises TsoUnavailable when none of the addresses leads now; later a leader is waited for."""
        self = cls(addresses, secret, answer_timeout_s)
        connection = await self._find_leader(once=True)
        if connection is None:
            raise self._unavailable()
        self._adopt_connection(connection)
        self._running = BackgroundTask(self._run(), name="tso-client")
        return self

    async def aclose(self) -> None:
        """End the session: active transactions end, outstanding commits go to the janitor."""
        await self._running.aclose()
        if self._connection is not None:
            self._connection.lose("the oracle's client was closed")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def epoch(self) -> int:
        """Of the oracle that was connected last: it may go up when the connection is made again."""
        return self._epoch

    @property
    def leader(self) -> str:
        host, port = self._leader
        return f"{host}:{port}"

    async def until_deposed(self) -> NoReturn:
        """Never: it follows the leader."""
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    def on_new_epoch(self, prepare: Callable[[Leader], Awaitable[None]]) -> None:
        self._prepare = prepare

    # Transactions

    async def begin(self) -> Begun:
        return await (await self._session()).begin()

    def begin_nowait(self) -> None:
        return None

    def latest_nowait(self) -> None:
        return None

    async def read_ts(self, start_ts: Timestamp) -> Timestamp:
        return await (await self._session()).read_ts(start_ts)

    async def end(self, start_ts: Timestamp) -> None:
        if self._connection is not None:
            self._connection.end(start_ts)

    # Commits

    async def begin_commit(
        self,
        start_ts: Timestamp,
        participants: tuple[ShardName, ...],
        dependencies: Collection[Timestamp] | None,
        inserted: Collection[ShardName],
        timeout_s: float,
    ) -> Timestamp | None:
        session = await self._session()
        request = m.BeginCommit(
            start_ts,
            participants,
            None if dependencies is None else tuple(dependencies),
            tuple(inserted),
            _milliseconds(timeout_s),
        )
        # Nobody will carry out a commit whose caller was interrupted: the server makes it an orphan.
        answer = await session.call(
            request, timeout_s, unclaimed=lambda late: session.end(start_ts) if late.value else None
        )
        return Timestamp(answer.value) or None

    async def decide(self, start_ts: Timestamp, outcome: Outcome) -> None:
        await self._call(m.Decide(start_ts, outcome))

    async def end_commit(self, start_ts: Timestamp, outcome: Outcome) -> None:
        self.end_commit_nowait(start_ts, outcome)

    def begin_commit_nowait(
        self,
        start_ts: Timestamp,
        participants: tuple[ShardName, ...],
        inserted: Collection[ShardName],
        written_by: Timestamp,
    ) -> None:
        return None

    async def wait_dependencies(
        self,
        start_ts: Timestamp,
        dependencies: Collection[Timestamp] | None,
        shard: ShardName,
        timeout_s: float,
    ) -> None:
        raise NotImplementedError("only a commit that began by begin_commit_nowait waits afterwards")

    def dependencies_decided_nowait(
        self, start_ts: Timestamp, dependencies: Collection[Timestamp], shard: ShardName
    ) -> bool:
        return False

    def end_commit_nowait(self, start_ts: Timestamp, outcome: Outcome) -> None:
        if self._connection is not None:
            self._connection.tell(m.EndCommit(start_ts, outcome))

    async def adopt(
        self, start_ts: Timestamp, commit_ts: Timestamp, participants: tuple[ShardName, ...]
    ) -> None:
        await self._call(m.Adopt(start_ts, commit_ts, participants))

    async def orphan(self, start_ts: Timestamp) -> None:
        await self._call(m.GiveOrphan(start_ts))

    async def next_orphan(self) -> Orphan:
        while True:
            try:
                session = await self._session()
                answer = await session.call(
                    m.NextOrphan(_milliseconds(ORPHAN_POLL_S)),
                    ORPHAN_POLL_S,
                    unclaimed=lambda found: _give_back(session, found),  # noqa: B023 - awaited in this turn
                )
            except TsoUnavailable:
                await asyncio.sleep(RECONNECT_S)
                continue
            if answer.orphan is not None:
                orphan: Orphan = answer.orphan
                return orphan

    # Reads

    async def wait_barrier(self, shards: Collection[ShardName], read_ts: Timestamp, timeout_s: float) -> None:
        await self._call(m.WaitBarrier(tuple(shards), read_ts, _milliseconds(timeout_s)), timeout_s)

    def read_token_nowait(self, shard: ShardName) -> int | None:
        return None

    def calm_token_nowait(self, shard: ShardName) -> None:
        return None

    def was_calm_nowait(self, shard: ShardName, token: int) -> bool:
        return False

    async def read_token(self, shard: ShardName) -> int:
        token: int = (await self._call(m.ReadToken(shard))).value
        return token

    def validate_read_nowait(self, shard: ShardName, token: int) -> bool | None:
        return None

    async def validate_read(self, shard: ShardName, token: int, timeout_s: float) -> bool:
        request = m.ValidateRead(shard, token, _milliseconds(timeout_s))
        valid: bool = (await self._call(request, timeout_s)).value
        return valid

    @asynccontextmanager
    async def quiet(
        self, start_ts: Timestamp, shards: Collection[ShardName], timeout_s: float
    ) -> AsyncGenerator[Timestamp, None]:
        session = await self._session()
        closed: m.GateClosed = await session.call(
            m.CloseGate(start_ts, tuple(shards), _milliseconds(timeout_s)),
            timeout_s,
            unclaimed=lambda late: session.tell(m.OpenGate(late.gate)),
        )
        opening = m.OpenGate(closed.gate)
        try:
            yield closed.read_ts
        except BaseException:
            session.tell(opening)
            raise
        if session.lost or not (await session.call(opening)).value:
            raise QuietExpired("the views were not all open in time; take the snapshot again")

    # The whole

    async def safe_point(self, retention_ms: int) -> Timestamp:
        return Timestamp((await self._call(m.SafePoint(retention_ms))).value)

    async def statistics(self) -> TsoStatistics:
        statistics: TsoStatistics = (await self._call(m.Statistics())).statistics
        return statistics

    # The connection

    async def _call(self, request: m.Message, timeout_s: float = 0.0) -> Any:
        return await (await self._session()).call(request, timeout_s)

    async def _session(self) -> Connection:
        """The connection; waits a moment while it is being made again."""
        if self._connection is not None and not self._connection.lost:
            return self._connection
        try:
            async with asyncio.timeout(self._patience_s):
                while self._connection is None or self._connection.lost:
                    self._connected.clear()
                    await self._connected.wait()
        except TimeoutError:
            raise self._unavailable() from None
        return self._connection

    def _unavailable(self) -> TsoUnavailable:
        reasons = "; ".join(self._failures.values()) or "the connection to it was lost"
        return TsoUnavailable(f"no oracle serves: {reasons}")

    def _adopt_connection(self, connection: Connection) -> None:
        self._connection = connection
        self._epoch = connection.epoch
        self._failures.clear()
        self._connected.set()

    async def _run(self) -> None:
        connection = self._connection
        while True:
            if connection is not None:
                try:
                    await self._serve(connection)
                except Exception:  # a defect must not keep the coordinator from its oracle for ever
                    log.exception("the connection to the oracle ended by a defect")
                    connection.lose("it was given up")
                log.warning("the connection to the oracle at %s was lost", self.leader)
                self._connection = None
            await asyncio.sleep(RECONNECT_S)
            connection = await self._find_leader()
            if connection is not None:
                log.info("connected to the oracle at %s, epoch %d", self.leader, connection.epoch)

    async def _find_leader(self, *, once: bool = False) -> Connection | None:
        """Try all addresses, again and again each at its own pace: one that hangs holds up no other."""
        found: list[Connection] = []

        async def attempt(address: Address) -> None:
            while True:
                try:
                    connection = await Connection.open(*address, self._secret, self._answer_timeout_s)
                except TsoError as error:
                    self._failures[address] = str(error)
                else:
                    if not found and connection.epoch >= self._epoch:
                        self._leader = address
                        found.append(connection)
                        for other in attempts:
                            other.cancel()
                        return
                    self._failures[address] = f"epoch {connection.epoch} of {address[0]}:{address[1]} is over"
                    connection.lose("another oracle leads")
                if once:
                    return
                await asyncio.sleep(RECONNECT_S)

        async with asyncio.TaskGroup() as group:
            attempts = [group.create_task(attempt(address)) for address in self._addresses]
        return found[0] if found else None

    async def _serve(self, connection: Connection) -> None:
        """Until the connection ends. A new epoch's is not used before `on_new_epoch` is through."""
        if connection.epoch == self._epoch or self._prepare is None:
            self._adopt_connection(connection)
            await connection.run()
            return
        async with asyncio.TaskGroup() as group:
            running = group.create_task(connection.run())
            try:
                await self._prepare(_NewLeader(connection))
            except TsoUnavailable as error:
                self._failures[self._leader] = str(error)
                connection.lose("the shards could not be fenced")
            else:
                self._adopt_connection(connection)
            await running


class _NewLeader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def epoch(self) -> int:
        return self._connection.epoch

    async def adopt(
        self, start_ts: Timestamp, commit_ts: Timestamp, participants: tuple[ShardName, ...]
    ) -> None:
        await self._connection.call(m.Adopt(start_ts, commit_ts, participants))


def _milliseconds(seconds: float) -> int:
    return max(0, int(seconds * 1000))


def _give_back(session: Connection, found: m.OrphanFound) -> None:
    if found.orphan is not None:
        session.tell(m.GiveOrphan(found.orphan.start_ts))
