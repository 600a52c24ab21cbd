"""The arithmetic of both plugins: pure functions from passwords, stored hashes and nonces to bytes.

mysql_native_password stores SHA1(SHA1(password)), caching_sha2_password keeps SHA256(SHA256(password)) in its
cache; these are the "stage 2" here. Each check costs the same whether it holds or not. Sources: the manual's
"Native Authentication" and "Caching SHA-2 Pluggable Authentication"; Secure Password Authentication of the
protocol pages.
"""

from __future__ import annotations

import hashlib
import hmac


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def native_stage2(password: bytes) -> bytes:
    return _sha1(_sha1(password))


def sha2_stage2(password: bytes) -> bytes:
    return _sha256(_sha256(password))


def native_scramble(password: bytes, nonce: bytes) -> bytes:
    """What a client sends under mysql_native_password; nothing for an empty password."""
    if not password:
        return b""
    stage1 = _sha1(password)
    return xor(stage1, _sha1(nonce + _sha1(stage1)))


def native_matches(response: bytes, nonce: bytes, stage2: bytes) -> bool:
    if len(response) != 20:
        return False
    stage1 = xor(response, _sha1(nonce + stage2))
    return hmac.compare_digest(_sha1(stage1), stage2)


def sha2_scramble(password: bytes, nonce: bytes) -> bytes:
    """What a client sends first under caching_sha2_password; nothing for an empty password."""
    if not password:
        return b""
    stage1 = _sha256(password)
    return xor(stage1, _sha256(_sha256(stage1) + nonce))


def sha2_matches(response: bytes, nonce: bytes, stage2: bytes) -> bool:
    if len(response) != 32:
        return False
    stage1 = xor(response, _sha256(stage2 + nonce))
    return hmac.compare_digest(_sha256(stage1), stage2)


def mask_password(password: bytes, nonce: bytes) -> bytes:
    """The password with its zero byte, XORed with the nonce over and over. Its own inverse."""
    return bytes(byte ^ nonce[index % len(nonce)] for index, byte in enumerate(password))
