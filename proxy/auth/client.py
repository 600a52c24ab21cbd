"""The client side of an authentication, sans-IO: how the proxy logs in to a shard.

`ClientAuth` gives the first answer to the greeting, then an answer to each of the server's packets (None:
nothing to send) until the caller sees OK or ERR, which are not its matter.
"""

from __future__ import annotations

import enum

from proxy.auth.rsa import encrypt_for
from proxy.auth.scrambles import mask_password, native_scramble, sha2_scramble
from proxy.auth.server import CACHING_SHA2, FAST_AUTH_SUCCESS, NATIVE, PERFORM_FULL_AUTH, REQUEST_PUBLIC_KEY
from proxy.errors import HandshakeError
from proxy.wire.handshake import parse_auth_switch

CLEAR = "mysql_clear_password"
_SCRAMBLES = {NATIVE: native_scramble, CACHING_SHA2: sha2_scramble}


class _State(enum.Enum):
    SCRAMBLED = "scrambled"
    KEY_REQUESTED = "key requested"
    PASSWORD_SENT = "password sent"


class ClientAuth:
    __slots__ = ("_nonce", "_password", "_secure", "_state", "plugin")

    def __init__(self, password: str, plugin: str, nonce: bytes, *, secure: bool) -> None:
        """`plugin` is the greeting's; one that is not known here is answered as caching_sha2_password."""
        self._password = password.encode()
        self._secure = secure
        self._state = _State.SCRAMBLED
        self._nonce = nonce
        self.plugin = plugin if plugin in _SCRAMBLES else CACHING_SHA2

    def first_response(self) -> bytes:
        return _SCRAMBLES[self.plugin](self._password, self._nonce)

    def feed(self, payload: bytes) -> bytes | None:
        """Answer an AuthSwitchRequest or AuthMoreData."""
        if payload[:1] == b"\xfe":
            return self._switch(payload)
        if payload[:1] != b"\x01" or self.plugin != CACHING_SHA2:
            raise HandshakeError("the shard sent a packet that has no place in an authentication")
        data = payload[1:]
        if self._state is _State.KEY_REQUESTED:
            self._state = _State.PASSWORD_SENT
            return encrypt_for(data, mask_password(self._password + b"\0", self._nonce))
        if data == FAST_AUTH_SUCCESS:
            return None
        if data != PERFORM_FULL_AUTH or self._state is _State.PASSWORD_SENT:
            raise HandshakeError("the shard sent an unknown step of caching_sha2_password")
        if self._secure:
            self._state = _State.PASSWORD_SENT
            return self._password + b"\0"
        self._state = _State.KEY_REQUESTED
        return REQUEST_PUBLIC_KEY

    def _switch(self, payload: bytes) -> bytes:
        request = parse_auth_switch(payload)
        if request.auth_plugin == CLEAR and self._secure:
            return self._password + b"\0"
        if request.auth_plugin not in _SCRAMBLES:
            raise HandshakeError(
                f"the shard asks for {request.auth_plugin}; give TxGuard's account {NATIVE} or {CACHING_SHA2}"
            )
        self.plugin, self._nonce, self._state = request.auth_plugin, request.nonce, _State.SCRAMBLED
        return self.first_response()
