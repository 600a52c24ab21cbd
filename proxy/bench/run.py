"""The whole run: contests one after the other, the table of what came out, and `bench.json`."""

from __future__ import annotations

import asyncio
import json
import platform
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from proxy.bench import single, sysbench, transfers
from proxy.bench.contest import Contest, Measure
from proxy.bench.world import World, open_world
from proxy.config import EngineConfig
from proxy.playground.installations import Installation
from proxy.session import fast_read

RESULT = Path("bench.json")
CONNECTIONS = (1, 16, 64)
TRANSFER_CLIENTS = (1, 16)
STRAIGHT, HAPROXY, PROXY, XA = "straight", "haproxy", "proxy", "xa"


@dataclass(frozen=True, slots=True)
class BenchOptions:
    installation: Installation
    rounds: int = 3
    seconds: int = 4
    only: frozenset[str] = frozenset()
    """Parts to run: select, update, transfer, single; empty: all."""

    def wants(self, part: str) -> bool:
        return not self.only or part in self.only


@dataclass(frozen=True, slots=True)
class Ratio:
    """`key` in bench.json; `wanted`: the mark that it has to meet, as text; empty: none."""

    key: str
    value: float
    wanted: str


class Bench:
    def __init__(self, options: BenchOptions, world: World, console: Console) -> None:
        self.options, self.world, self.console = options, world, console
        self.contests: list[Contest] = []
        self.ratios: list[Ratio] = []
        self.figures: dict[str, float] = {}

    async def run(self) -> None:
        if self.options.wants(
            "single"
        ):  # first, while the proxy's memory holds nothing that could be used again
            idle_kib = await asyncio.to_thread(single.idle_connection_kib, self.world)
            self.figures["idle_connection_kib"] = idle_kib
        if self.options.wants("select") or self.options.wants("update"):
            await self._statements()
        homes = await asyncio.to_thread(transfers.prepare, self.world)
        if self.options.wants("transfer"):
            await self._transfers(homes)
        if self.options.wants("single"):
            await self._single(homes)

    async def _contest(self, name: str, unit: str, contenders: dict[str, Measure]) -> Contest:
        self.console.print(f"… {name}", highlight=False)
        contest = Contest(name, unit)
        await contest.play(contenders, self.options.rounds)
        self.contests.append(contest)
        return contest

    async def _statements(self) -> None:
        for port in (self.world.servers[0], self.world.proxy):
            with transfers.connect(port, None) as connection, connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {sysbench.DATABASE if port == self.world.proxy else PLAIN}")
        await sysbench.prepare(self.world.servers[0], PLAIN)
        await sysbench.prepare(self.world.proxy, sysbench.DATABASE)
        for part, script in (("select", "oltp_point_select"), ("update", "oltp_update_non_index")):
            if not self.options.wants(part):
                continue
            for threads in CONNECTIONS:
                contest = await self._contest(
                    f"{'point_select' if part == 'select' else 'update'}_{threads}",
                    "per second",
                    {
                        STRAIGHT: self._sysbench(script, self.world.servers[0], PLAIN, threads),
                        HAPROXY: self._sysbench(script, self.world.haproxy, PLAIN, threads),
                        PROXY: self._sysbench(script, self.world.proxy, sysbench.DATABASE, threads),
                    },
                )
                wanted = "at least 0.6, aim 0.9" if (part, threads) == ("select", 16) else ""
                self.ratios.append(Ratio(f"{contest.name}_vs_haproxy", contest.ratio(PROXY, HAPROXY), wanted))

    def _sysbench(self, script: str, port: int, database: str, threads: int) -> Measure:
        return lambda: sysbench.run(script, port, database, threads, self.options.seconds)

    async def _transfers(self, homes: list[list[int]]) -> None:
        seconds = self.options.seconds
        for clients in TRANSFER_CLIENTS:
            contest = await self._contest(
                f"transfer_{clients}",
                "per second",
                {
                    XA: lambda clients=clients: transfers.rate(  # type: ignore[misc]
                        XA, self.world.servers[:2], homes[:2], clients, seconds
                    ),
                    PROXY: lambda clients=clients: transfers.rate(  # type: ignore[misc]
                        PROXY, [self.world.proxy], homes[:2], clients, seconds
                    ),
                },
            )
            self.ratios.append(
                Ratio(f"{contest.name}_vs_xa", contest.ratio(PROXY, XA), "at least 0.8, aim above 1")
            )

    async def _single(self, homes: list[list[int]]) -> None:
        commits = 100 * self.options.seconds
        cross_ms, single_ms = await asyncio.to_thread(single.commit_latencies_ms, self.world, homes, commits)
        self.figures |= {"commit_cross_ms": cross_ms, "commit_single_ms": single_ms}
        self.ratios.append(Ratio("commit_cross_vs_single", cross_ms / single_ms, "at most 1.5"))
        embedded, served = await single.timestamps_per_second(self.world, 1.0)
        self.figures |= {"tso_embedded_per_s": embedded, "tso_service_per_s": served}

    def report(self) -> None:
        figures = Table("what", "contender", "median", "rounds", title=self.options.installation.label)
        for contest in self.contests:
            for contender, rounds in contest.rounds.items():
                figures.add_row(
                    contest.name,
                    contender,
                    f"{contest.median(contender):,.0f} {contest.unit}",
                    " ".join(f"{figure:,.0f}" for figure in rounds),
                )
        for name, figure in self.figures.items():
            figures.add_row(name, "", f"{figure:,.2f}", "")
        ratios = Table("ratio of medians", "", "asked for")
        for ratio in self.ratios:
            ratios.add_row(ratio.key, f"{ratio.value:.2f}", ratio.wanted)
        self.console.print(figures, ratios)

    def save(self, path: Path) -> None:
        raw = {contest.name: contest.rounds for contest in self.contests}
        machine = {
            "server": self.options.installation.label,
            "python": platform.python_version(),
            "compiled": fast_read.__file__.endswith(".so"),
        }
        result = {ratio.key: round(ratio.value, 3) for ratio in self.ratios}
        path.write_text(
            json.dumps({**result, "figures": self.figures, "raw": raw, "machine": machine}, indent=2) + "\n"
        )


PLAIN = "sbtest_plain"
"""The table without TxGuard, on the first server, in a database that the proxy does not know."""


async def run_bench(options: BenchOptions, console: Console, path: Path = RESULT) -> Bench:
    async with open_world(options.installation, EngineConfig()) as world:
        bench = Bench(options, world, console)
        await bench.run()
    bench.report()
    bench.save(path)
    console.print(f"written: {path}")
    return bench
