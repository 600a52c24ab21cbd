"""One round: some workloads and some faults on one seed, and the verdict.

The seed decides which workloads, at which levels, which faults and when, and what each client asks for. It does not
decide what the machine interleaves: a replay repeats the circumstances, the kept history is the proof.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.torture import aftermath, history
from tests.torture.anomalies import Anomaly, Level
from tests.torture.arena import DATABASE, Arena, NotAnswering
from tests.torture.checkers import check
from tests.torture.client import Client
from tests.torture.faults.catalog import heal_all
from tests.torture.faults.schedule import Planned, schedule
from tests.torture.history import LEARNT, Header, Outcome, Recorder
from tests.torture.workloads import WORKLOADS, Workload

FINISH_WITHIN_S: Final = 20.0
LEARN_WITHIN_S: Final = 10.0
TOLD: Final = 5


@dataclass(frozen=True, slots=True)
class RoundOptions:
    seed: int
    length_s: float
    workloads: Sequence[str]
    """To choose from."""
    at_once: int
    kinds: Sequence[str]
    """Of faults."""
    levels: Sequence[Level] = tuple(Level)
    """To choose from, of those that the workload and the proxies know."""


@dataclass(slots=True)
class Tally:
    """What a run counts, live."""

    transactions: int = 0
    faults: int = 0
    orphans: int = 0
    rounds: int = 0
    violations: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Running:
    """A workload at work."""

    workload: Workload
    recorder: Recorder
    clients: list[Client]


class Round:
    def __init__(self, arena: Arena, options: RoundOptions, tally: Tally) -> None:
        self.arena, self.options, self.tally = arena, options, tally
        rng = random.Random(options.seed)
        names = rng.sample(list(options.workloads), min(options.at_once, len(options.workloads)))
        self.running = [self._prepare(name, rng, number) for number, name in enumerate(names)]
        self.plan = schedule(rng, options.length_s, arena.cluster.shape, options.kinds)
        self.injected: list[Planned] = []
        self.outcomes: Counter[str] = Counter()
        self.learnt = 0

    def _prepare(self, name: str, rng: random.Random, number: int) -> _Running:
        kind = WORKLOADS[name]
        possible = self.arena.levels.intersection(self.options.levels)
        level = rng.choice([level for level in kind.levels if level in possible])
        workload = kind(random.Random(rng.random()))
        header = Header(name, level, self.options.seed, dict(workload.parameters))
        recorder = Recorder(header, time.monotonic)
        ports = self.arena.cluster.client_ports
        clients = [
            Client(100 * number + n, ports, DATABASE, level, recorder, random.Random(rng.random()))
            for n in range(kind.clients)
        ]
        return _Running(workload, recorder, clients)

    async def run(self) -> list[str]:
        """The violations."""
        try:
            await self.load()
        except NotAnswering as error:
            return [f"the round could not begin: {error}"]
        violations = await self.finish()
        after = await aftermath.look(self.arena)
        self.tally.orphans += after.orphans
        violations += after.violations
        for running in self.running:
            violations += _told(running)
        self.tally.rounds += 1
        return violations

    async def load(self) -> None:
        """Clients at work, and the faults meanwhile. Raises NotAnswering."""
        for running in self.running:
            await self.arena.empty_and_fill(running.workload)
        await self._load_and_faults()

    def anomalies(self, level: Level | None = None) -> dict[str, list[Anomaly]]:
        """By workload; `level` judges by another one than that at which it ran."""
        found = {}
        for running in self.running:
            history = running.recorder.history()
            if level is not None:
                history = dataclasses.replace(
                    history, header=dataclasses.replace(history.header, level=level)
                )
            found[running.workload.name] = check(history)
        return found

    def told(self) -> str:
        """What was in it, in one line."""
        workloads = ", ".join(f"{r.workload.name} ({r.recorder.header.level.value})" for r in self.running)
        faults = Counter(type(planned.fault).__name__ for planned in self.injected)
        outcomes = " ".join(f"{outcome.value}={self.outcomes[outcome.value]}" for outcome in Outcome)
        listed = ", ".join(f"{count} {name}" for name, count in faults.items()) or "none"
        return f"seed {self.options.seed}: {workloads}; {outcomes} (learnt later: {self.learnt}); faults: {listed}"

    async def _load_and_faults(self) -> None:
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            supervisor = group.create_task(self.arena.cluster.supervise())
            load = [
                group.create_task(self._client(running, client, over))
                for running in self.running
                for client in running.clients
            ]
            await self._faults()
            over.set()
            await asyncio.gather(*load)
            await self._wait_until_all_run()
            supervisor.cancel()
        for running in self.running:
            for client in running.clients:
                client.drop()

    async def _client(self, running: _Running, client: Client, over: asyncio.Event) -> None:
        while not over.is_set():
            before = len(running.recorder.events)
            await running.workload.step(client)
            done = Counter(event.type for event in running.recorder.events[before:])
            self.tally.transactions += done[Outcome.OK.value]
            self.outcomes.update(done)

    async def _faults(self) -> None:
        """Each at its time. All of them are healed in the end, whatever happens."""
        cluster, started = self.arena.cluster, time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                for planned in self.plan:
                    await _until(started + planned.at_s)
                    group.create_task(self._one_fault(planned))
                await _until(started + self.options.length_s)
        finally:
            await heal_all(cluster, [planned.fault for planned in self.plan])

    async def _one_fault(self, planned: Planned) -> None:
        self.injected.append(planned)
        self.tally.faults += 1
        with contextlib.suppress(Exception):  # a fault that does not come off is none
            await planned.fault.inject(self.arena.cluster)
        await asyncio.sleep(planned.lasts_s)
        await heal_all(self.arena.cluster, [planned.fault])

    async def _wait_until_all_run(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                while not self.arena.cluster.complete:
                    await asyncio.sleep(0.1)

    async def finish(self) -> list[str]:
        """The last reads of each workload; with everything up, each must succeed within some tries."""
        violations = await self._learn()
        for running in self.running:
            client, deadline = running.clients[0], time.monotonic() + FINISH_WITHIN_S
            while not await running.workload.finish(client):
                if time.monotonic() > deadline:
                    violations.append(f"{running.workload.name}: the last reads get no answer")
                    break
                await asyncio.sleep(0.2)
            client.drop()
        return violations

    async def _learn(self) -> list[str]:
        """What became of the transactions whose COMMIT had no answer: with everything up, nothing is in doubt long."""
        violations = []
        for running in self.running:
            for client in running.clients:
                for completion, start_ts in client.unknown:
                    verdict = await self._outcome(start_ts, time.monotonic() + LEARN_WITHIN_S)
                    if verdict in LEARNT:
                        running.recorder.learn(completion, verdict)
                        self.learnt += 1
                    elif verdict != "unknown":
                        violations.append(
                            f"what became of transaction {start_ts} cannot be learnt: {verdict}"
                        )
        return violations

    async def _outcome(self, start_ts: int, deadline: float) -> str:
        while True:
            try:
                [row] = await self.arena.insist(f"SHOW TXGUARD TRANSACTION {start_ts}")
                verdict, reason = str(row[1]), row[4]
            except NotAnswering as error:
                verdict, reason = "no answer", str(error)
            if verdict in LEARNT or verdict == "unknown":
                return verdict
            if time.monotonic() > deadline:
                return f"{verdict} ({reason})"
            await asyncio.sleep(0.2)

    def keep(self, folder: Path, violations: Sequence[str]) -> None:
        """Histories, faults and words, for whoever looks into it."""
        folder.mkdir(parents=True, exist_ok=True)
        for running in self.running:
            history.save(folder / f"{running.workload.name}.jsonl", running.recorder)
        (folder / "faults.txt").write_text("".join(f"{planned}\n" for planned in self.injected))
        (folder / "violations.txt").write_text("".join(f"{text}\n" for text in violations))


def _told(running: _Running) -> list[str]:
    anomalies = check(running.recorder.history())
    counts = Counter(anomaly.name for anomaly in anomalies)
    level: Level = running.recorder.header.level
    texts = [f"{running.workload.name} at {level.value}: {anomaly}" for anomaly in anomalies[:TOLD]]
    strange = [text for client in running.clients for text in client.strange]
    texts += [f"{running.workload.name}: a row is missing: {text}" for text in strange[:TOLD]]
    if len(anomalies) > TOLD:
        texts.append(f"{running.workload.name}: in all {dict(counts)}")
    return texts


async def _until(instant: float) -> None:
    await asyncio.sleep(max(0.0, instant - time.monotonic()))
