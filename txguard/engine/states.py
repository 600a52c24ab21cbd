"""The states of a transaction. `transaction.py` and `commit.py` move it from one to the next."""

from __future__ import annotations

import enum


class TransactionState(enum.Enum):
    ACTIVE = "active"
    LOST = "lost"
    """A shard was lost: refuses everything until ROLLBACK."""
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    UNDETERMINED = "undetermined"
