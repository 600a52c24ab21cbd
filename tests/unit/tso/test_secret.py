"""The proofs of the shared secret: bound to role and nonces, and never the same for a wrong secret."""

from __future__ import annotations

import pytest

from tso.secret import Role, prove, proved

SERVER_NONCE, CLIENT_NONCE = b"s" * 32, b"c" * 32


def test_the_right_secret() -> None:
    proof = prove("secret", Role.CLIENT, SERVER_NONCE, CLIENT_NONCE)
    assert proved("secret", Role.CLIENT, SERVER_NONCE, CLIENT_NONCE, proof)


@pytest.mark.parametrize("proof", [b"", b"secret", bytes(32)])
def test_no_proof(proof: bytes) -> None:
    assert not proved("secret", Role.CLIENT, SERVER_NONCE, CLIENT_NONCE, proof)


def test_a_proof_for_something_else() -> None:
    for proof in (
        prove("other", Role.CLIENT, SERVER_NONCE, CLIENT_NONCE),
        prove("secret", Role.SERVER, SERVER_NONCE, CLIENT_NONCE),
        prove("secret", Role.CLIENT, bytes(32), CLIENT_NONCE),
        prove("secret", Role.CLIENT, SERVER_NONCE, bytes(32)),
    ):
        assert not proved("secret", Role.CLIENT, SERVER_NONCE, CLIENT_NONCE, proof)


def test_without_a_secret_nothing_is_asked() -> None:
    assert proved(None, Role.CLIENT, SERVER_NONCE, CLIENT_NONCE, b"")
