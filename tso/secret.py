"""Proof that both ends of a connection know the shared secret, without sending it.

Each side sends a fresh nonce; the other answers with an HMAC-SHA-256 over its role and both nonces. Proofs
are compared in constant time. Without a secret the proofs are empty, and the service must listen where only
trusted processes can reach it. The connection itself is not encrypted.
"""

from __future__ import annotations

import enum
import hashlib
import hmac

NONCE_BYTES = 32


class Role(enum.Enum):
    CLIENT = b"txguard tso client"
    SERVER = b"txguard tso server"


def prove(secret: str | None, role: Role, server_nonce: bytes, client_nonce: bytes) -> bytes:
    if secret is None:
        return b""
    return hmac.digest(secret.encode(), role.value + server_nonce + client_nonce, hashlib.sha256)


def proved(secret: str | None, role: Role, server_nonce: bytes, client_nonce: bytes, proof: bytes) -> bool:
    if secret is None:
        return True
    return hmac.compare_digest(prove(secret, role, server_nonce, client_nonce), proof)
