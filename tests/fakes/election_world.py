"""A world for the oracle's election: members and copies, with pauses, losses, delays, crashes and odd clocks.

It runs the code of `tso.election`, `tso.store`, `tso.lease` and `tso.clock` as it is, in virtual time and without
asyncio: what they await are requests to this world. Everything follows from one seed. A member may stop at any
await, also between having looked at its clock and sending what it has decided upon; a request that its sender has
given up may still arrive, at any later time.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tso.clock import NS_PER_MS, BoundReached, HybridClock
from tso.copies import Claim, Read, Release, Renew, Reply, Request, Row
from tso.election import stand_by
from tso.errors import BoundStoreError, TsoUnavailable
from tso.lease import Lease, LeaseState
from tso.store import Answers, MajorityStore, majority
from tso.types import Timestamp

LEASE_MS: Final = 1_500
TIMEOUT_MS: Final = 500
STRAGGLER_MS: Final = 100
LOOK_MS: Final = (100, 200)
START_WALL_MS: Final = 1_700_000_000_000
BLANK: Final = Row(0, Timestamp(0), 0, "")


class Violation(AssertionError):
    """What must never happen has happened."""


def write(row: Row, request: Request) -> tuple[Row, Reply]:
    """What a copy does: the SQL of `tso.copies`, in Python."""
    match request:
        case Read():
            return row, row
        case Claim(seen, new) if row[:3] != seen[:3]:
            return row, row
        case Renew(new) if row.epoch > new.epoch:
            return row, row
        case Claim(_, new) | Renew(new):
            return new._replace(bound=max(row.bound, new.bound)), None
        case Release(epoch, bound) if row.epoch == epoch:
            return row._replace(bound=bound, lease_ms=0), None
    return row, row


@dataclass(slots=True)
class Faults:
    """Chances of 0 to 1, and how bad it gets."""

    lost: float = 0.0
    slow: float = 0.0
    slow_ms: int = 3_000
    pause: float = 0.0
    """At each await."""
    pause_ms: int = 4_000
    rate: float = 0.0
    """By how much a clock may go wrong, of the true time."""
    wall_step_ms: int = 0
    step: float = 0.0


@dataclass(slots=True)
class Copy:
    row: Row = BLANK
    up: bool = True


@dataclass(slots=True)
class Asked:
    """A suspension: requests to copies, or only time that passes."""

    requests: Mapping[int, Request] = field(default_factory=dict)
    sleep_ms: float = 0.0

    def __await__(self) -> Generator[Asked, Answers, Answers]:
        return (yield self)


class MemberClock:
    """Runs at its own rate; its wall clock is wrong by as much as somebody set it."""

    def __init__(self, world: World, rate: float) -> None:
        self._world, self._rate = world, rate
        self.wall_error_ns = 0

    def monotonic_ns(self) -> int:
        return int(self._world.now_ns * self._rate) + 77

    def wall_ns(self) -> int:
        return START_WALL_MS * NS_PER_MS + self._world.now_ns + self.wall_error_ns


class Member:
    """One `txguard tso`: what `tso.replica` and `tso.embedded` do with a term, on this world's awaits."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        chance, faults = world.chance, world.faults
        self.clock = MemberClock(world, 1 + chance.uniform(-faults.rate, faults.rate))
        self.hybrid: HybridClock | None = None
        self.lease: Lease | None = None
        self.paused_until_ns = 0
        self.stopping = False
        self._life: Coroutine[Asked, Answers, None] | None = None

    def __len__(self) -> int:
        return len(self.world.copies)

    async def ask(self, requests: Mapping[int, Request]) -> Answers:
        return await Asked(requests)

    async def settle(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    def stands_by(self, leader: Row) -> None:
        pass

    def cannot_tell(self, error: TsoUnavailable) -> None:
        pass

    async def live(self) -> None:
        chance = self.world.chance
        while not self.stopping:
            store = MajorityStore(self, self.name)
            term = await stand_by(store, LEASE_MS, self.clock, lambda: _sleep(chance.uniform(*LOOK_MS)), self)
            hybrid = HybridClock(self.clock, above=term.bound)
            lease = Lease(term.epoch, hybrid, self.clock, store, LEASE_MS)
            try:
                await lease.renew()
            except TsoUnavailable:
                continue
            self.hybrid, self.lease = hybrid, lease
            while lease.state is not LeaseState.DEPOSED and not self.stopping:
                await _sleep(LEASE_MS / 4 if lease.state is LeaseState.SERVING else 100)
                await lease._attempt()
            await lease.release()

    def start(self) -> None:
        self.stopping = False
        self._life = self.live()
        self._advance(None)

    def kill(self) -> None:
        if self._life is not None:
            self._life.close()
        self._life = self.hybrid = self.lease = None

    @property
    def running(self) -> bool:
        return self._life is not None

    @property
    def paused(self) -> bool:
        return self.world.now_ns < self.paused_until_ns

    def pause(self, milliseconds: float) -> None:
        """SIGSTOP; the SIGCONT comes by itself."""
        self.paused_until_ns = max(self.paused_until_ns, self.world.now_ns + int(milliseconds * NS_PER_MS))

    def _advance(self, answers: Answers | None) -> None:
        life = self._life
        if life is None:
            return
        try:
            asked = life.send(answers)  # type: ignore[arg-type]
        except StopIteration:
            self.kill()
            return
        faults, chance = self.world.faults, self.world.chance
        if chance.random() < faults.pause:
            self.pause(chance.uniform(0, faults.pause_ms))
        self._when_running(life, lambda: self._carry_out(life, asked))

    def _carry_out(self, life: object, asked: Asked) -> None:
        def go_on(answers: Answers) -> None:
            self._when_running(life, lambda: self._advance(answers))

        if asked.requests:
            self.world.send(asked.requests, go_on)
        else:
            self.world.later(asked.sleep_ms, lambda: go_on({}))

    def _when_running(self, life: object, act: Callable[[], None]) -> None:
        """Now, or when it wakes up; never when it was killed meanwhile."""
        if self._life is not life:
            return
        if self.paused:
            left_ms = (self.paused_until_ns - self.world.now_ns) / NS_PER_MS
            self.world.later(left_ms, lambda: self._when_running(life, act))
        else:
            act()


async def _sleep(milliseconds: float) -> None:
    await Asked(sleep_ms=milliseconds)


class World:
    def __init__(self, seed: int, members: int, copies: int, faults: Faults) -> None:
        self.chance = random.Random(seed)
        self.faults = faults
        self.now_ns = 0
        self.copies = [Copy() for _ in range(copies)]
        self.members = [Member(self, f"m{number}") for number in range(members)]
        self.served = 0
        self.leaders: set[int] = set()
        self._last = Timestamp(0)
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def later(self, milliseconds: float, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now_ns + max(0, int(milliseconds * NS_PER_MS)), self._count, act))

    def run(self, milliseconds: float) -> None:
        """Let time pass; every member that can serve does so, again and again, and is checked."""
        end_ns = self.now_ns + int(milliseconds * NS_PER_MS)
        while self._events and self._events[0][0] <= end_ns:
            self.now_ns, _, act = heapq.heappop(self._events)
            act()
            self._serve()
        self.now_ns = end_ns

    def run_until_served(self, limit_ms: int) -> float:
        """How many milliseconds it takes until somebody serves."""
        began_ns, served = self.now_ns, self.served
        while self.served == served:
            if self.now_ns - began_ns > limit_ms * NS_PER_MS:
                raise Violation(f"nobody serves after {limit_ms} ms: {self.copies}")
            self.run(5)
            self._serve()
        return (self.now_ns - began_ns) / NS_PER_MS

    def heal(self) -> None:
        self.faults = Faults()
        for copy in self.copies:
            copy.up = True
        for member in self.members:
            member.paused_until_ns, member.stopping = 0, False
            if not member.running:
                member.start()

    def send(self, requests: Mapping[int, Request], go_on: Callable[[Answers], None]) -> None:
        """As `tso.store.MySQLCopies` asks: until a majority and the stragglers have answered, or time is up."""
        answers: dict[int, Any] = {
            number: BoundStoreError(f"copy {number}: no answer") for number in requests
        }
        answered: set[int] = set()
        done = False

        def finish() -> None:
            nonlocal done
            if not done:
                done = True
                go_on(answers)

        def take(number: int, reply: Reply) -> None:
            if done:
                return
            answers[number] = reply
            answered.add(number)
            if len(answered) == len(requests):
                finish()
            elif len(answered) == majority(len(self.copies)):
                self.later(STRAGGLER_MS, finish)

        self.later(TIMEOUT_MS, finish)
        for number, request in requests.items():
            self._travel(lambda number=number, request=request: self._arrive(number, request, take))  # type: ignore[misc]

    def _arrive(self, number: int, request: Request, take: Callable[[int, Reply], None]) -> None:
        copy = self.copies[number]
        if copy.up:
            copy.row, reply = write(copy.row, request)
            self._travel(lambda: take(number, reply))

    def _travel(self, arrive: Callable[[], None]) -> None:
        if self.chance.random() < self.faults.lost:
            return
        slow = self.chance.random() < self.faults.slow
        self.later(
            self.chance.uniform(0, self.faults.slow_ms) if slow else self.chance.uniform(0.2, 3), arrive
        )

    def _serve(self) -> None:
        if sum(member.lease is not None and member.lease.live for member in self.members) > 1:
            raise Violation(f"two leases at {self.now_ns}")
        for member in self.members:
            if member.paused or member.hybrid is None or member.lease is None:
                continue
            try:
                timestamp = member.hybrid.next()
            except BoundReached:
                continue
            self._check(member, member.lease, timestamp)

    def _check(self, member: Member, lease: Lease, timestamp: Timestamp) -> None:
        if timestamp <= self._last:
            raise Violation(f"{member.name} serves {timestamp} after {self._last}")
        holding = sum(copy.row.bound > timestamp for copy in self.copies)
        if holding < majority(len(self.copies)):
            raise Violation(f"{member.name} serves {timestamp}, with a bound above it on {holding} copies")
        self._last = timestamp
        self.served += 1
        self.leaders.add(lease.epoch)


def random_life(world: World, milliseconds: int) -> None:
    """Crashes, clean ends, starts, copies that go down and come back, wall clocks that are set."""
    chance = world.chance
    for member in world.members:
        world.later(chance.uniform(0, 300), member.start)
    end_ns = world.now_ns + milliseconds * NS_PER_MS
    while world.now_ns < end_ns:
        world.run(chance.expovariate(1 / 400))
        member, copy = chance.choice(world.members), chance.choice(world.copies)
        event = chance.random()
        if not member.running:
            member.start()
        elif not copy.up:
            copy.up = True
        elif event < 0.12:
            member.kill()
        elif event < 0.2:
            member.stopping = True
        elif event < 0.4:
            member.pause(chance.uniform(0, world.faults.pause_ms))
        elif event < 0.5:
            copy.up = False
        elif chance.random() < world.faults.step:
            member.clock.wall_error_ns = int(chance.uniform(-1, 1) * world.faults.wall_step_ms * NS_PER_MS)
