"""The life of one quiet snapshot: the gate is closed for as long as the caller's views open, and no longer.

Apart from the oracle because mypyc, which compiles that, knows no asynchronous generators.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tso.errors import QuietExpired
from tso.types import ShardName, Timestamp

if TYPE_CHECKING:
    from tso.oracle import Oracle


@asynccontextmanager
async def quiet_snapshot(
    oracle: Oracle, start_ts: Timestamp, shards: Collection[ShardName], timeout_s: float
) -> AsyncGenerator[Timestamp, None]:
    """See `Tso.quiet`."""
    gate, read_ts = await oracle.close_gate(start_ts, shards, timeout_s)
    held_all_the_time = False
    try:
        yield read_ts
    finally:
        held_all_the_time = oracle.open_gate(gate)
    if not held_all_the_time:
        raise QuietExpired("the views were not all open within 50 ms; take the snapshot again")
