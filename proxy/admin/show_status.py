"""SHOW TXGUARD STATUS: figures of the whole proxy, one a row; with several workers, of all together."""

from __future__ import annotations

import time
from collections import Counter

from proxy.admin.sources import Sources
from proxy.session.phases import Phase
from proxy.session.results import Cell, LocalResult
from tso.errors import TsoError
from tso.types import TsoStatistics

_NAMES = ("Variable_name", "Value")


async def show_status(sources: Sources) -> LocalResult:
    registry, engine = sources.registry, sources.services.engine
    figures, workers = Counter(own_figures(sources)), 1
    if registry.colleagues is not None:
        for answer in await registry.colleagues.ask("figures"):
            figures.update(answer)
            workers += 1
    rows: list[tuple[str, Cell]] = [
        ("version", sources.version),
        ("uptime_s", int(time.monotonic() - registry.started_at)),
        ("workers", workers),
        *figures.items(),
        ("shards", len(sources.services.pools)),
        ("catalog_version", sources.services.catalog_store.current.version),
        ("tso_leader", engine.tso.leader),
    ]
    try:
        rows += _oracle(await engine.tso.statistics())
    except TsoError as error:
        rows.append(("tso", f"unavailable: {error}"))
    return LocalResult.of(_NAMES, [(name, str(value)) for name, value in rows])


def own_figures(sources: Sources) -> dict[str, int]:
    """Those of this process that add up."""
    registry = sources.registry
    counters, commits = registry.counters, sources.services.engine.counters.snapshot()
    return {
        "connections": len(registry),
        "connections_total": counters.connections_total,
        "transactions_open": sum(view.phase is not Phase.IDLE for view in registry.views()),
        "queries": counters.queries,
        "fast_reads": counters.fast_reads,
        "fast_writes": counters.fast_writes,
        "errors": counters.errors,
        "commits": commits.committed,
        "commits_cross_shard": commits.committed_cross_shard,
        "rollbacks": commits.rolled_back,
        "conflicts": commits.conflicts,
        "undetermined": commits.undetermined,
    }


def _oracle(statistics: TsoStatistics) -> list[tuple[str, Cell]]:
    return [
        ("tso_epoch", statistics.epoch),
        ("tso_timestamp", statistics.now),
        ("tso_timestamps_served", statistics.timestamps_served),
        ("tso_active", len(statistics.active)),
        ("tso_outstanding", len(statistics.outstanding)),
        ("tso_safe_point", statistics.safe_point),
    ]
