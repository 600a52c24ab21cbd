"""`@transactional`: functions that run as one transaction, and run again when they lost against another one.

The nouns: a *source* gives connections; a *lease* is one connection for the time of one transaction; a *unit*
is that transaction, made of *scopes* (itself and its savepoints) and entered by *frames* (running functions);
the *lifecycle* is the script of a call, as steps without input or output, that an *interpreter* carries out;
a *failure* is what an error means for the transaction: conflict, lost, undetermined or fatal.

It works on connections to the proxy and to any MySQL or MariaDB server.
"""

from txguard.transactional.decorator import INJECTED, transactional
from txguard.transactional.errors import (
    OutcomeUndetermined,
    RetriesExhausted,
    TransactionalError,
    TransactionEnded,
    TransactionForbidden,
    TransactionMisused,
    TransactionRequired,
    UnexpectedRollback,
)
from txguard.transactional.options import Isolation, Propagation
from txguard.transactional.retry import Clock
from txguard.transactional.scope import current_connection
from txguard.transactional.signatures import AiomysqlConnection, AsyncPool

__all__ = [
    "INJECTED",
    "AiomysqlConnection",
    "AsyncPool",
    "Clock",
    "Isolation",
    "OutcomeUndetermined",
    "Propagation",
    "RetriesExhausted",
    "TransactionEnded",
    "TransactionForbidden",
    "TransactionMisused",
    "TransactionRequired",
    "TransactionalError",
    "UnexpectedRollback",
    "current_connection",
    "transactional",
]
