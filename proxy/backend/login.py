"""Logging in to a shard, sans-IO: the server's payloads in, payloads to send out.

    GREETING ── TLS wanted: SSLRequest ─► TLS ── channel is encrypted: response ─► AUTH
    GREETING ── response ───────────────────────────────────────────────────────► AUTH
    AUTH ── AuthSwitchRequest, AuthMoreData: an answer ─► AUTH;  OK ─► DONE;  ERR raises ShardError

DEPRECATE_EOF is not asked for: rows are passed on to clients that have not got it either. CLIENT_MYSQL is
set, so MariaDB leaves its extended capabilities alone.
"""

from __future__ import annotations

import enum

from proxy.auth.client import ClientAuth
from proxy.errors import HandshakeError
from proxy.wire.capabilities import Capability
from proxy.wire.columns import UTF8MB4_GENERAL_CI
from proxy.wire.handshake import (
    HandshakeResponse41,
    HandshakeV10,
    SslRequest,
    make_handshake_response,
    make_ssl_request,
    parse_handshake,
)
from proxy.wire.packets import MAX_PAYLOAD_BYTES
from proxy.wire.responses import is_err, is_ok, parse_err
from txguard.engine.shard import ShardError

REQUIRED = Capability.PROTOCOL_41 | Capability.SECURE_CONNECTION | Capability.PLUGIN_AUTH
WANTED = (
    REQUIRED
    | Capability.LONG_PASSWORD
    | Capability.LONG_FLAG
    | Capability.TRANSACTIONS
    | Capability.MULTI_STATEMENTS
    | Capability.MULTI_RESULTS
    | Capability.PS_MULTI_RESULTS
    | Capability.PLUGIN_AUTH_LENENC_CLIENT_DATA
    | Capability.CONNECT_ATTRS
)


class LoginState(enum.Enum):
    GREETING = "greeting"
    TLS = "tls"
    AUTH = "auth"
    DONE = "done"


class ShardLogin:
    """One login.

    After `feed` look at `state`: TLS asks the caller to encrypt and then call `tls_established`.
    """

    def __init__(self, user: str, password: str, *, found_rows: bool, tls: bool, secure: bool) -> None:
        """`secure`: the channel hides a password even without TLS (a Unix socket)."""
        self._user = user
        self._password = password
        self._found_rows = found_rows
        self._tls = tls
        self._secure = secure
        self._auth: ClientAuth | None = None
        self.greeting: HandshakeV10 | None = None
        self.state = LoginState.GREETING

    def feed(self, payload: bytes) -> bytes | None:
        """The server's next payload; what to answer, None: nothing. Raises ShardError, HandshakeError."""
        if is_err(payload):
            error = parse_err(payload)
            raise ShardError(error.errno, error.sqlstate, error.message)
        if self.state is LoginState.GREETING:
            return self._greeted(parse_handshake(payload))
        if self.state is not LoginState.AUTH or self._auth is None:
            raise HandshakeError(f"the shard sent a packet in state {self.state.value}")
        if is_ok(payload):
            self.state = LoginState.DONE
            return None
        return self._auth.feed(payload)

    def tls_established(self) -> bytes:
        """The channel is encrypted now: the response that was held back."""
        self._secure = True
        return self._response()

    def _greeted(self, greeting: HandshakeV10) -> bytes:
        self.greeting = greeting
        if greeting.capabilities & REQUIRED != REQUIRED:
            raise HandshakeError(f"the shard ({greeting.server_version}) is too old to be used")
        if not self._tls:
            return self._response()
        if not greeting.capabilities & Capability.SSL:
            raise HandshakeError("the shard has no TLS, but the configuration requires it")
        self.state = LoginState.TLS
        return make_ssl_request(SslRequest(self._capabilities(), MAX_PAYLOAD_BYTES, UTF8MB4_GENERAL_CI))

    def _response(self) -> bytes:
        assert self.greeting is not None
        self.state = LoginState.AUTH
        greeting = self.greeting
        self._auth = ClientAuth(self._password, greeting.auth_plugin, greeting.nonce, secure=self._secure)
        return make_handshake_response(
            HandshakeResponse41(
                capabilities=self._capabilities(),
                max_packet_bytes=MAX_PAYLOAD_BYTES,
                collation=UTF8MB4_GENERAL_CI,
                user=self._user.encode(),
                auth_response=self._auth.first_response(),
                auth_plugin=self._auth.plugin,
                attributes={"program_name": "txguard"},
            )
        )

    def _capabilities(self) -> int:
        """What is wanted and on offer: the server must not expect a field that it has not offered to read."""
        assert self.greeting is not None
        wanted = int(WANTED)
        if self._found_rows:
            wanted |= Capability.FOUND_ROWS
        if self._tls:
            wanted |= Capability.SSL
        return wanted & (self.greeting.capabilities | Capability.LONG_PASSWORD)
