"""A connection to a shard: the socket under an exchange.

Owns `BackendConnection`, which meets the engine's `Connection` and `RelayConnection`. It is idle (no
exchange), busy (with one; a second is refused), streaming (the first part of a large answer is handed over,
the rest drawn from a ReplyStream) or closed. What ends it in the middle of an exchange (the socket, a
deadline, `abort`) gives ConnectionLost to whoever waits, once.

Hot path: `relay_nowait`, one write, `data_received`, `on_reply`: no task, no future, no timer of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from proxy.backend.awaited import AwaitedRequests, OnReply
from proxy.backend.deadline import Deadline
from proxy.backend.exchange import (
    NO_LEADING,
    Buffer,
    ControlExchange,
    Exchange,
    Leading,
    LedTextRelay,
    TextRelay,
)
from proxy.backend.prepared_exchange import PreparedExchange
from proxy.backend.profile import SessionProfile, switch_statements
from proxy.backend.reply import RelayReply
from proxy.backend.statement_cache import StatementCache
from proxy.backend.statements import HIGH_WATER_BYTES, PreparedStatement, Statement
from proxy.backend.stream import ReplyStream
from proxy.errors import MalformedPacket, OutOfMergeMemory
from proxy.wire.capabilities import Status
from proxy.wire.commands import Command
from proxy.wire.packets import frame
from proxy.wire.response_scanner import ResponseScanner
from proxy.wire.responses import ErrPacket, make_err, parse_err
from txguard.engine.committing import PREWRITE
from txguard.engine.shard import ConnectionLost, OnDone, ShardError

_IN_TRANS = int(Status.IN_TRANS)
MARK = "@txg_start_ts="
"""Set while a connection may write for a transaction; one that still is must not go back to the pool."""
UNMARK = "@txg_start_ts=NULL"
BROKEN_TRIGGERS = ("Trigger '_txg_", "Unknown trigger has an error in its body")
"""How an error 1064 of MariaDB begins. A KILL QUERY while a table is opened leaves it with triggers that are not
parsed, and whoever is given it then cannot write, until it is closed (FLUSH TABLES)."""


class BackendConnection(AwaitedRequests):
    __slots__ = (
        "_asked_at",
        "_buffer",
        "_closed",
        "_deadline",
        "_discarding",
        "_exchange",
        "_loop",
        "_marked",
        "_on_closed",
        "_on_done",
        "_status",
        "_stream",
        "_transport",
        "_trusted",
        "address",
        "found_rows",
        "idle_rounds",
        "met_broken_trigger",
        "profile",
        "server_version",
        "statements",
        "thread_id",
        "wanted_profile",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        *,
        address: str,
        thread_id: int,
        server_version: str,
        found_rows: bool,
    ) -> None:
        self._transport = transport
        self._loop = loop
        self.address = address
        """For messages: host:port or a socket's path."""
        self.thread_id = thread_id
        self.server_version = server_version
        self.found_rows = found_rows
        self.profile: SessionProfile | None = None
        """What the session on the shard has; None: as it came from login."""
        self.wanted_profile: SessionProfile | None = None
        """What the next packet must run under; the switch travels with it."""
        self.statements = StatementCache()
        self.idle_rounds = 0
        """How many rounds of the pool's care it has been idle for."""
        self._asked_at = 0.0
        self._deadline = Deadline(loop, self._deadline_passed)
        self._exchange: Exchange | None = None
        self._on_done: OnReply | None = None
        self._on_closed: Callable[[BackendConnection], None] | None = None
        self._buffer: bytearray | None = None
        self._stream: ReplyStream | None = None
        self._discarding = False
        self._closed = False
        self._trusted = True
        self._marked = False
        self._status = 0
        self.met_broken_trigger = False
        """MariaDB said of one of our triggers what it never should, see `BROKEN_TRIGGERS`."""

    # ---------------------------------------------------------------- what it is

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def busy(self) -> bool:
        return self._exchange is not None or self._stream is not None

    @property
    def asked_at(self) -> float | None:
        """The loop's time of the request that the shard has not answered, or not to its end; None: it owes none."""
        return None if self._exchange is None else self._asked_at

    @property
    def half_answered(self) -> tuple[float, int] | None:
        """When it was asked, and the bytes that have come, while several statements have been answered in part."""
        exchange, buffer = self._exchange, self._buffer
        if exchange is None or buffer is None or not exchange.leading.statements:
            return None
        return self._asked_at, len(buffer)

    @property
    def in_transaction(self) -> bool:
        """As the last answer that was no error says."""
        return bool(self._status & _IN_TRANS)

    def distrust(self) -> None:
        """From now on it is not `reusable`."""
        self._trusted = False

    @property
    def reusable(self) -> bool:
        """Whether another session may have it: idle, outside a transaction, its settings known, no KILL on its way."""
        in_transaction = self._status & _IN_TRANS
        return (
            not (
                in_transaction
                or self._closed
                or self._exchange is not None
                or self._stream is not None
                or self._marked
            )
            and self._trusted
        )

    def on_closed(self, callback: Callable[[BackendConnection], None]) -> None:
        """`callback` is told once, when the connection ends for whatever reason."""
        self._on_closed = callback

    # ---------------------------------------------------------------- requests

    def relay_nowait(
        self,
        statement: Statement,
        on_reply: OnReply,
        timeout_s: float | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        """Relay a statement; the prefix's answers are dropped.

        Raises ConnectionLost at once when the connection is closed, ShardError for a prefix that cannot be sent.
        """
        leading = self._leading(prefix, decoded=False)
        self._begin(self._relay_exchange(statement, leading), on_reply, timeout_s)

    def run_nowait(self, statements: Sequence[str], on_done: OnDone, timeout_s: float | None) -> None:
        """Control statements whose answers are dropped. Raises as `relay_nowait`."""
        exchange = ControlExchange(self._leading(statements, decoded=False))
        self._begin(exchange, lambda _, error: on_done(error), timeout_s)

    def abort(self, reason: str = "the connection was aborted") -> None:
        """Drop the socket at once; the shard rolls the local transaction back."""
        self._lose(reason)

    def close(self) -> None:
        """Say good-bye; for an idle connection."""
        if not self._closed and not self.busy:
            self._transport.write(frame(bytes((Command.COM_QUIT,))))
        self._lose("the connection was closed", abort=False)

    # ---------------------------------------------------------------- exchanges

    def _relay_exchange(self, statement: Statement, leading: Leading) -> Exchange:
        if isinstance(statement, PreparedStatement):
            return PreparedExchange(statement.sql, statement, leading, self.statements, self.wanted_profile)
        return LedTextRelay(statement, leading) if leading.statements else TextRelay(statement)

    def _leading(self, prefix: Sequence[str], *, decoded: bool = True) -> Leading:
        """The switch to the wanted profile, where there is one, and the caller's statements."""
        wanted = self.wanted_profile
        if not prefix and self.profile is wanted:
            return NO_LEADING
        for statement in prefix:
            if MARK in statement:
                self._marked = UNMARK not in statement
            elif statement.startswith(PREWRITE):
                self._marked = False  # Whoever sees it fail drops the connection.
        switch: list[str] = []
        if wanted is not None and self.profile is not wanted:
            switch = switch_statements(self.profile, wanted)
            self.profile = wanted
        encoding = wanted.encoding if wanted is not None else "utf-8"
        try:
            own = [statement.encode(encoding) for statement in prefix]
        except UnicodeEncodeError as error:
            raise ShardError(
                1300, "HY000", f"Invalid {encoding} character string: {error.object!r}"
            ) from None
        return Leading((*(text.encode() for text in switch), *own), len(switch), encoding, decoded)

    def _begin(self, exchange: Exchange, on_done: OnReply, timeout_s: float | None) -> None:
        if self._closed:
            raise ConnectionLost(f"{self.address}: the connection is closed")
        if self._exchange is not None or self._stream is not None:
            raise RuntimeError("a shard connection runs one packet at a time")
        self._exchange = exchange
        self._on_done = on_done
        self._asked_at = self._loop.time()
        if timeout_s is not None:
            self._deadline.set(timeout_s)
        self._transport.write(exchange.request)

    # ---------------------------------------------------------------- the socket

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self._data_without_exchange(data)
            return
        buffer: Buffer | None = self._buffer
        if buffer is None:
            buffer = bytearray(data) if exchange.rewrites else data
        else:
            buffer += data
        try:
            done = exchange.feed(buffer)
        except MalformedPacket as error:
            self._lose(f"the shard sent what cannot be read: {error}")
            return
        if exchange.output is not None:
            self._transport.write(exchange.take_output())
        if done:
            self._complete(exchange, buffer)
        else:
            self._incomplete(exchange, buffer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose("the shard closed the connection" if exc is None else f"the connection broke: {exc}")

    def _complete(self, exchange: Exchange, buffer: Buffer) -> None:
        aborts = exchange.must_abort and exchange.failure is not None
        if exchange.end != len(buffer) and not aborts:
            self._lose("the shard sent more than was asked for")
            return
        on_done = self._on_done
        assert on_done is not None
        scanner = exchange.scanner
        if scanner.status:
            self._status = scanner.status
        if scanner.error is not None and scanner.error.message.startswith(BROKEN_TRIGGERS):
            self.met_broken_trigger = True
        self._exchange = self._on_done = self._buffer = None
        self._deadline.clear()
        if exchange.failure is not None:
            self._failed(exchange, exchange.failure, on_done)
        elif self._discarding:
            self._discarding = False
            on_done(None, OutOfMergeMemory("the answer of one shard is larger than max_merge_bytes"))
        elif exchange.statement is None:
            on_done(None, None)
        else:
            start = exchange.body_start
            packets = buffer[start:] if start else buffer
            on_done(RelayReply(scanner, packets, start, exchange.binary), None)

    def _failed(self, exchange: Exchange, failure: ErrPacket, on_done: OnReply) -> None:
        """A leading statement failed, so the client's did not run (or is undone by the abort)."""
        if exchange.failed_at < exchange.leading.profile:
            self._trusted = False
        if exchange.must_abort:
            self.abort()
        if exchange.statement is not None and not exchange.leading.from_caller:
            on_done(_error_reply(failure), None)
        else:
            on_done(None, ShardError(failure.errno, failure.sqlstate, failure.message))

    def _incomplete(self, exchange: Exchange, buffer: Buffer) -> None:
        """Keep what has come; hand a part over, or drop it, where there is too much."""
        kept = buffer if isinstance(buffer, bytearray) else bytearray(buffer)
        self._buffer = kept
        statement = exchange.statement
        if statement is None or not exchange.in_body:
            return
        size = len(kept) - exchange.body_start
        if statement.stream:
            if size >= HIGH_WATER_BYTES:
                self._begin_stream(exchange, kept)
        elif self._discarding or (statement.limit_bytes is not None and size > statement.limit_bytes):
            self._discarding = True
            ready = min(exchange.scanner.position, len(kept))
            del kept[:ready]
            exchange.scanner.forget(ready)
            exchange.body_dropped()

    def _begin_stream(self, exchange: Exchange, buffer: bytearray) -> None:
        scanner, start = exchange.scanner, exchange.body_start
        self._transport.pause_reading()
        ready = min(scanner.position, len(buffer))
        stream = ReplyStream(self._loop, self._transport, scanner, buffer[ready:])
        packets = buffer[start:ready]
        reply = RelayReply(scanner, packets, base=start, binary=exchange.binary, source=stream)
        scanner.forget(ready)
        on_done = self._on_done
        assert on_done is not None
        self._stream = stream
        self._exchange = self._on_done = self._buffer = None
        self._deadline.clear()
        on_done(reply, None)

    def _data_without_exchange(self, data: bytes) -> None:
        stream = self._stream
        if stream is None:
            self._lose(_farewell(data))
            return
        try:
            complete = stream.feed(data)
        except MalformedPacket as error:
            self._lose(f"the shard sent what cannot be read: {error}")
            return
        if complete:
            self._stream = None
            self._status = stream.status
            if stream.surplus:
                self._lose("the shard sent more than was asked for")

    def _deadline_passed(self) -> None:
        self._lose("the shard did not answer in time")

    def _lose(self, reason: str, *, abort: bool = True) -> None:
        """The end, from whatever side. Whoever waits is told from the loop, not from inside `abort`."""
        if self._closed:
            return
        self._closed = True
        self._deadline.close()
        if abort:
            self._transport.abort()
        else:
            self._transport.close()
        lost = ConnectionLost(f"{self.address}: {reason}")
        on_done, stream = self._on_done, self._stream
        self._exchange = self._on_done = self._buffer = self._stream = None
        if on_done is not None:
            self._loop.call_soon(on_done, None, lost)
        if stream is not None:
            stream.lost(lost)
        if self._on_closed is not None:
            self._on_closed(self)
            self._on_closed = None


def _error_reply(failure: ErrPacket) -> RelayReply:
    packets = frame(make_err(failure), 1)
    scanner = ResponseScanner()
    scanner.scan(packets)
    return RelayReply(scanner, packets)


def _farewell(data: bytes) -> str:
    """What a server says before it closes an idle connection: an ERR that nobody asked for."""
    try:
        return f"the shard closed the connection: {parse_err(data[4:]).message}"
    except MalformedPacket:
        return "the shard sent data that nobody asked for"
