"""A contest: contenders take turns for some rounds; figures are the medians over the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

Measure = Callable[[], Awaitable[float]]
"""One turn: a rate per second, or a latency; the unit is the contest's."""


@dataclass(slots=True)
class Contest:
    """`name` is also the figure's key in bench.json; `unit` as it is printed."""

    name: str
    unit: str
    rounds: dict[str, list[float]] = field(default_factory=dict)

    async def play(self, contenders: Mapping[str, Measure], rounds: int) -> None:
        """The order turns with the rounds, so that nobody always comes after the same one."""
        names = list(contenders)
        for round_number in range(rounds):
            for position in range(len(names)):
                name = names[(position + round_number) % len(names)]
                self.rounds.setdefault(name, []).append(await contenders[name]())

    def median(self, contender: str) -> float:
        return statistics.median(self.rounds[contender])

    def ratio(self, contender: str, to: str) -> float:
        return self.median(contender) / self.median(to)
