"""The server side of an authentication, sans-IO: the payloads of a client in, the payloads to send out.

`ServerAuth` runs from the client's first answer to a verdict. The states and what leads from one to the next:

    START ── the client used the plugin of the greeting ───────────────► (check)
    START ── it used another: AuthSwitchRequest ──────────► SWITCHED ──► (check)
    (check) native: matches or not ───────────────────────────────────► ACCEPTED / REFUSED
    (check) sha2, hash known: fast_auth_success or not ───────────────► ACCEPTED / REFUSED
    (check) sha2, only the native hash known: perform_full_auth ──────► FULL
    FULL ── secure channel: the password ─────────────────────────────► ACCEPTED / REFUSED
    FULL ── otherwise 0x02: our public key ─► FULL; then the RSA-encrypted password ─► ACCEPTED / REFUSED

A wrong password and an unknown name take the same way. Source: "Caching SHA-2 Pluggable Authentication",
"Authentication Method Mismatch".
"""

from __future__ import annotations

import enum
import hmac

from proxy.auth.accounts import Account, Accounts
from proxy.auth.rsa import KeyPair
from proxy.auth.scrambles import mask_password, native_matches, native_stage2, sha2_matches, sha2_stage2
from proxy.errors import HandshakeError
from proxy.wire.handshake import AuthSwitchRequest, make_auth_more_data, make_auth_switch

NATIVE = "mysql_native_password"
CACHING_SHA2 = "caching_sha2_password"
DEFAULT_PLUGIN = CACHING_SHA2

REQUEST_PUBLIC_KEY = b"\x02"
FAST_AUTH_SUCCESS = b"\x03"
PERFORM_FULL_AUTH = b"\x04"


class AuthState(enum.Enum):
    START = "start"
    SWITCHED = "switched"
    FULL = "full"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class ServerAuth:
    """One client's authentication. `account` is who it would be; believe it only once ACCEPTED."""

    __slots__ = ("_accounts", "_keys", "_nonce", "_plugin", "_secure", "account", "password_used", "state")

    def __init__(self, accounts: Accounts, nonce: bytes, keys: KeyPair, *, secure: bool) -> None:
        """`secure`: the channel hides a password by itself (TLS, a Unix socket)."""
        self._accounts = accounts
        self._nonce = nonce
        self._keys = keys
        self._secure = secure
        self._plugin = ""
        self.account: Account | None = None
        self.password_used = False
        """For the text of error 1045."""
        self.state = AuthState.START

    def start(self, user: bytes, plugin: str, response: bytes, *, greeted: bool = True) -> list[bytes]:
        """The handshake response (or COM_CHANGE_USER) has come.

        `greeted`: its scramble may be of our nonce.
        """
        self._require(AuthState.START)
        self.account = self._accounts.find(user)
        usable = self._usable_plugins(self.account)
        plugin = plugin or NATIVE
        self._plugin = plugin if plugin in usable else usable[0]
        if greeted and plugin == self._plugin == DEFAULT_PLUGIN:
            return self._check(response)
        self.state = AuthState.SWITCHED
        return [make_auth_switch(AuthSwitchRequest(self._plugin, self._nonce))]

    def feed(self, payload: bytes) -> list[bytes]:
        """The client's next payload."""
        if self.state is AuthState.SWITCHED:
            return self._check(payload)
        self._require(AuthState.FULL)
        return self._full(payload)

    def _usable_plugins(self, account: Account) -> tuple[str, ...]:
        """The one that is preferred comes first.

        Full sha2 works from either hash, native only from its own.
        """
        return (
            (CACHING_SHA2,) if account.native is None and account.sha2 is not None else (CACHING_SHA2, NATIVE)
        )

    def _check(self, response: bytes) -> list[bytes]:
        account = self._known()
        response = b"" if response == b"\0" else response
        self.password_used = bool(response)
        if not response or account.empty_password:
            return self._verdict(not response and account.empty_password)
        if self._plugin == NATIVE:
            assert account.native is not None
            return self._verdict(native_matches(response, self._nonce, account.native))
        if account.sha2 is None:
            self.state = AuthState.FULL
            return [make_auth_more_data(PERFORM_FULL_AUTH)]
        matches = self._verdict(sha2_matches(response, self._nonce, account.sha2))
        return [make_auth_more_data(FAST_AUTH_SUCCESS)] if self.state is AuthState.ACCEPTED else matches

    def _full(self, payload: bytes) -> list[bytes]:
        if self._secure:
            return self._check_password(payload)
        if payload == REQUEST_PUBLIC_KEY:
            return [make_auth_more_data(self._keys.public_pem())]
        masked = self._keys.decrypt(payload)
        return self._check_password(mask_password(masked, self._nonce) if masked is not None else b"")

    def _check_password(self, terminated: bytes) -> list[bytes]:
        account = self._known()
        password = terminated.removesuffix(b"\0")
        sha2 = account.sha2 is not None and hmac.compare_digest(sha2_stage2(password), account.sha2)
        native = account.native is not None and hmac.compare_digest(native_stage2(password), account.native)
        return self._verdict(bool(password) and (sha2 or native))

    def _verdict(self, right: bool) -> list[bytes]:
        self.state = AuthState.ACCEPTED if right and self._known().exists else AuthState.REFUSED
        return []

    def _known(self) -> Account:
        assert self.account is not None
        return self.account

    def _require(self, state: AuthState) -> None:
        if self.state is not state:
            raise HandshakeError(f"authentication is {self.state.value}, not {state.value}")
