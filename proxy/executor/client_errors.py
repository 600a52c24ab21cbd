"""What any exception means to a client: error number, SQLSTATE and text.

The rule: errors that the product raises on purpose carry their own number; a shard's error is passed on as it came;
anything else is a bug, answered with 1105 and an incident number under which the log has the traceback.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

import structlog

from proxy.errors import ConfigError, NestedTooDeeply, ProxyError
from tso.errors import (
    DependencyRolledBack,
    QuietExpired,
    TransactionUnknown,
    TsoError,
    TsoTimeout,
    TsoUnavailable,
)
from txguard.engine.shard import ConnectionLost, ShardError, ShardUnavailable
from txguard.errors import Conflict, LockWaitTimeout, OracleUnavailable, ShardDown, TxGuardError

log = structlog.get_logger(__name__)

INTERNAL_ERRNO = 1105


class ClientError(NamedTuple):
    """The content of an ERR packet."""

    errno: int
    sqlstate: str
    message: str


_TSO_ERRORS: dict[type[TsoError], tuple[type[TxGuardError], str]] = {
    TsoTimeout: (LockWaitTimeout, "a wait at the timestamp oracle passed its deadline; try again"),
    TsoUnavailable: (
        OracleUnavailable,
        "the timestamp oracle cannot be reached; nothing was committed, try again",
    ),
    QuietExpired: (LockWaitTimeout, "no quiet snapshot could be had in time; try again"),
    DependencyRolledBack: (
        Conflict,
        "a transaction whose rows this one replaced was rolled back; run it again",
    ),
    TransactionUnknown: (Conflict, "the timestamp oracle was restarted during the transaction; run it again"),
    TsoError: (OracleUnavailable, "the timestamp oracle failed; nothing was committed, try again"),
}
"""The first class that fits counts, so the root stands last."""


def client_error(error: BaseException) -> ClientError:
    """The client's view of `error`. Logs only what is a bug."""
    if isinstance(error, ExceptionGroup):
        return client_error(error.exceptions[0])
    if isinstance(error, ShardError):
        return ClientError(error.errno, error.sqlstate, error.message)
    if isinstance(error, RecursionError):
        error = NestedTooDeeply()
    if isinstance(error, TxGuardError | ProxyError):
        return ClientError(error.errno, error.sqlstate, str(error))
    if isinstance(error, TsoError):
        kind, text = next(known for base, known in _TSO_ERRORS.items() if isinstance(error, base))
        return ClientError(kind.errno, kind.sqlstate, text)
    if isinstance(error, ConnectionLost | ShardUnavailable):
        return ClientError(
            ShardDown.errno, ShardDown.sqlstate, f"a shard cannot be reached ({error}); try again"
        )
    if isinstance(error, ConfigError):
        return ClientError(INTERNAL_ERRNO, "HY000", str(error))
    return _internal(error)


def _internal(error: BaseException) -> ClientError:
    incident = secrets.token_hex(4)
    log.error("internal error", incident=incident, exc_info=error)
    return ClientError(
        INTERNAL_ERRNO, "HY000", f"TxGuard internal error; the log has it as incident {incident}"
    )
