"""What the engine counts. `Counters` is live; `snapshot` gives an immutable copy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    committed: int
    committed_cross_shard: int
    rolled_back: int
    conflicts: int
    undetermined: int


@dataclass(slots=True)
class Counters:
    committed: int = 0
    committed_cross_shard: int = 0
    rolled_back: int = 0
    conflicts: int = 0
    undetermined: int = 0

    def snapshot(self) -> EngineStatistics:
        return EngineStatistics(
            self.committed, self.committed_cross_shard, self.rolled_back, self.conflicts, self.undetermined
        )
