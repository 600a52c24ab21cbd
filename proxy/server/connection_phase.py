"""The connection phase of one client, sans-IO: greeting, TLS, login and its proof; and the one of COM_CHANGE_USER.

    GREETED ── SSLRequest ─► WANTS_TLS ── `tls_established` ─► GREETED
    GREETED ── HandshakeResponse41 ─► PROVING ── answers of the plugin ─► PROVEN / REFUSED

Owns what TxGuard offers to clients. Not offered: DEPRECATE_EOF (rows of shards are passed on as they are), LOCAL_FILES
(a client's files are never asked for), compression, QUERY_ATTRIBUTES.
"""

from __future__ import annotations

import enum
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.auth.accounts import Accounts
from proxy.auth.rsa import KeyPair
from proxy.auth.server import DEFAULT_PLUGIN, AuthState, ServerAuth
from proxy.errors import AccessDenied, HandshakeError
from proxy.server.handler import Login
from proxy.wire.capabilities import Capability
from proxy.wire.columns import UTF8MB4_GENERAL_CI
from proxy.wire.handshake import (
    NONCE_BYTES,
    ChangeUser,
    HandshakeResponse41,
    HandshakeV10,
    is_ssl_request,
    make_handshake,
    parse_change_user,
    parse_handshake_response,
)

OFFERED = (
    Capability.LONG_PASSWORD
    | Capability.FOUND_ROWS
    | Capability.LONG_FLAG
    | Capability.CONNECT_WITH_DB
    | Capability.IGNORE_SPACE
    | Capability.PROTOCOL_41
    | Capability.INTERACTIVE
    | Capability.IGNORE_SIGPIPE
    | Capability.TRANSACTIONS
    | Capability.SECURE_CONNECTION
    | Capability.MULTI_STATEMENTS
    | Capability.MULTI_RESULTS
    | Capability.PS_MULTI_RESULTS
    | Capability.PLUGIN_AUTH
    | Capability.CONNECT_ATTRS
    | Capability.PLUGIN_AUTH_LENENC_CLIENT_DATA
    | Capability.SESSION_TRACK
)


class PhaseState(enum.Enum):
    GREETED = "greeted"
    WANTS_TLS = "wants tls"
    PROVING = "proving"
    PROVEN = "proven"


@dataclass(frozen=True, slots=True)
class Identity:
    """What the server is to all of its clients."""

    server_version: str
    accounts: Accounts
    keys: KeyPair
    offers_tls: bool


class ConnectionPhase:
    """Feed it the client's payloads until it is PROVEN; then `login` says who it is. Raises AccessDenied."""

    __slots__ = ("_address", "_auth", "_identity", "_nonce", "_secure", "_tls", "login", "state")

    def __init__(self, identity: Identity, *, address: str, secure: bool) -> None:
        """`secure`: a Unix socket, over which a password may go as it is."""
        self._identity = identity
        self._address = address
        self._secure = secure
        self._tls = False
        self._nonce = make_nonce()
        self._auth = self._new_auth()
        self.login: Login | None = None
        self.state = PhaseState.GREETED

    def greeting(self, connection_id: int) -> bytes:
        return make_handshake(
            HandshakeV10(
                server_version=self._identity.server_version,
                connection_id=connection_id,
                nonce=self._nonce,
                capabilities=self._offered(),
                collation=UTF8MB4_GENERAL_CI,
                auth_plugin=DEFAULT_PLUGIN,
            )
        )

    def feed(self, payload: bytes) -> list[bytes]:
        """The client's next payload; the payloads to answer with."""
        if self.state is PhaseState.GREETED:
            return self._greeted(payload)
        if self.state is not PhaseState.PROVING:
            raise HandshakeError(f"a packet came while the connection is {self.state.value}")
        return self._proving(self._auth.feed(payload))

    def tls_established(self) -> None:
        self.state = PhaseState.GREETED
        self._tls = self._secure = True
        self._auth = self._new_auth()

    def change_user(self, payload: bytes) -> list[bytes]:
        """COM_CHANGE_USER: another login on the same connection, under a fresh nonce."""
        assert self.login is not None
        request = parse_change_user(payload, self.login.capabilities)
        self._nonce = make_nonce()
        self._auth = self._new_auth()
        self.login = self._make_login(request, self.login.capabilities, request.attributes)
        return self._proving(
            self._auth.start(request.user, request.auth_plugin, request.auth_response, greeted=False)
        )

    def _greeted(self, payload: bytes) -> list[bytes]:
        if is_ssl_request(payload):
            if not self._identity.offers_tls or self._tls:
                raise HandshakeError("the client asks for TLS, which was not offered")
            self.state = PhaseState.WANTS_TLS
            return []
        response = parse_handshake_response(payload)
        if not response.capabilities & Capability.PLUGIN_AUTH:
            raise HandshakeError("the client is too old: it cannot choose an authentication plugin")
        capabilities = response.capabilities & self._offered()
        self.login = self._make_login(response, capabilities, response.attributes)
        return self._proving(self._auth.start(response.user, response.auth_plugin, response.auth_response))

    def _proving(self, answers: list[bytes]) -> list[bytes]:
        self.state = PhaseState.PROVING
        if self._auth.state is AuthState.ACCEPTED:
            self.state = PhaseState.PROVEN
        elif self._auth.state is AuthState.REFUSED:
            assert self.login is not None
            host = self._address.rpartition(":")[0] or "localhost"
            used = "YES" if self._auth.password_used else "NO"
            raise AccessDenied(
                f"Access denied for user '{self.login.user}'@'{host}' (using password: {used})"
            )
        return answers

    def _make_login(
        self, request: HandshakeResponse41 | ChangeUser, capabilities: int, attributes: Mapping[str, str]
    ) -> Login:
        database = request.database
        return Login(
            user=request.user.decode("utf-8", "replace"),
            database=None if database is None else database.decode("utf-8", "replace"),
            collation=request.collation,
            capabilities=capabilities,
            address=self._address,
            attributes=attributes,
            secure=self._secure,
        )

    def _new_auth(self) -> ServerAuth:
        return ServerAuth(self._identity.accounts, self._nonce, self._identity.keys, secure=self._secure)

    def _offered(self) -> int:
        return int(OFFERED | Capability.SSL if self._identity.offers_tls else OFFERED)


_NONCE_ALPHABET = bytes(code for code in range(0x21, 0x7F) if code != 0x24)
"""No zero byte, which would end a nonce early, and no dollar sign: as servers make theirs."""


def make_nonce() -> bytes:
    return bytes(secrets.choice(_NONCE_ALPHABET) for _ in range(NONCE_BYTES))
