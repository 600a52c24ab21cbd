"""Both sides of an authentication joined without a socket."""

from __future__ import annotations

import dataclasses

import pytest

from proxy.auth.accounts import Account, Accounts
from proxy.auth.client import ClientAuth
from proxy.auth.rsa import KeyPair
from proxy.auth.scrambles import native_stage2, sha2_stage2
from proxy.auth.server import CACHING_SHA2, NATIVE, AuthState, ServerAuth
from proxy.errors import HandshakeError

NONCE = bytes(range(33, 53))
KEYS = KeyPair()


@dataclasses.dataclass(frozen=True)
class User:
    name: str
    password: str | None
    native: bytes | None
    sha2: bytes | None

    def native_stage2(self) -> bytes | None:
        return self.native

    def sha2_stage2(self) -> bytes | None:
        return self.sha2


USERS = [
    User("both", "secret", native_stage2(b"secret"), sha2_stage2(b"secret")),
    User("native", None, native_stage2(b"secret"), None),
    User("sha2", None, None, sha2_stage2(b"secret")),
    User("open", "", None, None),
]


def accounts() -> Accounts:
    return Accounts(USERS, b"decoy")


@dataclasses.dataclass
class Script:
    """What passed between the two."""

    server: ServerAuth
    client: ClientAuth
    sent: list[bytes] = dataclasses.field(default_factory=list)


def run(user: str, password: str, plugin: str, *, secure: bool = False, greeted: bool = True) -> Script:
    server = ServerAuth(accounts(), NONCE, KEYS, secure=secure)
    client = ClientAuth(password, plugin, NONCE, secure=secure)
    script = Script(server, client)
    answers = server.start(user.encode(), client.plugin, client.first_response(), greeted=greeted)
    for _ in range(6):
        script.sent += answers
        replies = [reply for answer in answers if (reply := client.feed(answer)) is not None]
        if server.state in (AuthState.ACCEPTED, AuthState.REFUSED):
            return script
        assert len(replies) == 1
        answers = server.feed(replies[0])
    raise AssertionError("no verdict")


@pytest.mark.parametrize("user", ["both", "native", "sha2"])
@pytest.mark.parametrize("plugin", [NATIVE, CACHING_SHA2])
@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("greeted", [True, False])
def test_the_right_password_is_accepted(user: str, plugin: str, secure: bool, greeted: bool) -> None:
    script = run(user, "secret", plugin, secure=secure, greeted=greeted)
    assert script.server.state is AuthState.ACCEPTED
    assert script.server.account is not None
    assert script.server.account.name == user


@pytest.mark.parametrize("user", ["both", "native", "sha2", "open", "nobody"])
@pytest.mark.parametrize("plugin", [NATIVE, CACHING_SHA2])
@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("password", ["wrong", "", "secre", "secret2"])
def test_a_wrong_password_is_refused(user: str, plugin: str, secure: bool, password: str) -> None:
    if (user, password) == ("open", ""):
        return
    assert run(user, password, plugin, secure=secure).server.state is AuthState.REFUSED


@pytest.mark.parametrize("plugin", [NATIVE, CACHING_SHA2])
def test_an_empty_password(plugin: str) -> None:
    script = run("open", "", plugin)
    assert script.server.state is AuthState.ACCEPTED
    assert not script.server.password_used


def test_a_single_zero_byte_is_an_empty_password() -> None:
    """As libmysqlclient sends it."""
    server = ServerAuth(accounts(), NONCE, KEYS, secure=False)
    server.start(b"open", CACHING_SHA2, b"\0")
    assert server.state is AuthState.ACCEPTED


def test_the_fast_way_takes_no_further_round() -> None:
    assert run("both", "secret", CACHING_SHA2).sent == [b"\x01\x03"]


def test_full_authentication_goes_by_rsa_or_by_the_secure_channel() -> None:
    sent = run("native", "secret", CACHING_SHA2).sent
    assert sent[0] == b"\x01\x04"
    assert sent[1].startswith(b"\x01-----BEGIN PUBLIC KEY-----")
    assert run("native", "secret", CACHING_SHA2, secure=True).sent == [b"\x01\x04"]


