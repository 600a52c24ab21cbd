"""The errors a client or a Python program can get from TxGuard, as MySQL errors.

Each class is one row of docs/errors.md, which `python -m proxy.cli.error_docs` writes from here and from
`proxy.errors`. Numbers from 9100 are TxGuard's own: neither MySQL nor MariaDB uses them. `retry_safe` says
whether running the whole transaction again can do harm: False only where the outcome is not known.
"""

from __future__ import annotations

from typing import ClassVar


class TxGuardError(Exception):
    """The root. `str(error)` is the text the client sees: what happened and what to do."""

    errno: ClassVar[int]
    sqlstate: ClassVar[str]
    retry_safe: ClassVar[bool]


class Conflict(TxGuardError):
    """Another transaction won (a write conflict, a deadlock, a dependency that was rolled back).

    The whole transaction has been rolled back on all shards; run it again.
    """

    errno = 1213
    sqlstate = "40001"
    retry_safe = True


class LockWaitTimeout(TxGuardError):
    """A wait for an undecided commit or for a snapshot barrier passed its deadline; the statement did nothing."""

    errno = 1205
    sqlstate = "HY000"
    retry_safe = True


class OutcomeUndetermined(TxGuardError):
    """The commit's outcome could not be learnt in time. Do not run the transaction again: it may have committed.

    The text names the `start_ts`; the janitor settles the transaction as soon as its shards answer, and
    `SHOW TXGUARD TRANSACTION` with the `start_ts` tells what became of it.
    """

    errno = 9101
    sqlstate = "08007"
    retry_safe = False


class ShardDown(TxGuardError):
    """A shard cannot be reached. Outside a transaction nothing happened; run the statement again later."""

    errno = 9102
    sqlstate = "08S01"
    retry_safe = True


class TransactionLost(TxGuardError):
    """The transaction lost a shard and refuses everything until ROLLBACK; nothing of it will be committed."""

    errno = 9103
    sqlstate = "25000"
    retry_safe = True


class SnapshotTooOld(TxGuardError):
    """The snapshot is older than the retention or than the table; begin a new transaction, or name a later time."""

    errno = 9104
    sqlstate = "HY000"
    retry_safe = True


class FutureInstant(TxGuardError):
    """AS OF TIMESTAMP, or txguard_snapshot, names a time that has not come yet by the oracle's clock."""

    errno = 1525
    sqlstate = "HY000"
    retry_safe = True

    def __init__(self, ahead_ms: int) -> None:
        super().__init__(f"that time has not come yet: it is {ahead_ms} ms ahead of the oracle's clock")


class ReadsThePast(TxGuardError):
    """A write, or a locking read, where only the past is read: under AS OF TIMESTAMP or txguard_snapshot."""

    errno = 1792
    sqlstate = "25006"
    retry_safe = True

    def __init__(self) -> None:
        super().__init__(
            "the past can only be read: end the transaction, or SET txguard_snapshot = '', to write or lock again"
        )


class OracleUnavailable(TxGuardError):
    """The timestamp oracle cannot be reached or cannot persist its bound; nothing was committed."""

    errno = 9105
    sqlstate = "08S01"
    retry_safe = True


class NotManageable(TxGuardError):
    """A table cannot be managed (no primary key, cascading foreign keys, a name too long); the text says why."""

    errno = 1235
    sqlstate = "42000"
    retry_safe = True
