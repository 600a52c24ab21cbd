"""The socket of one client: TLS, back-pressure both ways, and the ways to end it.

Owns `ClientSocket`. Its user takes `opened`, `received` (plain text), `writable_again` and `ended`, and gives `send`.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

from proxy.errors import HandshakeError
from proxy.wire.tls import TlsChannel

WRITE_HIGH_WATER_BYTES = 512 * 1024


class ClientSocket(asyncio.Protocol):
    __slots__ = ("_tls", "_transport", "_writable", "loop", "write_paused")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.write_paused = False
        """The client leaves so much unread that no further command of it should be begun."""
        self._tls: TlsChannel | None = None
        self._writable: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport

    # ---------------------------------------------------------------- what the user takes

    def opened(self, transport: asyncio.Transport) -> None:
        raise NotImplementedError

    def received(self, data: bytes) -> None:
        raise NotImplementedError

    def writable_again(self) -> None:
        raise NotImplementedError

    def ended(self) -> None:
        """May be called more than once."""
        raise NotImplementedError

    # ---------------------------------------------------------------- what the user gives

    def send(self, data: bytes | bytearray) -> None:
        if self._tls is None:
            self._transport.write(data)
        else:
            self._tls.write(data)
            self._transport.write(self._tls.take_output())

    def until_writable(self) -> asyncio.Future[None] | None:
        """Done once the client has taken most of what was sent, or is gone; None: now."""
        if not self.write_paused or self._transport.is_closing():
            return None
        if self._writable is None or self._writable.done():
            self._writable = self.loop.create_future()
        return self._writable

    def give_up_writing(self) -> None:
        """Nothing more will be taken: who waits for it need not."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def hold_reading(self, hold: bool) -> None:
        if hold:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def start_tls(self, context: ssl.SSLContext, rest: bytes) -> None:
        """From now on the client speaks TLS; `rest` is what of it has come already."""
        self._tls = TlsChannel(context, server_side=True)
        if rest:
            self.loop.call_soon(self._decrypt, self._tls, rest)

    def linger(self, seconds: float) -> None:
        """Send what is left and the end of the stream, and leave the client a moment to read it.

        Closing at once would throw it away where the client is still sending.
        """
        if self._tls is None and self._transport.can_write_eof():
            self._transport.write_eof()
            self.loop.call_later(seconds, self._transport.close)
        else:
            self._transport.close()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    # ---------------------------------------------------------------- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        self.opened(self._transport)

    def data_received(self, data: bytes) -> None:
        if self._tls is None:
            self.received(data)
        else:
            self._decrypt(self._tls, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.give_up_writing()
        self.ended()

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        self.give_up_writing()
        self.writable_again()

    def _decrypt(self, tls: TlsChannel, data: bytes) -> None:
        if self._transport.is_closing():
            return
        try:
            plain = tls.feed(data)
        except HandshakeError:
            self.abort()
            self.ended()
            return
        output = tls.take_output()
        if output:
            self._transport.write(output)
        if plain:
            self.received(plain)
