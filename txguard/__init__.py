"""TxGuard for Python programs: transactions over several MySQL servers that behave as one database.

`from txguard import transactional` is the decorator; the package of the same name holds the rest of it
(`from txguard.transactional.errors import RetriesExhausted`). `txguard.engine` is the transaction engine
itself, `txguard.inspector` checks invariants, `txguard.errors` are the errors that all of them share.
"""

from txguard.errors import TxGuardError
from txguard.transactional import (
    INJECTED,
    Isolation,
    OutcomeUndetermined,
    Propagation,
    current_connection,
    transactional,
)

__all__ = [
    "INJECTED",
    "Isolation",
    "OutcomeUndetermined",
    "Propagation",
    "TxGuardError",
    "current_connection",
    "transactional",
]
