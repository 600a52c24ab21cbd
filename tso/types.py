"""The values that the oracle and its users exchange.

Owns: timestamps, outcomes and the small records of the oracle's answers. No behaviour.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple, NewType

Timestamp = NewType("Timestamp", int)
"""64 bits: 46 bits of physical milliseconds since the Unix epoch, 18 bits of logical counter."""

ShardName = NewType("ShardName", str)

LOGICAL_BITS = 18


class Outcome(enum.Enum):
    """What became of a transaction that asked to commit. The values are those of `_txguard.txn.state`."""

    COMMITTED = "C"
    ROLLED_BACK = "R"


class Begun(NamedTuple):
    """`start_ts` names the transaction; every writer below `floor` was decided and visible when it began."""

    start_ts: Timestamp
    floor: Timestamp


class CommitBegun(NamedTuple):
    """`guarded`: [R4] the transaction may have replaced undecided versions, which each prewrite must look at itself."""

    commit_ts: Timestamp
    guarded: bool


@dataclass(frozen=True, slots=True)
class Orphan:
    """An outstanding commit whose coordinator is gone: the janitor resolves it."""

    start_ts: Timestamp
    commit_ts: Timestamp
    participants: tuple[ShardName, ...]


@dataclass(frozen=True, slots=True)
class OutstandingCommit:
    start_ts: Timestamp
    commit_ts: Timestamp
    participants: tuple[ShardName, ...]
    age_ms: float
    outcome: Outcome | None
    orphaned: bool


@dataclass(frozen=True, slots=True)
class TsoStatistics:
    """A moment's view of the oracle. Immutable; ages in milliseconds."""

    epoch: int
    now: Timestamp
    active: tuple[Timestamp, ...]
    outstanding: tuple[OutstandingCommit, ...]
    rollbacks: tuple[tuple[ShardName, int], ...]
    safe_point: Timestamp
    timestamps_served: int
