"""One inspection: the user's invariants through the proxy and the protocol's on the shards, side by side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from txguard.inspector.data_rules import check_invariants
from txguard.inspector.invariants import Invariant
from txguard.inspector.protocol_rules import Limits, check_protocol
from txguard.inspector.report import Report
from txguard.inspector.shard_reader import ShardAddress

__all__ = ["Limits", "ShardAddress", "inspect"]


async def inspect(
    invariants: Sequence[Invariant],
    *,
    proxy_dsn: str | None,
    shards: Sequence[ShardAddress],
    limits: Limits | None = None,
) -> Report:
    """Check everything that can be; nothing that is down makes it raise.

    `proxy_dsn` may be None where there are no invariants; without `shards` the protocol is not checked.
    """
    if invariants and proxy_dsn is None:
        raise ValueError("invariants are read through the proxy: its DSN is needed")
    limits = limits or Limits()
    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        data = (
            group.create_task(check_invariants(proxy_dsn, invariants, limits.timeout_s))
            if invariants and proxy_dsn is not None
            else None
        )
        protocol = group.create_task(check_protocol(shards, limits)) if shards else None
    return Report(
        invariants=data.result() if data else (),
        protocol=protocol.result() if protocol else (),
        elapsed_ms=(time.monotonic() - started) * 1000,
    )
