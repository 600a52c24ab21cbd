"""From a plan's route and a statement's values to the shards it goes to.

The hot path: it answers at once for every key whose place can be computed here. For the others there is `asked_routes`.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.executor.execution import Execution
from proxy.routing.catalog import Catalog
from proxy.sql.plan import AllShards, AnyShard, ByKeys, FirstShard, OneShard, Route
from tso.types import ShardName

Shards = tuple[ShardName, ...]
PickAny = Callable[[], ShardName]
"""Chooses the shard for a statement that any can answer."""


def shards_nowait(route: Route, execution: Execution, catalog: Catalog, pick_any: PickAny) -> Shards | None:
    """None: await `asked_routes.shards`."""
    if isinstance(route, ByKeys):
        return _by_keys_nowait(route, execution, catalog)
    if isinstance(route, AnyShard):
        return (pick_any(),)
    if isinstance(route, OneShard):
        return (route.home,)
    if isinstance(route, FirstShard):
        return (min(catalog.all_shards),)
    if isinstance(route, AllShards):
        return catalog.all_shards
    return None


def _by_keys_nowait(route: ByKeys, execution: Execution, catalog: Catalog) -> Shards | None:
    if len(route.keys) == 1:
        return catalog.lookup_nowait(route.table, execution.key(route.keys[0]))
    found: set[ShardName] = set()
    for key in route.keys:
        value = execution.key(key)
        if value is None:
            continue
        shards = catalog.lookup_nowait(route.table, value)
        if shards is None:
            return None
        found.update(shards)
    return ordered(found, catalog)


def ordered(found: set[ShardName], catalog: Catalog) -> Shards:
    """No key that is not NULL: nothing matches, which any one shard can say."""
    return tuple(shard for shard in catalog.all_shards if shard in found) or catalog.all_shards[:1]
