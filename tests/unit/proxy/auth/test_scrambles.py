"""The arithmetic of both plugins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.auth.scrambles import (
    mask_password,
    native_matches,
    native_scramble,
    native_stage2,
    sha2_matches,
    sha2_scramble,
    sha2_stage2,
)

passwords = st.binary(min_size=1, max_size=40)
nonces = st.binary(min_size=20, max_size=20)


def test_native_stage2_is_what_password_writes() -> None:
    """SELECT PASSWORD('secret') on a MariaDB."""
    assert native_stage2(b"secret").hex().upper() == "14E65567ABDB5135D0CFD9A70B3032C179A49EE7"


@given(passwords, nonces)
def test_the_right_password_matches(password: bytes, nonce: bytes) -> None:
    assert native_matches(native_scramble(password, nonce), nonce, native_stage2(password))
    assert sha2_matches(sha2_scramble(password, nonce), nonce, sha2_stage2(password))


@given(passwords, passwords, nonces)
def test_another_password_does_not(password: bytes, other: bytes, nonce: bytes) -> None:
    if password != other:
        assert not native_matches(native_scramble(other, nonce), nonce, native_stage2(password))
        assert not sha2_matches(sha2_scramble(other, nonce), nonce, sha2_stage2(password))


@given(passwords, nonces, nonces)
def test_a_scramble_of_another_nonce_does_not(password: bytes, nonce: bytes, other: bytes) -> None:
    if nonce != other:
        assert not native_matches(native_scramble(password, other), nonce, native_stage2(password))
        assert not sha2_matches(sha2_scramble(password, other), nonce, sha2_stage2(password))


def test_a_response_of_the_wrong_size_does_not_match() -> None:
    for response in (b"", b"x", b"x" * 19, b"x" * 33):
        assert not native_matches(response, bytes(20), native_stage2(b"a"))
        assert not sha2_matches(response, bytes(20), sha2_stage2(b"a"))


def test_an_empty_password_sends_nothing() -> None:
    assert native_scramble(b"", bytes(20)) == sha2_scramble(b"", bytes(20)) == b""


@given(passwords, nonces)
def test_the_mask_is_its_own_inverse(password: bytes, nonce: bytes) -> None:
    assert mask_password(mask_password(password, nonce), nonce) == password
