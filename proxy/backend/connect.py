"""Opening a connection to a shard: the socket, TLS where it is asked for, the login.

Owns `ShardAddress` and `connect`. A fresh connection has been logged in and nothing more: its settings are
the pool's matter.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from proxy.backend.connection import BackendConnection
from proxy.backend.login import LoginState, ShardLogin
from proxy.wire.packets import PacketReader, frame
from txguard.engine.shard import ConnectionLost, ShardError

LOGIN_PACKET_BYTES = 64 * 1024
KEEPALIVE_IDLE_S = 60


@dataclass(frozen=True, slots=True)
class ShardAddress:
    """Where a shard is and who we are there."""

    user: str
    password: str = field(default="", repr=False)
    host: str = "127.0.0.1"
    port: int = 3306
    socket: Path | None = None
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return str(self.socket) if self.socket is not None else f"{self.host}:{self.port}"


def make_tls_context(mode: str, ca_file: Path | None) -> ssl.SSLContext | None:
    """`mode` as in the configuration: off; required (encrypted, whoever it is); verify (chain and [...]"""
    if mode == "off":
        return None
    context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    if mode == "required":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def connect(address: ShardAddress, *, found_rows: bool = False) -> BackendConnection:
    """Raises OSError, ConnectionLost, ShardError (access denied, too many connections) or HandshakeError.

    The caller sets the deadline.
    """
    loop = asyncio.get_running_loop()
    login = ShardLogin(
        address.user,
        address.password,
        found_rows=found_rows,
        tls=address.tls is not None,
        secure=address.socket is not None,
    )
    protocol = _LoginProtocol(loop, login)
    if address.socket is not None:
        await loop.create_unix_connection(lambda: protocol, str(address.socket))
    else:
        await loop.create_connection(lambda: protocol, address.host, address.port)
    try:
        await protocol.reached
        if login.state is LoginState.TLS:
            await _start_tls(loop, protocol, address)
        assert protocol.transport is not None
        assert login.greeting is not None
        connection = BackendConnection(
            protocol.transport,
            loop,
            address=str(address),
            thread_id=login.greeting.connection_id,
            server_version=login.greeting.server_version,
            found_rows=found_rows,
        )
        protocol.transport.set_protocol(connection)
        if protocol.lost:  # Between the login and now, so `connection` was not told.
            raise ConnectionLost(f"{address}: the shard closed the connection after the login")
        return connection
    except BaseException:
        if protocol.transport is not None:
            protocol.transport.abort()
        raise


async def _start_tls(
    loop: asyncio.AbstractEventLoop, protocol: _LoginProtocol, address: ShardAddress
) -> None:
    """The shard is silent until we begin the TLS handshake, so nothing can have come too early."""
    assert protocol.transport is not None
    assert address.tls is not None
    transport = await loop.start_tls(
        protocol.transport, protocol, address.tls, server_hostname=address.host or None
    )
    if transport is None:
        raise ConnectionLost(f"{address}: the connection ended in the TLS handshake")
    protocol.established(transport)
    await protocol.reached


class _LoginProtocol(asyncio.Protocol):
    """`reached` is done when the login is, or when it is time for TLS."""

    def __init__(self, loop: asyncio.AbstractEventLoop, login: ShardLogin) -> None:
        self._loop = loop
        self._login = login
        self._reader = PacketReader(LOGIN_PACKET_BYTES)
        self.reached: asyncio.Future[None] = loop.create_future()
        self.transport: asyncio.Transport | None = None
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self.transport is not None:
            return  # TLS says it again.
        self.transport = cast("asyncio.Transport", transport)
        _tune(transport.get_extra_info("socket"))

    def established(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.reached = self._loop.create_future()
        self._send(self._login.tls_established())

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (packet := self._reader.next_packet()) is not None:
                self._reader.expected = packet.sequence + 1 & 0xFF
                answer = self._login.feed(packet.payload)
                if answer is not None:
                    self._send(answer)
        except Exception as error:  # ShardError, HandshakeError, MalformedPacket: all end the login.
            self._settle(error)
            return
        if self._login.state in (LoginState.DONE, LoginState.TLS):
            self._settle(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        reason = exc or "no reason given"
        self._settle(ConnectionLost(f"the shard closed the connection during the login ({reason})"))

    def _send(self, payload: bytes) -> None:
        assert self.transport is not None
        self.transport.write(frame(payload, self._reader.expected))
        self._reader.expected = self._reader.expected + 1 & 0xFF

    def _settle(self, error: Exception | None) -> None:
        if self.reached.done():
            return
        if error is None:
            self.reached.set_result(None)
        else:
            self.reached.set_exception(error)


def _tune(sock: socket.socket | None) -> None:
    """No Nagle; and a host that vanished is noticed within minutes even while we only listen."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def describe(error: Exception) -> str:
    """Why a connection could not be opened, for a message."""
    if isinstance(error, TimeoutError):
        return "no connection within the time limit"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, ShardError):
        return f"{error.message} (error {error.errno})"
    return str(error)
