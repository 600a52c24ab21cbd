"""Tells the operator of a shard that refuses its account something TxGuard needs: waiting alone does not mend that.

The pool goes on trying, every second, as for a shard that is down; so the same refusal is told again only after a
while.
"""

from __future__ import annotations

from typing import Final

import structlog

from txguard.engine.shard import ShardError

log = structlog.get_logger(__name__)

PRIVILEGE_ERRNOS: Final = frozenset((1044, 1142, 1143, 1227, 1370, 1419))
"""Access denied to a database, table, column, to what needs a global privilege, to a routine, to triggers."""
REPEAT_S: Final = 60.0


class Refusals:
    __slots__ = ("_shard", "_told", "_told_at")

    def __init__(self, shard: str) -> None:
        self._shard = shard
        self._told = ""
        self._told_at = float("-inf")

    def tell(self, error: Exception, address: str, now: float) -> None:
        """`error` ended a try to take the shard into use. Says nothing where it may pass by itself."""
        if not isinstance(error, ShardError) or error.errno not in PRIVILEGE_ERRNOS:
            return
        reason = f"{error.message} (error {error.errno})"
        if reason == self._told and now < self._told_at + REPEAT_S:
            return
        self._told, self._told_at = reason, now
        log.error(
            "shard_refuses_account",
            shard=self._shard,
            address=address,
            reason=reason,
            remedy="GRANT it to the account of this shard: `txguard doctor` says what is missing; still trying",
        )
