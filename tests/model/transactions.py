"""Transactions and reads as the checker sees them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from tests.model.oracle import Oracle
from tests.model.rows import Place, Row, Where
from tests.model.shard import Branch


class Isolation(enum.Enum):
    READ_COMMITTED = "read committed"
    SNAPSHOT = "repeatable read"
    SERIALIZABLE = "serializable"


class State(enum.Enum):
    ACTIVE = "active"
    ACKNOWLEDGED = "acknowledged"
    ROLLED_BACK = "rolled back"
    UNKNOWN = "unknown"
    """Its coordinator crashed, or told its client that the outcome is not known."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a statement was shown of one shard, but for the keys that its own transaction had written by then."""

    at: int
    where: Where
    values: dict[int, int]
    own: frozenset[int] = frozenset()
    began: int = 0
    read_ts: int | None = None
    """Of a statement with a snapshot of its own."""
    shown: bool = True
    """False: a write only looked at it, and its client learns of it by COMMIT at the earliest."""


@dataclass(slots=True, eq=False)
class Transaction:
    start_ts: int
    floor: int
    began: int
    isolation: Isolation
    oracle: Oracle
    read_ts: int | None = None
    commit_ts: int | None = None
    locked_at: int | None = None
    """It wrote nothing; all its locks were held when the clock showed this."""
    state: State = State.ACTIVE
    ended: int | None = None
    snapshot_reads: list[Read] = field(default_factory=list)
    locking_reads: list[Read] = field(default_factory=list)
    """Of rows that stay as they are until `commit_ts`: also what a write looked at."""
    statement_reads: list[Read] = field(default_factory=list)
    """READ COMMITTED"""
    looks: list[Read] = field(default_factory=list)
    """READ COMMITTED: what writes looked at. Counts if they are committed."""
    branches: dict[int, Branch] = field(default_factory=dict)
    written_by: int = 0
    """What the oracle's clock showed after the last write."""
    participants: tuple[int, ...] = ()
    writes: dict[Place, Row | None] = field(default_factory=dict)
    before: dict[Place, Row | None] = field(default_factory=dict)
    prewritten: set[int] = field(default_factory=set)
    late: set[Branch] = field(default_factory=set)
    """Prewrites that a server is still to execute."""

    @property
    def committed(self) -> bool:
        """The commit point: every participant had its record."""
        return bool(self.participants) and self.prewritten == set(self.participants)
