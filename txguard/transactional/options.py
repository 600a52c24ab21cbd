"""What may be asked of a transaction: isolation, propagation, bounds on retries. Values only."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Isolation(enum.Enum):
    """The values are the words of SET TRANSACTION ISOLATION LEVEL."""

    READ_COMMITTED = "READ COMMITTED"
    REPEATABLE_READ = "REPEATABLE READ"
    SERIALIZABLE = "SERIALIZABLE"


class Propagation(enum.Enum):
    """What a transactional function does about the transaction of its caller, as Spring defines it."""

    REQUIRED = "required"
    """Join the caller's transaction, or begin one."""
    REQUIRES_NEW = "requires_new"
    """Begin one on a connection of its own; the caller's waits meanwhile."""
    NESTED = "nested"
    """A savepoint in the caller's transaction: a failure undoes only this function. Begin one if there is
    none."""
    MANDATORY = "mandatory"
    """Join the caller's transaction, or raise TransactionRequired."""
    NEVER = "never"
    """Run without a transaction, on a connection in autocommit; raise TransactionForbidden if there is one.
    """


@dataclass(frozen=True, slots=True)
class Options:
    """`retries` counts runs after the first; `deadline_s` counts from the call, checked between runs."""

    isolation: Isolation | None = None
    read_only: bool = False
    consistent_snapshot: bool = False
    """Take the snapshot at the beginning: from the proxy a quiet one, of all shards at one instant."""
    propagation: Propagation = Propagation.REQUIRED
    retries: int = 8
    deadline_s: float = 30.0

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise ValueError("retries must not be negative")
        if self.deadline_s <= 0:
            raise ValueError("deadline_s must be positive")

    def begin_statements(self) -> tuple[str, ...]:
        """The statements that begin the transaction; SET TRANSACTION holds for the next transaction only."""
        asked = (("WITH CONSISTENT SNAPSHOT", self.consistent_snapshot), ("READ ONLY", self.read_only))
        start = f"START TRANSACTION {', '.join(words for words, wanted in asked if wanted)}".rstrip()
        if self.isolation is None:
            return (start,)
        return (f"SET TRANSACTION ISOLATION LEVEL {self.isolation.value}", start)
