"""SHOW TXGUARD SHARDS: one row for each shard, with its connections and what is undecided on it."""

from __future__ import annotations

from collections import Counter

from proxy.admin.sources import Sources
from proxy.session.results import LocalResult
from tso.errors import TsoError
from tso.types import ShardName

_NAMES = (
    "Shard",
    "Address",
    "State",
    "Version",
    "Connections",
    "Idle",
    "Waiting",
    "Max_connections",
    "Outstanding_commits",
    "Last_error",
)


async def show_shards(sources: Sources) -> LocalResult:
    outstanding = await _outstanding(sources)
    rows = []
    for name, pool in sources.services.pools.items():
        figures, control = pool.statistics(), sources.services.control[name].statistics()
        # No client has needed the shard yet: then the proxy's own connections know more.
        known = figures if figures.server_version or figures.last_error else control
        rows.append(
            (
                name,
                figures.address,
                known.state.value,
                known.server_version.removeprefix("5.5.5-"),
                figures.open + control.open,
                figures.idle + control.idle,
                figures.waiting + control.waiting,
                figures.max_connections + control.max_connections,
                None if outstanding is None else outstanding[name],
                known.last_error,
            )
        )
    return LocalResult.of(_NAMES, rows)


async def _outstanding(sources: Sources) -> Counter[ShardName] | None:
    """None: the oracle does not answer."""
    try:
        statistics = await sources.services.engine.tso.statistics()
    except TsoError:
        return None
    return Counter(shard for commit in statistics.outstanding for shard in commit.participants)
