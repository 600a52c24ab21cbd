"""Where a key is, with a question to a shard where the catalog cannot know: how a collation sees a text.

Apart from `catalog.py` as `proxy/backend/awaited.py` is from its connection.
"""

from __future__ import annotations

from proxy.errors import NotSupported
from proxy.routing.catalog import Catalog
from proxy.routing.tables import Table
from proxy.routing.values import KeyValue, Verdict
from tso.types import ShardName


async def lookup(catalog: Catalog, table: Table, value: KeyValue) -> tuple[ShardName, ...]:
    """`Catalog.lookup_nowait`, with patience. Raises ShardDown."""
    known = catalog.lookup_nowait(table, value)
    if known is not None:
        return known
    answer = await catalog.weights.canonical(catalog.question(table, value))
    return catalog.found(Verdict.UNKNOWN if answer is None else answer)


async def place(catalog: Catalog, table: Table, value: KeyValue, *, strict: bool) -> ShardName:
    """`Catalog.place_nowait`, with patience. Raises NotSupported, ShardDown."""
    known = catalog.place_nowait(table, value, strict=strict)
    if known is not None:
        return known
    question = catalog.place_question(table, value, strict=strict)
    answer = await catalog.weights.canonical(question)
    if answer is None:
        raise NotSupported(f"a text of {len(question.text)} characters as a shard key")
    return catalog.found(answer)[0]
