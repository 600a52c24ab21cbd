"""The connections to one shard: bounded, shared fairly, opened when needed, refused at once while it is down.

Owns `BackendPool`, the engine's `Shard`. The rules:
- Never more than `max_connections` sockets. Who finds none free waits in line; a freed one goes to the first in line.
- Only a connection outside a transaction and with known settings is used again; any other is dropped.
- After the shard was down (and at first) nobody gets a connection before `on_connect` has returned for one.
- FOUND_ROWS is fixed at login, so connections with and without are not exchanged for each other.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from proxy.backend.circuit import Circuit, CircuitState
from proxy.backend.connect import ShardAddress, connect, describe
from proxy.backend.connection import BackendConnection
from proxy.backend.lending import Grant, Granted, Lending, Waiter
from proxy.backend.profile import SessionProfile
from proxy.backend.refusals import Refusals
from proxy.backend.shortage import Shortage
from proxy.errors import ProxyError
from tso.types import ShardName
from txguard.engine.shard import Connection, ConnectionLost, ShardError, ShardUnavailable

OnConnect = Callable[[BackendConnection], Awaitable[None]]

DEFAULT_SESSION = (
    "SET autocommit=1,wait_timeout=2147483",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
)
"""What every connection is set to once. The long wait_timeout: the pool decides what is idle for too long."""

OVERLOAD_ERRNOS = frozenset((1040, 1203, 1226))
"""Too many connections: the shard is not down, it is full."""

FULL_PAUSE_S = 0.25
"""How often a full shard is asked for another connection, while those that it lets us have go from hand to hand."""

DEFAULT_PROFILE = SessionProfile()


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """A moment's view. `open` counts connections that are being opened too."""

    shard: ShardName
    address: str
    state: CircuitState
    last_error: str
    server_version: str
    open: int
    idle: int
    waiting: int
    max_connections: int
    opened_total: int
    failed_total: int


class _ShardFull(ShardUnavailable):
    pass


