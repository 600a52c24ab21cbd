"""TLS over bytes: a channel without a socket.

A client sends its SSLRequest and the first bytes of TLS in one go, so the switch happens inside what was read
already; the event loop's own upgrade would lose those bytes.
"""

from __future__ import annotations

import ssl

from proxy.errors import HandshakeError

_READ_BYTES = 256 * 1024


class TlsChannel:
    """`feed` what the peer sent and get the plain text; after each call send `take_output` to the peer."""

    __slots__ = ("_incoming", "_object", "_outgoing", "_waiting", "established")

    def __init__(
        self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self._waiting: list[bytes | bytearray] = []
        self.established = False

    def feed(self, data: bytes) -> bytes:
        """Raises HandshakeError for anything that is not TLS as it should be."""
        self._incoming.write(data)
        try:
            if not self.established and not self._handshake():
                return b""
            return self._read()
        except ssl.SSLError as error:
            raise HandshakeError(f"TLS failed: {error.reason or error}") from None

    def start(self) -> None:
        """A client's first step; a server waits for it."""
        self._handshake()

    def write(self, data: bytes | bytearray) -> None:
        """Encrypt `data`, at once or when the handshake is over."""
        if not self.established:
            self._waiting.append(data)
        elif data:
            self._object.write(data)

    def take_output(self) -> bytes:
        return self._outgoing.read()

    def _handshake(self) -> bool:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.established = True
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self.write(data)
        return True

    def _read(self) -> bytes:
        parts: list[bytes] = []
        while True:
            try:
                part = self._object.read(_READ_BYTES)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                break
            if not part:
                break
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)
