"""From a plan's route to its shards, where a server may have to say how a collation sees a text.

Apart from `routes.py` as `proxy/backend/awaited.py` is from its connection.
"""

from __future__ import annotations

from proxy.errors import NotSupported
from proxy.executor.execution import Execution
from proxy.executor.routes import PickAny, Shards, ordered, shards_nowait
from proxy.routing import asked
from proxy.routing.catalog import Catalog
from proxy.sql.plan import ByKeys, Route, SameShard
from tso.types import ShardName


async def shards(
    route: Route, execution: Execution, catalog: Catalog, pick_any: PickAny, refusal: str
) -> Shards:
    """The shards, in the catalog's order. `refusal` names the construct when a SameShard route gives several."""
    at_once = shards_nowait(route, execution, catalog, pick_any)
    if at_once is not None:
        return at_once
    if isinstance(route, ByKeys):
        return await _by_keys(route, execution, catalog)
    assert isinstance(route, SameShard)
    found = {await _by_keys(member, execution, catalog) for member in route.members}
    if len(found) != 1 or len(next(iter(found))) != 1:
        raise NotSupported(refusal)
    return found.pop()


async def _by_keys(route: ByKeys, execution: Execution, catalog: Catalog) -> Shards:
    found: set[ShardName] = set()
    for key in route.keys:
        value = execution.key(key)
        if value is not None:
            found.update(await asked.lookup(catalog, route.table, value))
    return ordered(found, catalog)
