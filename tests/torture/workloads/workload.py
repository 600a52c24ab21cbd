"""What every workload is made of: tables, clients' steps, and a last look when all is quiet."""

from __future__ import annotations

import itertools
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

from tests.torture.anomalies import Level
from tests.torture.client import Client

Run = Callable[[str], Awaitable[Sequence[Sequence[Any]]]]
"""Runs one statement through a proxy, outside of the history."""


class Workload(ABC):
    """One round of it. What it does follows from `rng` and from what it reads."""

    name: ClassVar[str]
    levels: ClassVar[tuple[Level, ...]] = (Level.SNAPSHOT, Level.SERIALIZABLE)
    tables: ClassVar[Mapping[str, str]]
    """Name and definition; made once for a cluster and emptied before each round."""
    clients: ClassVar[int] = 4

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.ids = itertools.count(1)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What the checker has to know."""
        return {}

    async def fill(self, run: Run, homes: Mapping[int, str]) -> None:
        """The rows to start with. `homes` says on which shard some numbers live, as keys of any table."""
        return

    @abstractmethod
    async def step(self, client: Client) -> None:
        """One operation, or a few that belong together."""

    async def finish(self, client: Client) -> bool:
        """The last reads, one try; True: done. Nothing else runs, and no fault is on."""
        return True
