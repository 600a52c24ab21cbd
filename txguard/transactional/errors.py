"""The errors of `@transactional`: part of the `TxGuardError` family, raised in the program, never on the
wire.

What the driver raised is always the `__cause__`. Numbers 9121 to 9129 belong to this package.
"""

from __future__ import annotations

import txguard.errors
from txguard.errors import TxGuardError


class OutcomeUndetermined(txguard.errors.OutcomeUndetermined):
    """The connection was lost during COMMIT, or the proxy answered 9101: the transaction may have committed.

    It is never run again. `start_ts` names it, where the proxy's answer told it: `SHOW TXGUARD TRANSACTION` on a new
    connection, or `txguard txn`, then tell what became of it.
    """

    def __init__(self, message: str, start_ts: int | None = None) -> None:
        super().__init__(message)
        self.start_ts = start_ts


class TransactionalError(TxGuardError):
    """The root of the errors below: in all of them the outcome is known."""


class UnexpectedRollback(TransactionalError):
    """A joined function failed, its caller went on as if nothing had happened; all of it was rolled back."""

    errno = 9121
    sqlstate = "40000"
    retry_safe = True


class RetriesExhausted(TransactionalError):
    """The transaction met a conflict or lost its connection in every attempt that count and deadline allowed.

    Nothing of it was committed. `attempts` and `elapsed_s` say how often and how long; the cause is the last
    error.
    """

    errno = 9122
    sqlstate = "40001"
    retry_safe = True

    def __init__(self, message: str, attempts: int, elapsed_s: float) -> None:
        super().__init__(message)
        self.attempts, self.elapsed_s = attempts, elapsed_s


class TransactionRequired(TransactionalError):
    """Propagation MANDATORY, and there is no transaction to join."""

    errno = 9123
    sqlstate = "25000"
    retry_safe = True


class TransactionForbidden(TransactionalError):
    """Propagation NEVER, and there is a transaction."""

    errno = 9124
    sqlstate = "25000"
    retry_safe = True


class TransactionEnded(TransactionalError):
    """The transaction was over before its function was: DDL, a COMMIT of its own, or a conflict that it
    swallowed.

    What it did before or after may be in the database. Let errors pass through the function.
    """

    errno = 9125
    sqlstate = "25000"
    retry_safe = False


class TransactionMisused(TransactionalError):
    """A join that cannot be right: another isolation level, a second task or thread at the same time."""

    errno = 9126
    sqlstate = "25000"
    retry_safe = True
