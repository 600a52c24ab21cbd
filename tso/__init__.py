"""The timestamp oracle: time and the order of commits for all coordinators.

- **Timestamp**: 64 bits, 46 of physical milliseconds and 18 of logical counter, strictly increasing over
  clock steps, crashes and fail-overs (`tso.clock`).
- **Epoch**: the number of a leader's term. It goes up durably with each start, so that a leader that was
  replaced cannot persist anything any more (`tso.store`), and names the view through which commit records
  are written.
- **Bound**: every timestamp served lies below it, and a majority of copies has it before it is served below
  (`tso.lease`, `tso.store`). It is a lease too: past it the oracle refuses.
- **Standby**: an oracle that waits until nobody has the lease, and then claims it (`tso.election`, `tso.replica`).
- **Window**: what the oracle knows of transactions that have not ended: who is active since which
  **floor**, which commits are **outstanding** on which shards, and what became of them (`tso.window`,
  `tso.commits`).
- **Barrier**, **dependency**, **rollback counter**: the rules [R2], [R4] and [R5] of docs/protocol.md.
- **Gate**: holds back new commits on some shards for a few milliseconds, for a quiet snapshot (`tso.gates`).
- **Session**: one coordinator's connection. When it dies its active transactions end, and its outstanding
  commits become **orphans**, which a janitor resolves.

`EmbeddedTso` is the oracle in the coordinator's own process; `TsoServer` serves it to `RemoteTso` clients.
Both are a `Tso`. The window, clock and wire codec are sans-IO; asyncio begins at `tso.oracle`.
"""

from tso.api import Tso
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
from tso.types import (
    LOGICAL_BITS,
    Begun,
    Orphan,
    Outcome,
    OutstandingCommit,
    ShardName,
    Timestamp,
    TsoStatistics,
)

__all__ = [
    "LOGICAL_BITS",
    "Begun",
    "BoundStoreError",
    "CommitOutstanding",
    "DependencyRolledBack",
    "Deposed",
    "Orphan",
    "Outcome",
    "OutcomeContradiction",
    "OutstandingCommit",
    "QuietExpired",
    "ShardName",
    "StandsBy",
    "Timestamp",
    "TransactionUnknown",
    "Tso",
    "TsoError",
    "TsoStatistics",
    "TsoTimeout",
    "TsoUnavailable",
]
