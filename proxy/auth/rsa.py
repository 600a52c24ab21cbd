"""The RSA key pair with which a password crosses a channel that is not encrypted.

caching_sha2_password encrypts with RSA-OAEP (SHA-1, as the protocol fixes it). The server's pair is made when
it is first asked for.
"""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from proxy.errors import HandshakeError

KEY_BITS = 2048
_OAEP = padding.OAEP(mgf=padding.MGF1(algorithm=hashes.SHA1()), algorithm=hashes.SHA1(), label=None)


class KeyPair:
    """A server's pair, one for the process."""

    __slots__ = ("_private",)

    def __init__(self) -> None:
        self._private: rsa.RSAPrivateKey | None = None

    def public_pem(self) -> bytes:
        return (
            self._key()
            .public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )

    def decrypt(self, cipher: bytes) -> bytes | None:
        """None: not something that was encrypted with the public key."""
        try:
            return self._key().decrypt(cipher, _OAEP)
        except ValueError:
            return None

    def _key(self) -> rsa.RSAPrivateKey:
        if self._private is None:
            self._private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        return self._private


def encrypt_for(public_pem: bytes, data: bytes) -> bytes:
    """Encrypt with a server's public key. Raises HandshakeError when it is none, or too short for `data`."""
    try:
        key = serialization.load_pem_public_key(public_pem)
        if not isinstance(key, rsa.RSAPublicKey):
            raise HandshakeError("the server's public key is not an RSA key")
        return key.encrypt(data, _OAEP)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise HandshakeError(f"the server's public key cannot be used: {error}") from None
