"""The world of one run: shards, leader, what the checker is to see, and the processes that share them.

Every `yield` of a process is a point where any other may run, or this one crash or freeze.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass

from tests.model.oracle import Oracle
from tests.model.rows import SHARDS, Row
from tests.model.rules import Abort, Rule
from tests.model.shard import Branch, Shard
from tests.model.transactions import Read, Transaction

Process = Generator[None, None, None]

LOCK_WAIT_STEPS, DECISION_WAIT_STEPS, STUCK_STEPS = 40, 400, 300_000
RETENTION = 20
VALIDATION_TRIES = 10


@dataclass(frozen=True, slots=True)
class Profile:
    """What a run is made of: probabilities of faults by step, and of operations by turn."""

    name: str
    clients: int = 6
    transactions_each: int = 5
    crash: float = 0.002
    freeze: float = 0.0
    restart: float = 0.0
    kill: float = 0.0005
    """KILL of one connection."""
    failed_prewrite: float = 0.04
    fail_overs: int = 0
    cleaning: float = 0.1
    marking: float = 0.3
    """Of the decided mark, of one shard."""
    autocommit: float = 0.2
    serializable: float = 0.15
    read_committed: float = 0.15
    crash_in_commit: float = 0.01
    """Before each prewrite."""
    statements: int = 4
    reads: float = 0.42
    locking_reads: float = 0.08
    moves: float = 0.3
    """Inserts, deletes and changed unique keys among the writes."""
    by_where: float = 0.25


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("common"),
        Profile("moving", moves=0.7, by_where=0.4, failed_prewrite=0.15, crash_in_commit=0.03),
        Profile(
            "undecided",
            reads=0.1,
            statements=3,
            moves=0.8,
            by_where=0.4,
            read_committed=0.4,
            crash_in_commit=0.12,
            restart=0.003,
            cleaning=0.2,
            transactions_each=7,
        ),
        Profile("serializable", serializable=0.8, read_committed=0, restart=0.002, kill=0.01),
        Profile(
            "fail-over",
            reads=0.2,
            statements=3,
            autocommit=0.1,
            fail_overs=2,
            restart=0.001,
            freeze=0.004,
            crash_in_commit=0.12,
        ),
        Profile(
            "frozen",
            freeze=0.01,
            cleaning=0.4,
            failed_prewrite=0.15,
            crash_in_commit=0.05,
            transactions_each=6,
        ),
    )
}


@dataclass(slots=True, eq=False)
class Task:
    process: Process
    transaction: Transaction | None = None
    wakes_at: int = 0
    orphan: int | None = None
    """The commit that it resolves as a janitor."""


class World:
    def __init__(self, seed: int, without: frozenset[Rule], profile: Profile | None = None) -> None:
        self.random = random.Random(seed)
        self.profile = profile or self.random.choice(list(PROFILES.values()))
        self.without = without
        self.shards = [Shard(number) for number in range(SHARDS)]
        self.leader = Oracle(keeps_lease=self.keeps(Rule.LIVE_LEASE), fenced=set(range(SHARDS)))
        self.deposed: Oracle | None = None
        self.transactions: dict[int, Transaction] = {}
        self.reads: list[Read] = []
        self.tasks: list[Task] = []
        self.task: Task | None = None
        self.turns = self.profile.clients * self.profile.transactions_each
        """Transactions and reads that are still to come."""
        self.step = 0
        self.last_value = 0

    def keeps(self, rule: Rule) -> bool:
        return rule not in self.without

    def spawn(self, process: Process, orphan: int | None = None) -> None:
        self.tasks.append(Task(process, orphan=orphan))

    def pause(self) -> Process:
        """Mostly short: a client that thinks, a packet that is late."""
        for _ in range(1 if self.random.random() < 0.85 else 30):
            yield

    def row(self, unique: int, writer: int) -> Row:
        self.last_value += 1
        return Row(self.last_value, unique, writer)

    def known_leader(self) -> Oracle:
        """The leader, or its predecessor where the client has not heard yet."""
        stale = self.deposed is not None and self.random.random() < 0.3
        return self.deposed if stale and self.deposed is not None else self.leader

    def fenced(self, at: int, oracle: Oracle) -> bool:
        """Whether the shard may be used under this epoch, as far as its coordinators know."""
        return at in oracle.fenced or not self.keeps(Rule.FENCED_BEFORE_USE)

    def until_fenced(self, at: int, oracle: Oracle) -> Process:
        for _ in range(DECISION_WAIT_STEPS):
            if self.fenced(at, oracle):
                return
            yield
        raise Abort("the shard is not fenced yet")

    def up(self, at: int) -> Shard:
        shard = self.shards[at]
        if shard.down:
            raise Abort("the shard does not answer")
        return shard

    def reach(self, t: Transaction, at: int) -> Generator[None, None, Branch]:
        """The transaction's branch on the shard, which is fenced for the newest epoch before it is used."""
        branch = t.branches.get(at)
        if branch is None:
            yield from self.until_fenced(at, t.oracle)
            branch = t.branches[at] = self.up(at).open(t.start_ts)
        require_alive(branch)
        return branch


def require_alive(branch: Branch) -> None:
    if not branch.alive:
        raise Abort("a connection was lost")
