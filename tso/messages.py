"""The messages of the oracle's service, and the table that says how each is laid out.

`timeout_ms` is how long the server may wait before it answers with TsoTimeout.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

from tso.errors import (
    BoundStoreError,
    CommitOutstanding,
    DependencyRolledBack,
    Deposed,
    OutcomeContradiction,
    QuietExpired,
    StandsBy,
    TransactionUnknown,
    TsoError,
    TsoTimeout,
    TsoUnavailable,
)
from tso.fields import (
    BYTES,
    FLAG,
    ORPHAN,
    OUTCOME,
    SHARDS,
    STATISTICS,
    TEXT,
    TIMESTAMPS,
    U8,
    U16,
    U32,
    U64,
    Field,
    optional,
)
from tso.types import Orphan, Outcome, ShardName, Timestamp, TsoStatistics

# From the client


class Hello(NamedTuple):
    """`proof` answers the server's nonce, `nonce` asks for the server's own proof (see `tso.secret`)."""

    version: int
    nonce: bytes
    proof: bytes


class Begin(NamedTuple):
    """Answer: Begun."""

    transactions: int


class ReadTs(NamedTuple):
    """Answer: Timestamps, one for each, 0 where the transaction is unknown."""

    start_ts: tuple[Timestamp, ...]


class End(NamedTuple):
    start_ts: tuple[Timestamp, ...]


class BeginCommit(NamedTuple):
    """Answer: Number, 0 when the dependencies are needed."""

    start_ts: Timestamp
    participants: tuple[ShardName, ...]
    dependencies: tuple[Timestamp, ...] | None
    inserted: tuple[ShardName, ...]
    timeout_ms: int


class Decide(NamedTuple):
    start_ts: Timestamp
    outcome: Outcome


class EndCommit(NamedTuple):
    start_ts: Timestamp
    outcome: Outcome


class WaitBarrier(NamedTuple):
    shards: tuple[ShardName, ...]
    read_ts: Timestamp
    timeout_ms: int


class ReadToken(NamedTuple):
    """Answer: Number."""

    shard: ShardName


class ValidateRead(NamedTuple):
    """Answer: Holds."""

    shard: ShardName
    token: int
    timeout_ms: int


class CloseGate(NamedTuple):
    """Answer: GateClosed."""

    start_ts: Timestamp
    shards: tuple[ShardName, ...]
    timeout_ms: int


class OpenGate(NamedTuple):
    """Answer: Holds, true when the gate held all the time."""

    gate: int


class Adopt(NamedTuple):
    start_ts: Timestamp
    commit_ts: Timestamp
    participants: tuple[ShardName, ...]


class GiveOrphan(NamedTuple):
    start_ts: Timestamp


class NextOrphan(NamedTuple):
    """A long poll. Answer: OrphanFound."""

    timeout_ms: int


class SafePoint(NamedTuple):
    """Answer: Number."""

    retention_ms: int


class Statistics(NamedTuple):
    """Answer: StatisticsTaken."""


class Ping(NamedTuple):
    """Says that the client is there. Answer: Done."""


# From the server


class Challenge(NamedTuple):
    """A client that is silent for `session_timeout_ms` loses its session."""

    version: int
    nonce: bytes
    session_timeout_ms: int


class Welcome(NamedTuple):
    epoch: int
    proof: bytes


class Done(NamedTuple):
    pass


class Failed(NamedTuple):
    code: int
    text: str


class Begun(NamedTuple):
    """As many consecutive `start_ts` as were asked for, from `first` on."""

    first: Timestamp
    floor: Timestamp


class Timestamps(NamedTuple):
    values: tuple[Timestamp, ...]


class Number(NamedTuple):
    value: int


class Holds(NamedTuple):
    value: bool


class GateClosed(NamedTuple):
    gate: int
    read_ts: Timestamp


class OrphanFound(NamedTuple):
    """None: none within the poll's time."""

    orphan: Orphan | None


class StatisticsTaken(NamedTuple):
    statistics: TsoStatistics


Message: TypeAlias = tuple[Any, ...]
"""Any of the classes above."""

LAYOUTS: Final[dict[int, tuple[type[Message], tuple[Field, ...]]]] = {
    1: (Hello, (U16, BYTES, BYTES)),
    2: (Begin, (U32,)),
    3: (ReadTs, (TIMESTAMPS,)),
    4: (End, (TIMESTAMPS,)),
    5: (BeginCommit, (U64, SHARDS, optional(TIMESTAMPS), SHARDS, U32)),
    6: (Decide, (U64, OUTCOME)),
    7: (EndCommit, (U64, OUTCOME)),
    8: (WaitBarrier, (SHARDS, U64, U32)),
    9: (ReadToken, (TEXT,)),
    10: (ValidateRead, (TEXT, U64, U32)),
    11: (CloseGate, (U64, SHARDS, U32)),
    12: (OpenGate, (U32,)),
    13: (Adopt, (U64, U64, SHARDS)),
    14: (GiveOrphan, (U64,)),
    15: (NextOrphan, (U32,)),
    16: (SafePoint, (U64,)),
    17: (Statistics, ()),
    18: (Ping, ()),
    64: (Challenge, (U16, BYTES, U32)),
    65: (Welcome, (U64, BYTES)),
    66: (Done, ()),
    67: (Failed, (U8, TEXT)),
    68: (Begun, (U64, U64)),
    69: (Timestamps, (TIMESTAMPS,)),
    70: (Number, (U64,)),
    71: (Holds, (FLAG,)),
    72: (GateClosed, (U32, U64)),
    73: (OrphanFound, (optional(ORPHAN),)),
    74: (StatisticsTaken, (STATISTICS,)),
}

_ERRORS: Final[dict[int, type[TsoError]]] = {
    1: TsoError,
    2: TsoTimeout,
    3: TsoUnavailable,
    4: DependencyRolledBack,
    5: TransactionUnknown,
    6: QuietExpired,
    7: CommitOutstanding,
    8: OutcomeContradiction,
    9: BoundStoreError,
    10: Deposed,
    11: StandsBy,
}
_ERROR_CODES: Final = {error: code for code, error in _ERRORS.items()}


def failed(error: TsoError) -> Failed:
    return Failed(_ERROR_CODES.get(type(error), 1), str(error))


def error_of(failure: Failed) -> TsoError:
    """The error that the server met, to be raised by the client."""
    return _ERRORS.get(failure.code, TsoError)(failure.text)
