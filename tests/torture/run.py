"""A run: one cluster, round after round until the time is up, and the last line.

Every round has a seed of its own, drawn from the run's. A round with violations is kept in a folder; once the
cluster does not answer any more the run ends there.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from proxy.playground.installations import Installation
from tests.torture.anomalies import Level
from tests.torture.arena import Arena
from tests.torture.cluster import Shape, can_mount, find_fake_clock, open_cluster
from tests.torture.faults.schedule import possible_kinds
from tests.torture.round import Round, RoundOptions, Tally
from tests.torture.workloads import WORKLOADS

ROUND_S: Final = 20.0
AT_ONCE: Final = 4
REFRESH_S: Final = 0.5
LINE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    installation: Installation
    length_s: float
    seed: int | None = None
    """Of the first round; None: drawn."""
    rounds: int | None = None
    round_s: float = ROUND_S
    at_once: int = AT_ONCE
    workloads: Sequence[str] = tuple(WORKLOADS)
    kinds: Sequence[str] | None = None
    """Of faults; None: all that this machine can do."""
    levels: Sequence[Level] = tuple(Level)
    shape: Shape = field(default_factory=Shape)
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the proxies."""
    keep: Path | None = None
    """Where failed rounds are kept; None: a temporary folder, which is told."""


def able_shape() -> Shape:
    """All that this machine can do: a small disk where it may mount, a fake clock where libfaketime is."""
    with tempfile.TemporaryDirectory(prefix="txguard-torture-") as trial:
        small_disk = can_mount(Path(trial))
    return Shape(workers=2, small_disk=small_disk, fake_clock=find_fake_clock())


async def torture(options: RunOptions, tell: Callable[[str], None]) -> Tally:
    """Everything is stopped in the end, and the cluster's folder removed where there was no violation."""
    folder = Path(tempfile.mkdtemp(prefix="txguard-torture-"))
    tally = Tally()
    kinds = possible_kinds(options.shape) if options.kinds is None else options.kinds
    tell(f"{options.installation.label}; faults: {', '.join(kinds)}")
    try:
        async with open_cluster(options.installation, folder, options.shape, options.environment) as cluster:
            arena = Arena(cluster)
            await arena.open(options.workloads)
            await _rounds(arena, options, kinds, tally, tell)
    finally:
        if tally.violations:
            _keep_logs(folder, _kept(options, folder))
            tell(f"histories and logs are in {_kept(options, folder)}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return tally


async def _rounds(
    arena: Arena, options: RunOptions, kinds: Sequence[str], tally: Tally, tell: Callable[[str], None]
) -> None:
    seeds = random.Random(options.seed)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    ends = time.monotonic() + options.length_s
    async with asyncio.TaskGroup() as group:
        live = group.create_task(_live(tally, ends))
        while time.monotonic() < ends and (options.rounds is None or tally.rounds < options.rounds):
            round_ = Round(
                arena,
                RoundOptions(
                    seed, options.round_s, options.workloads, options.at_once, kinds, options.levels
                ),
                tally,
            )
            violations = await round_.run()
            if violations:
                tally.violations += violations
                place = _kept(options, arena.cluster.folder) / f"seed-{seed}"
                round_.keep(place, violations)
                for text in violations:
                    tell(f"VIOLATION (seed {seed}): {text[:600]}")
            tell(f"round {tally.rounds}, {round_.told()}")
            if any("does not answer" in text or "could not begin" in text for text in violations):
                break
            seed = seeds.getrandbits(32)
        live.cancel()


async def _live(tally: Tally, ends: float) -> None:
    """In a terminal a line that changes, elsewhere a line now and then."""
    terminal = sys.stderr.isatty()
    while True:
        left = max(0.0, ends - time.monotonic())
        line = f"{left:5.0f} s left  {count(tally)}"
        print(f"\r{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)
        await asyncio.sleep(REFRESH_S if terminal else LINE_S)


def count(tally: Tally) -> str:
    return (
        f"faults={tally.faults} transactions={tally.transactions} violations={len(tally.violations)} "
        f"orphans={tally.orphans}"
    )


def summary(tally: Tally) -> str:
    """The last line."""
    good = not tally.violations and not tally.orphans and tally.transactions > 0
    return f"torture: {count(tally)} {'OK' if good else 'FAILED'}"


def _kept(options: RunOptions, folder: Path) -> Path:
    return options.keep or folder / "failed"


def _keep_logs(folder: Path, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        shutil.copy(log, place)
    for log in folder.glob("s*/server.log"):
        shutil.copy(log, place / f"{log.parent.name}.log")
