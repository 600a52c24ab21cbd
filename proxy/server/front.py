"""One client's connection: bytes of the socket to commands of a session, its answers back to the socket.

Owns `FrontConnection`, the `Client` of `proxy.server.handler`, whose rules it keeps. Its life is a `Phase`, the turn of
the command in hand a `Turn`; the table says which follows which:

    Phase: LOGIN ─► COMMANDS;  COMMANDS ─► LOGIN (COM_CHANGE_USER);  any ─► LINGERING ─► CLOSED;  any ─► CLOSED
    Turn:  IDLE ─► ANSWERING (a command begins) ─► IDLE (finish)
           ANSWERING ─► TASK (it returned a coroutine) ─► TASK_ANSWERED (finish) ─► IDLE (coroutine over)

LINGERING: a last error has been sent; what still comes is dropped for a moment, so that the client can read it.

Hot path: a chunk that is exactly one COM_QUERY goes to `on_query` without a buffer; `finish` is one write.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from proxy.errors import MalformedPacket, ProxyError, UnknownCommand
from proxy.executor.client_errors import client_error
from proxy.server.answers import Answers
from proxy.server.command_task import carried_out, drained
from proxy.server.commands import COMMANDS, UNANSWERED
from proxy.server.connection_phase import ConnectionPhase, PhaseState
from proxy.server.handler import Session
from proxy.wire.capabilities import Capability
from proxy.wire.commands import Command
from proxy.wire.packets import HEADER_BYTES, MAX_PAYLOAD_BYTES, PacketReader, frame, frame_all
from proxy.wire.responses import ErrPacket, make_err

if TYPE_CHECKING:
    from proxy.server.listener import Listener

LOGIN_PACKET_BYTES = 64 * 1024
"""A client that has not logged in may not send more."""
QUEUE_BYTES = 256 * 1024
"""How much of later commands is read while one runs."""
LINGER_S = 1.0

COM_QUERY = int(Command.COM_QUERY)
COM_QUIT = int(Command.COM_QUIT)
COM_CHANGE_USER = int(Command.COM_CHANGE_USER)


class Phase(enum.Enum):
    LOGIN = "login"
    COMMANDS = "commands"
    LINGERING = "lingering"
    CLOSED = "closed"


class Turn(enum.Enum):
    IDLE = "idle"
    ANSWERING = "answering"
    TASK = "task"
    TASK_ANSWERED = "task answered"


_LINGERING, _CLOSED, _COMMANDS = Phase.LINGERING, Phase.CLOSED, Phase.COMMANDS
_IDLE, _ANSWERING, _TASK, _TASK_ANSWERED = Turn
"""Looked up here once: every command does."""


class FrontConnection(Answers):
    __slots__ = (
        "_connection_id",
        "_login",
        "_login_timer",
        "_paused_reading",
        "_pumping",
        "_reader",
        "_session",
        "_session_closing",
        "_stopping",
        "address",
        "idle_rounds",
        "listener",
        "multi_statements",
        "phase",
        "turn",
    )

    def __init__(self, listener: Listener, connection_id: int) -> None:
        super().__init__(listener.loop)
        self.listener = listener
        self._connection_id = connection_id
        self.phase = Phase.LOGIN
        self.turn = _IDLE
        self.sequence = 0
        self.multi_statements = False
        self.session_state = None
        self.address = ""
        self.idle_rounds = 0
        self._reader = PacketReader(LOGIN_PACKET_BYTES)
        self._login: ConnectionPhase | None = None
        self._login_timer: asyncio.TimerHandle | None = None
        self._session: Session | None = None
        self._session_closing = False
        self._pumping = False
        self._paused_reading = False
        self._stopping = False

    # ---------------------------------------------------------------- Client

    @property
    def connection_id(self) -> int:
        return self._connection_id

    @property
    def closed(self) -> bool:
        return self.phase is _LINGERING or self.phase is _CLOSED

    def write(self, packets: bytes | bytearray) -> None:
        phase = self.phase
        if phase is _LINGERING or phase is _CLOSED:
            return
        self.send(packets)

    def finish(self, packets: bytes | bytearray = b"") -> None:
        if packets:
            self.write(packets)
        if self.turn is _ANSWERING:
            self.turn = _IDLE
            self._command_over()
        elif self.turn is _TASK:
            self.turn = _TASK_ANSWERED

    def drain(self) -> Coroutine[Any, Any, None]:
        return drained(self)

    def send_error(self, errno: int, sqlstate: str, message: str) -> None:
        if self.phase is not Phase.LOGIN:
            super().send_error(errno, sqlstate, message)
            return
        self._last_words(ErrPacket(errno, sqlstate, message))
        self.finish()

    def kill(self) -> None:
        if self.phase is not Phase.CLOSED:
            self.abort()
            self.ended()

    # ---------------------------------------------------------------- the socket

    def opened(self, transport: asyncio.Transport) -> None:
        self.address, secure = self.listener.tune(transport)
        refusal = self.listener.admit(self)
        if refusal is not None:
            self._last_words(_packet(refusal))
            return
        self._limit_login()
        self._login = ConnectionPhase(self.listener.identity, address=self.address, secure=secure)
        self.write(frame(self._login.greeting(self._connection_id)))
        self._reader.expected = 1

    def writable_again(self) -> None:
        self._pump()

    def ended(self) -> None:
        if not self.closed:
            self._over(Phase.CLOSED)
        self.phase = Phase.CLOSED

    def received(self, data: bytes) -> None:
        if self.turn is _IDLE and not self._reader.buffer and not self.write_paused:
            size = len(data) - HEADER_BYTES
            if (
                size > 0
                and self.phase is _COMMANDS
                and data[3] == 0
                and data[0] | data[1] << 8 | data[2] << 16 == size
                and size < MAX_PAYLOAD_BYTES
                and size <= self._reader.max_bytes
            ):
                if data[4] == COM_QUERY:
                    self._begin_query(data[5:])
                else:
                    self.sequence = 1
                    self._begin(data[4:])
                return
        if self.phase is _COMMANDS or self.phase is Phase.LOGIN:
            self._reader.feed(data)
            self._pump()

    def _pump(self) -> None:
        """Take up what has been read, one command after the other, as long as each is over at once."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self.turn is _IDLE and not self.write_paused and self.phase in _READING:
                packet = self._reader.next_packet()
                if packet is None:
                    break
                self.sequence = packet.sequence + 1 & 0xFF
                if self.phase is _COMMANDS:
                    self._begin(packet.payload)
                else:
                    self._login_packet(packet.payload)
        except ProxyError as error:
            self.sequence = self._reader.expected + 1 & 0xFF
            self._last_words(_packet(error))
        finally:
            self._pumping = False
        self._balance_reading()

    def _balance_reading(self) -> None:
        """While a command runs only so much of the next ones is read."""
        held_up = self.turn is not _IDLE or self.write_paused
        full = held_up and len(self._reader.buffer) > QUEUE_BYTES
        if full != self._paused_reading and self.phase in _READING:
            self._paused_reading = full
            self.hold_reading(full)

    # ---------------------------------------------------------------- login

    def _login_packet(self, payload: bytes) -> None:
        login = self._login
        assert login is not None
        try:
            self._login_step(login, login.feed(payload))
        except ProxyError as error:
            self._last_words(_packet(error))

    def _login_step(self, login: ConnectionPhase, answers: list[bytes]) -> None:
        if answers:
            packets, self.sequence = frame_all(answers, self.sequence)
            self.write(packets)
        self._reader.expected = self.sequence
        if login.state is PhaseState.WANTS_TLS:
            self._start_tls(login)
        elif login.state is PhaseState.PROVEN:
            self._logged_in(login)

    def _start_tls(self, login: ConnectionPhase) -> None:
        assert self.listener.tls is not None
        login.tls_established()
        self.start_tls(self.listener.tls, self._reader.take_rest())

    def _logged_in(self, phase: ConnectionPhase) -> None:
        login = phase.login
        assert login is not None
        self._stop_login_timer()
        self.multi_statements = bool(login.capabilities & Capability.MULTI_STATEMENTS)
        self._reader.max_bytes = self.listener.settings.max_packet_bytes
        self._reader.expected = 0
        self.turn = _ANSWERING
        try:
            if self._session is None:
                self._session = self.listener.session_factory(self, login)
                pending = self._session.on_login()
            else:
                pending = self._session.on_change_user(login)
        except Exception as error:
            self.report(error)
            return
        if pending is not None:
            self._spawn(pending)

    def _change_user(self, payload: bytes) -> None:
        assert self._login is not None
        self.phase = Phase.LOGIN
        self._limit_login()
        try:
            self._login_step(self._login, self._login.change_user(payload))
        except ProxyError as error:
            self._last_words(_packet(error))

    def _limit_login(self) -> None:
        timeout_s = self.listener.settings.handshake_timeout_s
        self._login_timer = self.loop.call_later(timeout_s, self.kill)

    def _stop_login_timer(self) -> None:
        if self._login_timer is not None:
            self._login_timer.cancel()
            self._login_timer = None

    # ---------------------------------------------------------------- commands

    def _begin_query(self, sql: bytes) -> None:
        """`_begin` for COM_QUERY, without the ways round."""
        session = self._session
        assert session is not None
        self.turn = _ANSWERING
        self.sequence = 1
        try:
            pending = session.on_query(sql)
        except Exception as error:
            self.report(error)
            return
        if pending is not None:
            self._spawn(pending)

    def _begin(self, payload: bytes) -> None:
        command = payload[0] if payload else -1
        if command == COM_QUIT:
            self.close()
            self.ended()
            return
        if command == COM_CHANGE_USER:
            self._change_user(payload)
            return
        session = self._session
        assert session is not None
        run = COMMANDS.get(command)
        if run is None:
            self.turn = _ANSWERING
            name = Command(command).name if command in _KNOWN else f"0x{command & 0xFF:02x}"
            self.report(UnknownCommand(f"TxGuard does not know the command {name}"))
            return
        self.turn = _ANSWERING
        try:
            pending = run(session, self, payload)
        except Exception as error:
            if command in UNANSWERED and not isinstance(error, MalformedPacket):
                self.finish()
            else:
                self.report(error)
            return
        if pending is not None:
            self._spawn(pending)

    def _spawn(self, pending: Coroutine[Any, Any, None]) -> None:
        if self.turn is _ANSWERING:
            self.turn = _TASK
        elif self.turn is _IDLE:
            self.turn = _TASK_ANSWERED
        self.listener.spawn(carried_out(self, pending))

    @property
    def unanswered(self) -> bool:
        """Whether the command in hand still owes its answer, though a task carries it out."""
        return self.turn is _TASK

    def task_over(self) -> None:
        self.turn = _IDLE
        self._command_over()

    def report(self, error: Exception) -> None:
        """An exception becomes the command's answer, unless it has been answered."""
        what = client_error(error)
        if self.turn in (Turn.ANSWERING, Turn.TASK):
            self.send_error(what.errno, what.sqlstate, what.message)

    def _command_over(self) -> None:
        phase = self.phase
        if phase is _LINGERING or phase is _CLOSED:
            self._close_session()
            return
        self.phase = _COMMANDS
        if self._stopping:
            self.stop()
            return
        self.idle_rounds = 0
        if self._reader.buffer and not self._pumping:
            self._pump()

    # ---------------------------------------------------------------- the end

    def stop(self) -> None:
        """The listener stops: an idle client is told so now, a busy one after its command."""
        self._stopping = True
        if self.turn is _IDLE:
            self.dismiss(self.listener.farewell)

    def dismiss(self, error: ProxyError) -> None:
        """Tell an idle client why, and close."""
        if self.phase is _COMMANDS:
            self.sequence = 1
        self._last_words(_packet(error))

    def _last_words(self, error: ErrPacket) -> None:
        """Send an error and close; linger a moment, so that a client that is still sending can read it."""
        if self.closed:
            return
        self.write(frame(make_err(error, greeted=self._login is not None), self.sequence))
        self._over(Phase.LINGERING)
        self._reader.take_rest()
        self.linger(LINGER_S)

    def _over(self, phase: Phase) -> None:
        """No further command: let go of the session as soon as the one in hand is over."""
        self.phase = phase
        self._stop_login_timer()
        if self._session is not None:
            self._session.on_disconnect()
        if self.turn is _IDLE:
            self._close_session()

    def _close_session(self) -> None:
        if self._session_closing:
            return
        self._session_closing = True
        self.listener.forget(self)
        if self._session is not None:
            self.listener.spawn(self._session.close())


_READING = frozenset((Phase.LOGIN, Phase.COMMANDS))
_KNOWN = frozenset(int(command) for command in Command)


def _packet(error: ProxyError) -> ErrPacket:
    return ErrPacket(error.errno, error.sqlstate, str(error))
