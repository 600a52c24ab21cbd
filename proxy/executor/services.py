"""What all sessions of the process share below the session: engine, pools, catalog, sequences, limits."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from proxy.backend.circuit import CircuitState
from proxy.executor.connections import Pools
from proxy.routing.catalog_store import CatalogStore
from proxy.routing.sequences import Sequences
from tso.types import ShardName
from txguard.engine.engine import Engine


@dataclass(frozen=True, slots=True)
class Services:
    engine: Engine
    pools: Pools
    """For the sessions."""
    control: Pools
    """For the engine's own statements."""
    catalog_store: CatalogStore
    sequences: Sequences
    max_merge_bytes: int
    _turn: itertools.count[int] = field(default_factory=itertools.count)

    def pick_any(self, preferred: Sequence[ShardName] = ()) -> ShardName:
        """A shard for a statement that any can answer: one in use already, else one that is up, in turn."""
        for shard in preferred:
            return shard
        names = tuple(self.pools)
        first = next(self._turn)
        for offset in range(len(names)):
            name = names[(first + offset) % len(names)]
            if self.pools[name].statistics().state is CircuitState.UP:
                return name
        return names[first % len(names)]
