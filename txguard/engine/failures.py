"""What an error makes of a transaction, and what its client is told.

The rule: a client may only hear "the statement did nothing" where that is certain. An error that comes after a write
was sent, and that is not known to have undone it everywhere, costs the whole transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tso.errors import TransactionUnknown, TsoError, TsoTimeout
from txguard.engine.shard import ConnectionLost, ShardError, ShardUnavailable
from txguard.errors import Conflict, LockWaitTimeout, OracleUnavailable, ShardDown, TransactionLost

if TYPE_CHECKING:
    from txguard.engine.transaction import Transaction

CONFLICT_ERRNOS = frozenset({1213, 1020})
"""InnoDB's deadlock, the triggers' [R1] conflict, and MariaDB's own snapshot conflict."""

LOST_ERRNOS = frozenset({1053, 1077, 1079, 1152, 1184, 1927, 3169, 4031})
"""Errors with which a server says good-bye: the local transaction is gone, as when the socket ends."""

STATEMENT_ERRNOS = frozenset(
    {
        1048,
        1054,
        1062,
        1064,
        1136,
        1146,
        1216,
        1217,
        1264,
        1292,
        1364,
        1366,
        1406,
        1451,
        1452,
        1586,
        3819,
        4025,
    }
)
"""Errors that undo their statement only. After any other the server is asked whether the transaction still is:
InnoDB rolls it back as a whole when the lock table is full (1206), and at 1205 under innodb_rollback_on_timeout."""

DATA_ERRNOS = frozenset({1062, 1216, 1217, 1451, 1452, 1586})
"""Errors that rows of other transactions cause: undecided ones may be rolled back, and the error with them."""


def oracle_error(error: TsoError) -> OracleUnavailable:
    if isinstance(error, TsoTimeout):
        return OracleUnavailable("the timestamp oracle did not answer in time; try again")
    return OracleUnavailable(f"{error}; nothing was committed, try again")


@asynccontextmanager
async def statement_scope(txn: Transaction, *, sent: bool = False) -> AsyncIterator[None]:
    """What every statement begins with, and what an error or an interruption in its middle leads to."""
    txn.require_active()
    txn.sent = sent
    try:
        await txn.begin()
        yield
    except Exception as error:
        raise await failed(txn, error, sent=txn.sent) from error
    except BaseException:
        txn.abandon("a statement was interrupted")
        raise


async def failed(txn: Transaction, error: Exception, *, sent: bool = False) -> Exception:
    """Bring the transaction into the state that `error` means, and give the error for the client.

    `sent`: the error came after a write, whose effect may stand.
    """
    if isinstance(error, ShardError) and error.errno in CONFLICT_ERRNOS:
        error = Conflict(error.message)
    if isinstance(error, TransactionUnknown):
        error = Conflict("the timestamp oracle was restarted during the transaction; run it again")
    if isinstance(error, Conflict):
        await txn.rollback()
        txn.engine.counters.conflicts += 1
        return error
    if isinstance(error, LockWaitTimeout):
        return error
    if isinstance(error, ConnectionLost) or (isinstance(error, ShardError) and error.errno in LOST_ERRNOS):
        return await _lost(txn, f"a shard was lost ({error})")
    if isinstance(error, ShardError):
        return await _lost(txn, f"a shard refused to go on ({error.errno}: {error.message})")
    if not sent:
        return _refused(error)
    if isinstance(error, ShardUnavailable | TsoError):
        return await _lost(txn, f"a statement could not be brought to its end ({error})")
    lost = await _lost(txn, f"a statement could not be brought to its end ({type(error).__name__}: {error})")
    return error if txn.implicit else lost


def _refused(error: Exception) -> Exception:
    """Nothing was sent that could have changed anything."""
    if isinstance(error, ShardUnavailable):
        return ShardDown(f"{error}; the statement did nothing, try again")
    if isinstance(error, TsoError):
        return oracle_error(error)
    return error


async def _lost(txn: Transaction, reason: str) -> Exception:
    txn.abandon(reason)
    await txn.forget()
    if txn.implicit:
        await txn.rollback()
        return ShardDown(f"{reason}; nothing was changed, try again")
    return TransactionLost(
        f"{reason}; nothing of the transaction will be committed: send ROLLBACK and run it again"
    )
