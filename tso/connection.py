"""The client's end of one connection to the oracle's service: one session, many requests in flight.

Rules: all that the callers of one turn of the loop ask goes out in one frame. Each request has a deadline;
one that passes means that the server or the way to it is gone, and ends the connection, so that no call
hangs. An answer for which nobody waits any more is undone (`unclaimed`), so that an interrupted call leaves
nothing behind.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tso import messages as m
from tso.errors import StandsBy, TransactionUnknown, TsoUnavailable
from tso.fields import WireError
from tso.incoming import Incoming
from tso.outbox import Outbox
from tso.secret import NONCE_BYTES, Role, prove, proved
from tso.types import Begun, Timestamp
from tso.wire import NO_REPLY, VERSION, encode_frame

log = logging.getLogger(__name__)

GRACE_S: Final = 2.0
"""How much later than a request's own time-out the server's answer may come."""
TICKS_PER_SESSION: Final = 12
"""How often within the server's session time-out the client says that it is there."""


class Pending(NamedTuple):
    due: float
    settle: Callable[[m.Message], None]
    fail: Callable[[TsoUnavailable], None]


class Connection:
    """Made by `open`; works while `run` does."""

    def __init__(self, incoming: Incoming, writer: asyncio.StreamWriter, answer_timeout_s: float) -> None:
        self.epoch = 0
        self._incoming = incoming
        self._writer = writer
        self._answer_timeout_s = answer_timeout_s
        self._tick_s = 1.0
        self._outbox = Outbox(writer, self._send_gathered)
        self._request_ids = itertools.count(1)
        self._pending: dict[int, Pending] = {}
        self._begins: list[asyncio.Future[Begun]] = []
        self._reads: list[tuple[Timestamp, asyncio.Future[Timestamp]]] = []
        self._ends: list[Timestamp] = []
        self._lost: TsoUnavailable | None = None

    @classmethod
    async def open(cls, host: str, port: int, secret: str | None, answer_timeout_s: float) -> Connection:
        """Connect and prove the secret. Raises TsoUnavailable; StandsBy when another one leads."""
        try:
            async with asyncio.timeout(answer_timeout_s):
                reader, writer = await asyncio.open_connection(host, port)
                self = cls(Incoming(reader), writer, answer_timeout_s)
                try:
                    await self._greet(secret)
                except BaseException:
                    writer.transport.abort()
                    raise
                return self
        except (OSError, TimeoutError, WireError, TsoUnavailable) as error:
            why = "it does not answer" if isinstance(error, TimeoutError) else error
            kind = StandsBy if isinstance(error, StandsBy) else TsoUnavailable
            raise kind(f"the oracle at {host}:{port} cannot be used: {why}") from error

    async def run(self) -> None:
        """Take answers and keep the session alive until the connection ends; then fail all that is in flight."""
        try:
            async with asyncio.TaskGroup() as group:
                beat = group.create_task(self._keep_alive())
                await self._receive()
                beat.cancel()
        except* (OSError, WireError) as group_of_errors:
            log.info("the connection to the oracle ended: %s", group_of_errors.exceptions[0])
        finally:
            self.lose("the connection to the oracle was lost")

    @property
    def lost(self) -> bool:
        return self._lost is not None

    def lose(self, why: str) -> None:
        """End the connection, and with it the session. Idempotent."""
        if self._lost is not None:
            return
        self._lost = TsoUnavailable(f"{why}; its session and transactions are over, run them again")
        self._writer.transport.abort()
        pending, self._pending = self._pending, {}
        for request in pending.values():
            request.fail(self._lost)
        self._fail_gathered(self._lost)

    # Requests

    async def call(
        self,
        request: m.Message,
        timeout_s: float = 0.0,
        unclaimed: Callable[[Any], None] | None = None,
    ) -> Any:
        """Send a request and wait for its answer. Raises what the server met, or TsoUnavailable."""
        self._require()
        answer: asyncio.Future[m.Message] = asyncio.get_running_loop().create_future()

        def settle(message: m.Message) -> None:
            if isinstance(message, m.Failed):
                _fail(answer, m.error_of(message))
            elif not answer.done():
                answer.set_result(message)
            elif unclaimed is not None:
                unclaimed(message)

        self._ask(
            request,
            Pending(self._due(timeout_s), settle, lambda lost: _fail(answer, TsoUnavailable(str(lost)))),
        )
        return await answer

    def tell(self, request: m.Message) -> None:
        """Send a request without waiting for its answer. Does nothing when the session is over."""
        if self._lost is None:
            self._outbox.add(NO_REPLY, request)

    async def begin(self) -> Begun:
        self._require()
        answer: asyncio.Future[Begun] = asyncio.get_running_loop().create_future()
        self._begins.append(answer)
        self._outbox.schedule()
        return await answer

    async def read_ts(self, start_ts: Timestamp) -> Timestamp:
        self._require()
        answer: asyncio.Future[Timestamp] = asyncio.get_running_loop().create_future()
        self._reads.append((start_ts, answer))
        self._outbox.schedule()
        return await answer

    def end(self, start_ts: Timestamp) -> None:
        if self._lost is None:
            self._ends.append(start_ts)
            self._outbox.schedule()

    # Gathered requests

    def _send_gathered(self) -> None:
        """The outbox is about to be sent: add what many callers asked alike."""
        if self._ends:
            self.tell(m.End(tuple(self._ends)))
            self._ends.clear()
        if self._begins:
            begins, self._begins = self._begins, []
            self._ask(
                m.Begin(len(begins)),
                Pending(
                    self._due(),
                    lambda message: self._begun(begins, message),
                    lambda lost: _fail_all(begins, lost),
                ),
            )
        if self._reads:
            reads, self._reads = self._reads, []
            self._ask(
                m.ReadTs(tuple(start_ts for start_ts, _ in reads)),
                Pending(
                    self._due(),
                    lambda message: _read_timestamps(reads, message),
                    lambda lost: _fail_all([answer for _, answer in reads], lost),
                ),
            )

    def _begun(self, begins: list[asyncio.Future[Begun]], message: m.Message) -> None:
        if not isinstance(message, m.Begun):
            _fail_all(begins, _refusal(message))
            return
        for start_ts, answer in enumerate(begins, message.first):
            if answer.done():  # its caller was interrupted
                self.end(Timestamp(start_ts))
            else:
                answer.set_result(Begun(Timestamp(start_ts), message.floor))

    def _fail_gathered(self, lost: TsoUnavailable) -> None:
        _fail_all(self._begins, lost)
        _fail_all([answer for _, answer in self._reads], lost)

    # The connection

    def _ask(self, request: m.Message, pending: Pending) -> None:
        request_id = next(self._request_ids)
        self._pending[request_id] = pending
        self._outbox.add(request_id, request)

    def _require(self) -> None:
        if self._lost is not None:
            raise TsoUnavailable(str(self._lost))

    def _due(self, timeout_s: float = 0.0) -> float:
        grace_s = GRACE_S if timeout_s else 0.0
        return asyncio.get_running_loop().time() + max(timeout_s + grace_s, self._answer_timeout_s)

    async def _receive(self) -> None:
        while messages := await self._incoming.some():
            for request_id, message in messages:
                pending = self._pending.pop(request_id, None)
                if pending is None:
                    raise WireError(f"{type(message).__name__} answers no request")
                pending.settle(message)

    async def _keep_alive(self) -> None:
        """Let the server hear something regularly, and end the connection when an answer is overdue."""
        while self._lost is None:
            await asyncio.sleep(self._tick_s)
            now = asyncio.get_running_loop().time()
            if any(pending.due < now for pending in self._pending.values()):
                self.lose("the oracle did not answer in time")
            else:
                self._ask(m.Ping(), Pending(self._due(), lambda _: None, lambda _: None))

    async def _greet(self, secret: str | None) -> None:
        challenge = await self._expect(m.Challenge)
        if challenge.version != VERSION:
            raise WireError(f"it speaks version {challenge.version} of the protocol, not {VERSION}")
        self._tick_s = challenge.session_timeout_ms / 1000 / TICKS_PER_SESSION
        nonce = secrets.token_bytes(NONCE_BYTES)
        hello = m.Hello(VERSION, nonce, prove(secret, Role.CLIENT, challenge.nonce, nonce))
        self._writer.write(encode_frame([(NO_REPLY, hello)]))
        welcome = await self._expect(m.Welcome)
        if not proved(secret, Role.SERVER, challenge.nonce, nonce, welcome.proof):
            raise WireError("it does not know the secret")
        self._incoming.trust()
        self.epoch = welcome.epoch

    async def _expect(self, kind: type[Any]) -> Any:
        messages = await self._incoming.some()
        if not messages:
            raise WireError("it closed the connection")
        [(_, message), *early] = messages
        if isinstance(message, m.Failed):
            raise m.error_of(message)
        if early or not isinstance(message, kind):
            raise WireError(f"{type(message).__name__} in place of {kind.__name__}")
        return message


def _read_timestamps(reads: list[tuple[Timestamp, asyncio.Future[Timestamp]]], message: m.Message) -> None:
    if not isinstance(message, m.Timestamps):
        _fail_all([answer for _, answer in reads], _refusal(message))
        return
    for (start_ts, answer), read_ts in zip(reads, message.values, strict=True):
        if not read_ts:
            _fail(
                answer,
                TransactionUnknown(f"transaction {start_ts} is not active at this oracle; run it again"),
            )
        elif not answer.done():
            answer.set_result(read_ts)


def _refusal(message: m.Message) -> Exception:
    if isinstance(message, m.Failed):
        return m.error_of(message)
    return TsoUnavailable(
        f"the oracle answered with {type(message).__name__}: update it and its clients alike"
    )


def _fail(answer: asyncio.Future[Any], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)


def _fail_all(answers: list[Any], error: Exception) -> None:
    for answer in answers:
        _fail(answer, type(error)(*error.args))
