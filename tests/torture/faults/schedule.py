"""Which faults, when and for how long: everything from the seed and the cluster's shape."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.torture.cluster import Shape
from tests.torture.faults.catalog import (
    ClockJump,
    Crowd,
    Failpoint,
    Fault,
    FullDisk,
    Kill9,
    KillConnections,
    KillQueries,
    KillWorker,
    Pause,
    Poison,
    ProxyCrowd,
    Restart,
    StalledCommits,
)
from tests.torture.faults.toxics import random_toxic
from txguard.engine import failpoints

PLACES: Final = sorted(failpoints.PLACES)
COMBINED: Final = 0.3
"""How often a fault comes before the one before it is healed."""


@dataclass(frozen=True, slots=True)
class Planned:
    at_s: float
    lasts_s: float
    fault: Fault

    def __str__(self) -> str:
        return f"at {self.at_s:.1f} s for {self.lasts_s:.1f} s: {self.fault}"


Maker = Callable[[random.Random, Shape], Fault]


def _process(rng: random.Random, shape: Shape) -> str:
    letter, count = rng.choice((("s", shape.servers), ("o", shape.oracles), ("p", shape.proxies)))
    return f"{letter}{rng.randint(1, count)}"


def _server(rng: random.Random, shape: Shape) -> str:
    return f"s{rng.randint(1, shape.servers)}"


def _oracle(rng: random.Random, shape: Shape) -> str:
    return f"o{rng.randint(1, shape.oracles)}"


def _proxy(rng: random.Random, shape: Shape) -> str:
    return f"p{rng.randint(1, shape.proxies)}"


def _failpoint(rng: random.Random, shape: Shape) -> Fault:
    place = rng.choice(PLACES)
    action = rng.choice(
        (f"panic@{rng.randint(1, 20)}*1", f"panic%{rng.choice((0.05, 0.2))}", "error%0.1", "sleep:0.3%0.2")
    )
    setting = f"{place}={action}"
    if place.startswith("resolve"):  # which nothing reaches while all goes well
        setting += ";prewrite_before_send=error%0.05"
    return Failpoint(_proxy(rng, shape), setting)


def _poison(rng: random.Random, shape: Shape) -> Fault:
    """One link, or all those of one part, or to one part."""
    proxy, server, oracle = _proxy(rng, shape), _server(rng, shape), _oracle(rng, shape)
    proxies = [f"p{n}" for n in range(1, shape.proxies + 1)]
    servers = [f"s{n}" for n in range(1, shape.servers + 1)]
    links = rng.choice(
        (
            (f"client-{proxy}",),
            (f"{proxy}-{server}",),
            tuple(f"{each}-{server}" for each in proxies),
            tuple(f"{proxy}-{each}" for each in servers),
            (f"{proxy}-{oracle}",),
            tuple(f"{each}-{oracle}" for each in proxies),
            tuple(f"{each}-o{n}" for each in proxies for n in range(1, shape.oracles + 1)),
            tuple(f"{oracle}-{each}" for each in servers),
        )
    )
    return Poison(links, random_toxic(rng))


KINDS: Final[Mapping[str, Maker]] = {
    "kill9": lambda rng, shape: Kill9(_process(rng, shape)),
    "kill-worker": lambda rng, shape: KillWorker(f"p{shape.proxies}", rng.randrange(shape.workers)),
    "pause": lambda rng, shape: Pause(_process(rng, shape)),
    "restart": lambda rng, shape: Restart(_process(rng, shape)),
    "failpoint": _failpoint,
    "network": _poison,
    "kill-connections": lambda rng, shape: KillConnections(
        _server(rng, shape), rng.choice((0.2, 1.0)), rng.randrange(1 << 30)
    ),
    "kill-queries": lambda rng, shape: KillQueries(
        _server(rng, shape), rng.choice((0.2, 1.0)), rng.randrange(1 << 30), rng.randint(1, 30)
    ),
    "crowd": lambda rng, shape: Crowd(_server(rng, shape)),
    "proxy-crowd": lambda rng, shape: ProxyCrowd(_proxy(rng, shape)),
    "stalled-commits": lambda rng, shape: StalledCommits(_server(rng, shape)),
    "full-disk": lambda rng, shape: FullDisk(),
    "clock": lambda rng, shape: ClockJump(_oracle(rng, shape), rng.choice((-86_400, -60, -2, 2, 60, 3_600))),
}
WEIGHTS: Final[Mapping[str, int]] = {"network": 5, "failpoint": 4, "kill9": 3, "pause": 3}
"""How often, where it is not once."""


def possible_kinds(shape: Shape) -> list[str]:
    missing = {"full-disk"} if not shape.small_disk else set()
    if shape.fake_clock is None:
        missing.add("clock")
    if shape.workers == 1:
        missing.add("kill-worker")
    return [kind for kind in KINDS if kind not in missing]


def schedule(rng: random.Random, length_s: float, shape: Shape, kinds: Sequence[str]) -> list[Planned]:
    """Faults one after the other, some before the one before is over; the last one is healed before the end."""
    weights = [WEIGHTS.get(kind, 1) for kind in kinds]
    planned: list[Planned] = []
    at_s = rng.uniform(0.3, 1.5)
    while kinds:
        lasts_s = rng.choice((rng.uniform(0.2, 1.0), rng.uniform(1.0, 4.0)))
        if at_s + lasts_s > length_s:
            return planned
        kind = rng.choices(kinds, weights)[0]
        planned.append(Planned(at_s, lasts_s, KINDS[kind](rng, shape)))
        pause_s = rng.uniform(0.2, 1.5)
        at_s += pause_s if rng.random() < COMBINED else lasts_s + pause_s
    return planned
