"""What a driver's error means for the transaction: may it be run again?

Owns the one decision that must never be wrong: an error that leaves the outcome open is never retried. Knows
no driver: any exception with an errno (`args[0]` as in PEP 249 drivers, `.errno`, or SQLAlchemy's `.orig`)
will do. Source: MySQL and MariaDB error references; docs/errors.md for 9101 to 9105.
"""

from __future__ import annotations

import enum
import re
from typing import Final

from txguard.errors import OutcomeUndetermined, TxGuardError


class Failure(enum.Enum):
    """The kinds of failure. The comment says what is known of the transaction."""

    CONFLICT = "conflict"  # rolled back, or to be rolled back: run it again
    LOST = "lost"  # the connection or a shard is gone and no COMMIT had been sent: run it again on a new one
    UNDETERMINED = "undetermined"  # it may have committed: never run it again
    FATAL = "fatal"  # the program's own error, or one that would come again


CONFLICT_ERRNOS: Final = frozenset({
    1213,  # deadlock, write conflict: the server has rolled everything back
    1205,  # lock wait time-out: the statement did nothing
    1020,  # MariaDB with innodb_snapshot_isolation: the record has changed since the snapshot
    3101,  # group replication: certification failed, rolled back
    9104,  # snapshot too old
})  # fmt: skip
LOST_ERRNOS: Final = frozenset({
    0,  # drivers' InterfaceError: the connection was closed before, nothing was sent
    1053, 1077, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 3169, 4031,  # shut down, aborted, killed, timed out
    2002, 2003, 2005, 2006, 2012, 2013, 2014, 2055,  # client library: cannot connect, gone away, lost
    9102, 9103, 9105,  # a shard down, a transaction that lost one, no oracle
})  # fmt: skip
CONNECT_ERRNOS: Final = LOST_ERRNOS | {1040, 1203}
"""While connecting too many connections pass as well."""
ROLLED_BACK_COMMIT_ERRNOS: Final = CONFLICT_ERRNOS | {9103, 9105}
"""An answer to COMMIT that says for certain that nothing was committed."""
NOT_SENT_ERRNO: Final = 0

_START_TS = re.compile(r"start_ts\W{0,3}(\d+)|\b(\d{17,20})\b")


def errno_of(error: BaseException) -> int | None:
    """The MySQL error number of a driver's or of TxGuard's exception; None for any other, `KeyError(1213)`
    too."""
    error = driver_error(error)
    if not _is_database_error(error):
        return None
    for candidate in (getattr(error, "errno", None), error.args[0] if error.args else None):
        if isinstance(candidate, int):
            return candidate
    return None


def driver_error(error: BaseException) -> BaseException:
    """What SQLAlchemy wrapped (`DBAPIError.orig`), or the error itself."""
    original = getattr(error, "orig", None)
    return original if isinstance(original, BaseException) else error


def classify(error: BaseException) -> Failure:
    """A failure before COMMIT was sent."""
    if not isinstance(error, Exception):
        return Failure.FATAL
    errno = errno_of(error)
    if errno == OutcomeUndetermined.errno:
        return Failure.UNDETERMINED
    if errno in CONFLICT_ERRNOS:
        return Failure.CONFLICT
    if errno in LOST_ERRNOS or getattr(error, "connection_invalidated", False):
        return Failure.LOST
    return Failure.FATAL


def classify_connect(error: BaseException) -> Failure:
    """A failure to get a connection: nothing has happened yet."""
    if isinstance(error, OSError | EOFError) or errno_of(error) in CONNECT_ERRNOS:
        return Failure.LOST
    return Failure.FATAL


def classify_commit(error: BaseException) -> Failure:
    """A failure of COMMIT. Only what certainly committed nothing may be retried; a doubt is UNDETERMINED."""
    errno = errno_of(error)
    if errno in ROLLED_BACK_COMMIT_ERRNOS:
        return Failure.LOST if errno in LOST_ERRNOS else Failure.CONFLICT
    if type(error).__name__ == "PendingRollbackError" or (
        errno == NOT_SENT_ERRNO and type(driver_error(error)).__name__ == "InterfaceError"
    ):
        return Failure.LOST  # refused by the driver itself: COMMIT was not sent
    return Failure.UNDETERMINED


def start_ts_of(error: BaseException) -> int | None:
    """The `start_ts` that the proxy's 9101 names in its text."""
    found = _START_TS.search(str(driver_error(error)))
    return int(found[1] or found[2]) if found else None


def _is_database_error(error: BaseException) -> bool:
    """By name, as each PEP 249 driver has classes of its own."""
    return isinstance(error, TxGuardError) or any(
        kind.__name__ in ("InterfaceError", "DatabaseError") for kind in type(error).__mro__
    )