def test_the_password_is_not_sent_in_clear_without_a_secure_channel() -> None:
    client = ClientAuth("secret", CACHING_SHA2, NONCE, secure=False)
    assert client.feed(b"\x01\x04") == b"\x02"
    encrypted = client.feed(b"\x01" + KEYS.public_pem())
    assert encrypted is not None
    assert b"secret" not in encrypted
    assert len(encrypted) == 256


@pytest.mark.parametrize("plugin", [NATIVE, CACHING_SHA2])
def test_an_unknown_name_takes_the_way_of_a_wrong_password(plugin: str) -> None:
    """Only one kind of account exists here, so every decoy has its shape."""
    users = Accounts(USERS[:1], b"decoy")
    ways = []
    for user in (b"both", b"nobody", b"nobody2"):
        server = ServerAuth(users, NONCE, KEYS, secure=False)
        client = ClientAuth("wrong", plugin, NONCE, secure=False)
        sent = server.start(user, plugin, client.first_response(), greeted=False)
        sent += server.feed(client.feed(sent[0]) or b"")
        ways.append((sent, server.state))
    assert ways[0] == ways[1] == ways[2]


def test_decoys_are_steady_and_none_is_accepted_by_its_own_hash() -> None:
    first, second = accounts().find(b"nobody"), accounts().find(b"nobody")
    assert first == second
    assert not first.exists


def test_a_decoy_is_refused_even_with_its_own_password() -> None:
    class OnlyDecoys(Accounts):
        def find(self, name: bytes) -> Account:
            return dataclasses.replace(super().find(b"both"), exists=False)

    for plugin, password in ((NATIVE, "secret"), (CACHING_SHA2, "secret")):
        server = ServerAuth(OnlyDecoys(USERS, b"decoy"), NONCE, KEYS, secure=False)
        client = ClientAuth(password, plugin, NONCE, secure=False)
        [switch] = server.start(b"nobody", plugin, b"", greeted=False)
        server.feed(client.feed(switch) or b"")
        assert server.state is AuthState.REFUSED


def test_an_unknown_plugin_is_switched_to_one_that_the_account_has() -> None:
    server = ServerAuth(accounts(), NONCE, KEYS, secure=False)
    assert server.start(b"both", "dialog", b"x") == [b"\xfe" + CACHING_SHA2.encode() + b"\0" + NONCE + b"\0"]


@pytest.mark.parametrize("payload", [b"", b"\x05", b"\xff", b"x" * 256, b"x" * 5000])
def test_noise_in_full_authentication_is_refused(payload: bytes) -> None:
    server = ServerAuth(accounts(), NONCE, KEYS, secure=False)
    server.start(b"native", CACHING_SHA2, b"x" * 32)
    assert server.state is AuthState.FULL
    server.feed(payload)
    assert server.state is AuthState.REFUSED


def test_a_verdict_is_final() -> None:
    server = run("both", "wrong", NATIVE).server
    with pytest.raises(HandshakeError):
        server.feed(b"again")


@pytest.mark.parametrize("packet", [b"\x01\x07", b"\x02x", b"\xfe", b"\xfeauth_gssapi_client\0x\0"])
def test_the_client_side_refuses_steps_it_does_not_know(packet: bytes) -> None:
    client = ClientAuth("secret", CACHING_SHA2, NONCE, secure=False)
    with pytest.raises(HandshakeError):
        client.feed(packet)


def test_a_key_that_is_none_is_refused() -> None:
    client = ClientAuth("secret", CACHING_SHA2, NONCE, secure=False)
    client.feed(b"\x01\x04")
    with pytest.raises(HandshakeError):
        client.feed(b"\x01not a key")


def test_the_account_of_the_configuration_fits() -> None:
    from proxy.config import UserConfig

    found = Accounts([UserConfig(name="app", password="secret")], b"x").find(b"app")
    assert found.sha2 == sha2_stage2(b"secret")