class BackendPool:
    def __init__(
        self,
        name: ShardName,
        address: ShardAddress,
        *,
        max_connections: int = 100,
        connect_timeout_s: float = 5.0,
        session: Sequence[str] = DEFAULT_SESSION,
        on_connect: OnConnect | None = None,
    ) -> None:
        """`session` runs once on every new connection."""
        self._name = name
        self.address = address
        self.max_connections = max_connections
        self.connect_timeout_s = connect_timeout_s
        self.on_connect = on_connect
        """Called with a fresh connection when the shard was down; who raises keeps it down."""
        self._session = tuple(session)
        self._circuit = Circuit()
        self.siblings: Sequence[BackendPool] = ()
        """Other pools to the same shard: one that finds it up has them try again at once."""
        self._refusals = Refusals(name)
        self.lending = Lending()
        """For whoever has no time for `acquire` and `release`: this module is not compiled."""
        self._all: set[BackendConnection] = set()
        self._open = 0
        self._opened_total = self._failed_total = 0
        self._server_version = ""
        self._full_text: str | None = None
        """What was said when the shard last accepted no connection, and none was opened since."""
        self._full_until = 0.0

    @property
    def name(self) -> ShardName:
        return self._name

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(
            shard=self._name,
            address=str(self.address),
            state=self._circuit.state,
            last_error=self._circuit.last_error,
            server_version=self._server_version,
            open=self._open,
            idle=len(self.lending.idle),
            waiting=len(self.lending.waiters),
            max_connections=self.max_connections,
            opened_total=self._opened_total,
            failed_total=self._failed_total,
        )

    # ---------------------------------------------------------------- acquire and release

    async def acquire(self, timeout_s: float, profile: SessionProfile = DEFAULT_PROFILE) -> BackendConnection:
        """A connection that will run under `profile`. Raises ShardUnavailable; nothing was sent then."""
        connection = self.lending.take(profile)
        if connection is not None:
            return connection
        try:
            async with asyncio.timeout(timeout_s):
                return await self._acquire(profile)
        except TimeoutError:
            raise ShardUnavailable(self._timeout_text(timeout_s)) from None

    def release(self, connection: Connection) -> None:
        """Give back. One that cannot be used again is dropped; a closed one is already forgotten."""
        assert isinstance(connection, BackendConnection)
        self.lending.give_back(connection)

    async def _acquire(self, profile: SessionProfile) -> BackendConnection:
        reserved = False
        while True:
            if self.lending.closed:
                raise ShardUnavailable(f"shard {self._name}: the pool is closed")
            if reserved or self._reserve(profile):
                reserved = False
                try:
                    connection = await self._open_reserved(profile)
                except _ShardFull:
                    if not self._all:
                        raise
                    if (unlike := self.lending.idle.pop_unlike(profile.found_rows)) is not None:
                        unlike.close()
                else:
                    if connection is not None:
                        return connection
                    continue
            granted = await self._wait_in_line(profile)
            if isinstance(granted, BackendConnection):
                return granted
            reserved = granted is Grant.ROOM

    def _reserve(self, profile: SessionProfile) -> bool:
        """Whether a new connection may be opened now; counts it. Raises ShardUnavailable while it is down."""
        state = self._circuit.state
        if state is CircuitState.PROBING:
            return False
        if state is CircuitState.DOWN and not self._circuit.may_probe(asyncio.get_running_loop().time()):
            raise ShardUnavailable(self._down_text())
        if self._all and asyncio.get_running_loop().time() < self._full_until:
            return False
        if self._open >= self.max_connections:
            unlike = self.lending.idle.pop_unlike(profile.found_rows)
            if unlike is None:
                return False
            unlike.close()
        self._open += 1
        return True

    async def _wait_in_line(self, profile: SessionProfile) -> Granted:
        """Until there is something to be had; at a full shard, room may also be left by others, unnoticed."""
        pause_s = None if self._full_text is None else FULL_PAUSE_S
        waiter = Waiter(asyncio.get_running_loop().create_future(), profile)
        self.lending.waiters.append(waiter)
        try:
            async with asyncio.timeout(pause_s):
                try:
                    return await waiter.future
                except asyncio.CancelledError:
                    if waiter.future.done() and not waiter.future.cancelled():
                        self._pass_on(waiter.future.result())
                    elif waiter in self.lending.waiters:
                        self.lending.waiters.remove(waiter)
                    raise
        except TimeoutError:
            return Grant.LOOK

    def _pass_on(self, granted: Granted) -> None:
        """Who was granted a connection, or room for one, is gone: the next in line gets it."""
        if isinstance(granted, BackendConnection):
            self.release(granted)
        elif granted is Grant.ROOM:
            self._leave()

    def _leave(self) -> None:
        """One connection fewer: room for the first in line."""
        self._open -= 1
        while self.lending.waiters and self._open < self.max_connections:
            if self._circuit.state is CircuitState.PROBING:
                return
            waiter = self.lending.waiters.popleft()
            if not waiter.future.done():
                self._open += 1
                waiter.future.set_result(Grant.ROOM)
                return

    # ---------------------------------------------------------------- opening

    async def _open_reserved(self, profile: SessionProfile) -> BackendConnection | None:
        """Open a connection in the room that was reserved. None: things have changed, look again."""
        state = self._circuit.state
        if state is CircuitState.PROBING:
            self._leave()
            return None
        probe = state is CircuitState.DOWN
        if probe and not self._circuit.may_probe(asyncio.get_running_loop().time()):
            self._leave()
            raise ShardUnavailable(self._down_text())
        if probe:
            self._circuit.probing()
        try:
            connection = await self._connect(profile)
            if probe and self.on_connect is not None:
                await self._fence(connection)
        except ShardUnavailable as error:
            if isinstance(error, _ShardFull) and self._all:
                self._open -= 1  # Nobody in line would fare better: they wait for one of ours.
            else:
                self._leave()
            if probe:
                self._wake_all()
            raise
        except BaseException:
            self._leave()
            if probe:
                self._circuit.abandoned()
                self._wake_all()
            raise
        if not probe and self._circuit.state is not CircuitState.UP:
            connection.close()  # Counted in _all: its end leaves the room.
            return None
        if probe:
            self._circuit.succeeded()
            for sibling in self.siblings:
                sibling._circuit.encouraged()
            self._wake_all()
        connection.wanted_profile = profile
        return connection

    async def _connect(self, profile: SessionProfile) -> BackendConnection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.connect_timeout_s):
                connection = await connect(self.address, found_rows=profile.found_rows)
            try:
                await connection.run(self._session, self.connect_timeout_s)
            except ShardError:  # What else ends it has closed the connection.
                connection.close()
                raise
        except (OSError, ConnectionLost, ShardError, ProxyError) as error:
            self._failed_total += 1
            out_of_files = isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
            if not out_of_files and not (isinstance(error, ShardError) and error.errno in OVERLOAD_ERRNOS):
                self._circuit.failed(describe(error), loop.time())
                raise ShardUnavailable(self._down_text()) from error
            if self._circuit.state is CircuitState.PROBING:
                self._circuit.failed(describe(error), loop.time())
            self._full_until = loop.time() + FULL_PAUSE_S
            self._full_text = (
                f"no connection to shard {self._name} ({self.address}) can be opened: this proxy has too many files "
                "and connections open, raise its limit (ulimit -n)"
                if out_of_files
                else f"shard {self._name} ({self.address}) accepts no more connections: {describe(error)}"
            )
            raise _ShardFull(self._full_text) from error
        self._full_text = None
        self._opened_total += 1
        self._server_version = connection.server_version
        self._all.add(connection)
        connection.on_closed(self._connection_closed)
        return connection

    async def _fence(self, connection: BackendConnection) -> None:
        assert self.on_connect is not None
        try:
            await self.on_connect(connection)
        except Exception as error:
            connection.on_closed(self._all.discard)  # The caller gives the room back.
            connection.abort()
            now = asyncio.get_running_loop().time()
            self._refusals.tell(error, str(self.address), now)
            reason = describe(error) if isinstance(error, ShardError) else str(error)
            self._circuit.failed(f"it cannot be fenced: {reason}", now)
            raise ShardUnavailable(self._down_text()) from error
        except BaseException:
            connection.on_closed(self._all.discard)
            connection.abort()
            raise

    def _connection_closed(self, connection: BackendConnection) -> None:
        self._all.discard(connection)
        self.lending.idle.remove(connection)
        self._leave()

    def _wake_all(self) -> None:
        """The probe is over: everybody in line looks again, in order."""
        waiting, self.lending.waiters = self.lending.waiters, deque()
        for waiter in waiting:
            if not waiter.future.done():
                waiter.future.set_result(Grant.LOOK)

    # ---------------------------------------------------------------- care

    def trim(self, rounds: int) -> None:
        """Close what was idle in each of the last `rounds` calls. Counted, so that a release looks at no clock."""
        for connection in list(self.lending.idle):
            connection.idle_rounds += 1
            if connection.idle_rounds > rounds:
                connection.close()

    def half_answered(self, for_s: float) -> dict[BackendConnection, tuple[float, int]]:
        """Those that were asked `for_s` ago or earlier, see `BackendConnection.half_answered`."""
        before = asyncio.get_running_loop().time() - for_s
        parts = {connection: connection.half_answered for connection in self._all}
        return {
            connection: part for connection, part in parts.items() if part is not None and part[0] <= before
        }

    def take_broken_trigger(self) -> bool:
        """Whether a connection has met a broken trigger since this was last asked."""
        met = [connection for connection in self._all if connection.met_broken_trigger]
        for connection in met:
            connection.met_broken_trigger = False
        return bool(met)

    def suspend(self, reason: str) -> None:
        """Take the shard for one that is down: `on_connect` comes first, on a new connection."""
        self._circuit.failed(reason, asyncio.get_running_loop().time())
        for connection in list(self._all):
            connection.abort()

    def close(self) -> None:
        """Drop every connection; who waits gets ShardUnavailable."""
        self.lending.closed = True
        for connection in list(self._all):
            connection.close()
        self._wake_all()

    def _down_text(self) -> str:
        return f"shard {self._name} ({self.address}) cannot be reached: {self._circuit.last_error}"

    def _timeout_text(self, timeout_s: float) -> str:
        if self._full_text is not None:
            return (
                f"{self._full_text}; none of the {len(self._all)} in use became free within {timeout_s:g} s"
            )
        if self._circuit.state is not CircuitState.UP or self._open < self.max_connections:
            return f"shard {self._name} ({self.address}) did not accept a connection within {timeout_s:g} s"
        now = asyncio.get_running_loop().time()
        asked = [connection.asked_at for connection in self._all]
        waits_s = [now - asked_at for asked_at in asked if asked_at is not None]
        opening = self._open - len(self._all)
        return Shortage(self.max_connections, waits_s, opening).text(self._name, timeout_s)
