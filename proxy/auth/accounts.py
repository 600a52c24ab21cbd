"""Who may log in: what the server side of an authentication needs to know of an account.

A name that does not exist gets a decoy: an account with hashes derived from a secret of this process, so that
it is asked and answered exactly as a real one is and takes the same time, and only its check cannot succeed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol


class UserRecord(Protocol):
    """A `proxy.config.UserConfig`, as far as this package needs it."""

    @property
    def name(self) -> str: ...
    @property
    def password(self) -> str | None: ...
    def native_stage2(self) -> bytes | None: ...
    def sha2_stage2(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Account:
    """`native` and `sha2` are the stage-2 hashes; both None: the password is empty."""

    name: str
    native: bytes | None = field(repr=False)
    sha2: bytes | None = field(repr=False)
    exists: bool = True

    @property
    def empty_password(self) -> bool:
        return self.native is None and self.sha2 is None


class Accounts:
    """The accounts by name."""

    def __init__(self, users: Iterable[UserRecord], decoy_secret: bytes) -> None:
        self._decoy_secret = decoy_secret
        self._accounts = {
            user.name.encode(): Account(user.name, user.native_stage2(), user.sha2_stage2()) for user in users
        }
        self._shapes = [account for account in self._accounts.values() if not account.empty_password]

    def find(self, name: bytes) -> Account:
        """The account of that name, or its decoy."""
        decoy = self._decoy(name)
        return self._accounts.get(name, decoy)

    def _decoy(self, name: bytes) -> Account:
        """Has the kinds of hashes that some real account has, always the same ones for the same name."""
        digest = hmac.new(self._decoy_secret, name, hashlib.sha256).digest()
        native: bytes | None = digest[:20]
        sha2: bytes | None = digest
        if self._shapes:
            shape = self._shapes[digest[0] % len(self._shapes)]
            native, sha2 = shape.native and native, shape.sha2 and sha2
        return Account(name.decode("utf-8", "replace"), native, sha2, exists=False)
