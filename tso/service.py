"""The oracle as a TCP service: accepts coordinators, lets them prove the secret, and keeps a session for each.

Rules: nothing but `Hello` is read from somebody who has not proved to know the secret, in small frames and
little time. A session that says nothing for its timeout is over: a half-open connection must not keep
commits outstanding or the safe point down. Only who has the lease has sessions: when it is over they end, so that
coordinators look for the new leader; a standby refuses them.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from functools import partial
from types import TracebackType
from typing import Final, Self

from tso import messages as m
from tso.embedded import EmbeddedTso
from tso.errors import StandsBy, TsoUnavailable
from tso.fields import WireError
from tso.incoming import Incoming
from tso.oracle import Oracle
from tso.outbox import Outbox
from tso.secret import NONCE_BYTES, Role, prove, proved
from tso.session import ServerSession
from tso.window import LOCAL_SESSION, SessionId
from tso.wire import NO_REPLY, VERSION, encode_frame

log = logging.getLogger(__name__)

HELLO_TIMEOUT_S: Final = 5.0
SESSION_TIMEOUT_S: Final = 3.0


class Refused(Exception):
    """The client may not have a session; the error is for its eyes."""


class TsoServer:
    """Serves the oracle that leads here, if one does; it stays its opener's to close.

    Made by `listen`; ended by `aclose` or `async with`.
    """

    _server: asyncio.Server

    def __init__(self, secret: str | None, session_timeout_s: float) -> None:
        self._oracle: EmbeddedTso | None = None
        self._secret = secret
        self._session_timeout_s = session_timeout_s
        self._sessions = itertools.count(LOCAL_SESSION + 1)
        self._connections: set[asyncio.Task[None]] = set()

    @classmethod
    async def listen(
        cls,
        oracle: EmbeddedTso | None,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        secret: str | None = None,
        session_timeout_s: float = SESSION_TIMEOUT_S,
    ) -> Self:
        """Port 0: any free one, see `port`. Without an oracle it stands by. Raises OSError."""
        self = cls(secret, session_timeout_s)
        if oracle is not None:
            self.lead(oracle)
        self._server = await asyncio.start_server(self._accept, host, port)
        return self

    def lead(self, oracle: EmbeddedTso) -> None:
        self._oracle = oracle
        oracle.on_lapse(self._end_sessions)

    async def stand_by(self) -> None:
        """End every session and let nobody have one. Ends once they are over, and so no task uses the oracle."""
        self._oracle = None
        self._end_sessions()
        if self._connections:
            await asyncio.wait(self._connections)

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def aclose(self) -> None:
        """End every session."""
        await stop_accepting(self._server)
        await self.stand_by()
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _end_sessions(self) -> None:
        for connection in self._connections:
            connection.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Known from here on: a task cancelled before its first step would leave its connection open."""
        task = asyncio.create_task(self._attend(reader, writer))  # noqa: TID251 - `aclose` ends it
        self._connections.add(task)
        task.add_done_callback(partial(self._ended, writer))

    def _ended(self, writer: asyncio.StreamWriter, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        if not writer.is_closing():
            writer.transport.abort()

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        try:
            await self._serve(reader, writer)
        except WireError as error:
            log.warning("the connection of %s is dropped: %s", peer, error)
        except Refused as error:
            if not isinstance(error.args[0], StandsBy):  # all ask, again and again, until there is a leader
                log.warning("the connection of %s is refused: %s", peer, error)
            writer.close()  # once it has been told
        except (OSError, TimeoutError) as error:
            log.info("the connection of %s ended: %s", peer, error or "it was silent for too long")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming = Incoming(reader)
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            oracle = await self._greet(incoming, writer)
        outbox = Outbox(writer)
        fault: Exception | None = None
        try:
            async with asyncio.TaskGroup() as waiting:
                session = ServerSession(oracle, SessionId(next(self._sessions)), outbox, waiting)
                try:
                    await self._converse(incoming, session)
                except (WireError, OSError, TimeoutError) as error:
                    fault = error
                finally:
                    session.end()
                raise _ConnectionEnded  # cancels those who wait
        except* _ConnectionEnded:
            pass
        if fault is not None:
            raise fault

    async def _converse(self, incoming: Incoming, session: ServerSession) -> None:
        while True:
            async with asyncio.timeout(self._session_timeout_s):
                messages = await incoming.some()
            if not messages:
                return
            for request_id, request in messages:
                await session.handle(request_id, request)

    async def _greet(self, incoming: Incoming, writer: asyncio.StreamWriter) -> Oracle:
        """Challenge and welcome; answers the oracle that leads. Raises Refused, having told the client."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        challenge = m.Challenge(VERSION, nonce, int(self._session_timeout_s * 1000))
        writer.write(encode_frame([(NO_REPLY, challenge)]))
        messages = await incoming.some()
        if not messages:
            raise _refused("it left before it said Hello")
        [(_, hello), *early] = messages
        if early or not isinstance(hello, m.Hello):
            raise WireError("the first message is not Hello alone")
        try:
            if hello.version != VERSION:
                raise _refused(f"the oracle speaks version {VERSION} of its protocol, not {hello.version}")
            if not proved(self._secret, Role.CLIENT, nonce, hello.nonce, hello.proof):
                raise _refused("the secret is wrong")
            oracle = self._oracle
            if oracle is None or not oracle.live:
                raise Refused(StandsBy("it stands by; another oracle leads, or will soon"))
        except Refused as refused:
            writer.write(encode_frame([(NO_REPLY, m.failed(refused.args[0]))]))
            await writer.drain()
            raise
        proof = prove(self._secret, Role.SERVER, nonce, hello.nonce)
        writer.write(encode_frame([(NO_REPLY, m.Welcome(oracle.epoch, proof))]))
        incoming.trust()
        return oracle


async def stop_accepting(server: asyncio.Server) -> None:
    """Close `server`, having let in whom asyncio has accepted already.

    It takes a connection to a closed server for impossible, and leaves the socket open then.
    """
    for listening in server.sockets:
        asyncio.get_running_loop().remove_reader(listening)
    await asyncio.sleep(0)
    server.close()


def _refused(why: str) -> Refused:
    return Refused(TsoUnavailable(why))


class _ConnectionEnded(Exception):
    """The client has gone."""
