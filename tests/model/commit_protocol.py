"""The commit protocol as an executable model, run under random schedules and crashes.

Owns the processes of the model of docs/protocol.md: coordinators, resolvers, janitor, cleaner (`parts.py` has what
they work on, `checker.py` strict snapshot isolation). Every `yield` is a point where any other process may run or this
one may crash; between two of them a shard executes one local transaction atomically, as InnoDB does. A view is a copy
of the shard's committed state.

Modelled: updates of existing rows, autocommit reads, coordinators that crash anywhere, the janitor, cleaning of
commit records and history behind the safe point, and a shard that refuses its prewrite. `Rule` names what may be
left out; each test that leaves one out must find a violation.

    python -m tests.model.commit_protocol 2000                  # prints "violations 0"
    python -m tests.model.commit_protocol 500 --without R2      # must find some
"""

from __future__ import annotations

import argparse
import collections
import random
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from tests.model.checker import check
from tests.model.parts import (
    KEYS,
    SHARDS,
    Abort,
    AutocommitRead,
    Oracle,
    Place,
    Record,
    Rule,
    Shard,
    State,
    Transaction,
    Violation,
)

CLIENTS, TRANSACTIONS_EACH = 6, 6
CRASH, FAILED_PREWRITE, CLEANING = 0.002, 0.03, 0.15
LOCK_WAIT_STEPS, STUCK_STEPS = 30, 500_000

Process = Generator[None, None, None]


class World:
    """One run: the processes, their shared shards and oracle, and the history for the checker."""

    def __init__(self, seed: int, without: frozenset[Rule]) -> None:
        self.random = random.Random(seed)
        self.without = without
        self.shards = [Shard() for _ in range(SHARDS)]
        self.oracle = Oracle()
        self.transactions: list[Transaction] = []
        self.reads: list[AutocommitRead] = []
        self.step = 0
        self.last_value = 0

    def keeps(self, rule: Rule) -> bool:
        return rule not in self.without

    def client(self) -> Process:
        for _ in range(TRANSACTIONS_EACH):
            yield
            if self.random.random() < CLEANING:
                yield from self.clean()
            if self.random.random() < 0.3:
                yield from self.autocommit_read()
            else:
                yield from self.transaction()

    def transaction(self) -> Process:
        start_ts, floor = self.oracle.begin()
        t = Transaction(start_ts, floor, began=self.step)
        self.transactions.append(t)
        try:
            for _ in range(self.random.randint(1, 4)):
                yield
                place = (self.random.randrange(SHARDS), self.random.randrange(KEYS))
                reading = self.random.random() < 0.5
                if reading and t.read_ts is None:
                    t.read_ts = self.oracle.snapshot(start_ts)
                yield from self.open_view(t, place[0])
                if reading:
                    self.read(t, place)
                else:
                    yield from self.write(t, place)
            if t.writes:
                yield from self.commit(t)
            else:
                t.state, t.ended = State.READ_ONLY, self.step
                self.oracle.end(start_ts)
        except Abort:
            t.state = State.ROLLED_BACK
            yield from self.give_up(t)

    def open_view(self, t: Transaction, at: int) -> Process:
        if t.read_ts is None or at in t.views:
            return
        while self.keeps(Rule.BARRIER) and not self.oracle.behind_barrier(at, t.read_ts):
            yield
        view = self.shards[at].view()
        t.views[at] = (view, view.too_new(t.read_ts) if self.keeps(Rule.TOO_NEW_VERSIONS) else frozenset())
        yield

    def read(self, t: Transaction, place: Place) -> None:
        if place not in t.writes:
            view, too_new = t.views[place[0]]
            t.reads.append((place, view.read(place[1], too_new)))

    def write(self, t: Transaction, place: Place) -> Process:
        at, key = place
        shard = self.shards[at]
        for _ in range(LOCK_WAIT_STEPS):
            if shard.row_locks.get(key, t.start_ts) == t.start_ts:
                break
            yield
        else:
            raise Abort("lock wait timeout")
        shard.row_locks[key] = t.start_ts
        t.row_locks.append(place)
        if place not in t.writes:
            writer = shard.rows[key].writer
            if self.keeps(Rule.FIRST_COMMITTER_WINS) and t.read_ts is not None and writer >= t.floor:
                record, commit_ts = t.views[at][0].records.get(writer, (None, 0))
                if record is not Record.COMMITTED or commit_ts > t.read_ts:
                    raise Abort("write conflict")
            t.replaced.add(writer)
        self.last_value += 1
        t.writes[place] = self.last_value

    def commit(self, t: Transaction) -> Process:
        yield
        yield from self.wait_for_dependencies(t)
        t.commit_ts = self.oracle.now()
        self.oracle.outstanding[t.start_ts] = (t.commit_ts, t.participants)
        for at in self.random.sample(t.participants, len(t.participants)):
            yield
            writes = {key: value for (where, key), value in t.writes.items() if where == at}
            refused = self.random.random() < FAILED_PREWRITE
            cross_shard = len(t.participants) > 1
            if refused or not self.shards[at].prewrite(
                t.start_ts, t.commit_ts, writes, cross_shard=cross_shard
            ):
                raise Abort("prewrite failed")
        yield
        self.oracle.decided[t.start_ts] = Record.COMMITTED
        self.oracle.end(t.start_ts)
        t.state, t.ended = State.ACKNOWLEDGED, self.step
        for at in t.participants:
            yield
            self.shards[at].locks.discard(t.start_ts)

    def wait_for_dependencies(self, t: Transaction) -> Process:
        oracle = self.oracle
        while self.keeps(Rule.DEPENDENCIES):
            if any(oracle.decided.get(writer) is Record.ROLLED_BACK for writer in t.replaced):
                raise Abort("a dependency was rolled back")
            undecided = (oracle.outstanding[w][1] for w in t.replaced if w in oracle.outstanding)
            if not any(len(participants) > 1 for participants in undecided):
                return
            yield

    def give_up(self, t: Transaction) -> Process:
        for at, key in t.row_locks:
            if self.shards[at].row_locks.get(key) == t.start_ts:
                del self.shards[at].row_locks[key]
        if t.commit_ts is not None:
            yield from self.resolve(t)
        else:
            self.oracle.decided[t.start_ts] = Record.ROLLED_BACK
            self.oracle.end(t.start_ts)

    def resolve(self, t: Transaction) -> Process:
        """Coordinator or janitor: a tombstone where no record is; any R means rolled back, and is undone."""
        assert t.commit_ts is not None
        lost = False
        for at in t.participants:
            record, _ = self.shards[at].records.setdefault(t.start_ts, (Record.ROLLED_BACK, t.commit_ts))
            lost |= record is Record.ROLLED_BACK
            yield
        self.oracle.decided[t.start_ts] = Record.ROLLED_BACK if lost else Record.COMMITTED
        yield
        for at in t.participants:
            shard = self.shards[at]
            if lost and shard.records[t.start_ts][0] is Record.COMMITTED:
                keys = [key for successor, key in shard.history if successor == t.start_ts]
                while any(key in shard.row_locks for key in keys):
                    yield
                shard.undo(t.start_ts, t.commit_ts)
            shard.locks.discard(t.start_ts)
            yield
        if lost:
            self.oracle.rollbacks.update(t.participants)
        self.oracle.end(t.start_ts)

    def janitor(self, t: Transaction) -> Process:
        """After a coordinator's crash its connections close; some time later its transaction is settled."""
        for _ in range(self.random.randint(1, 20)):
            yield
        yield from self.give_up(t)

    def sweep(self, t: Transaction) -> Process:
        """The coordinator died after its acknowledgement: whoever finds the lock records resolves them."""
        for _ in range(self.random.randint(20, 200)):
            yield
        if any(t.start_ts in shard.locks for shard in self.shards):
            yield from self.resolve(t)

    def clean(self) -> Process:
        safe_point = self.oracle.safe_point()
        yield
        held = (
            set().union(*(shard.locks for shard in self.shards))
            if self.keeps(Rule.CLEAN_ONLY_UNLOCKED)
            else set()
        )
        for shard in self.shards:
            gone = {
                start_ts
                for start_ts, (_, commit_ts) in shard.records.items()
                if commit_ts <= safe_point and start_ts not in held
            }
            shard.history = {at: old for at, old in shard.history.items() if at[0] not in gone}
            shard.records = {s: record for s, record in shard.records.items() if s not in gone}
            yield

    def autocommit_read(self) -> Process:
        at, key, began = self.random.randrange(SHARDS), self.random.randrange(KEYS), self.step
        again = True
        while again:
            rollbacks = self.oracle.rollbacks[at]
            yield
            value = self.shards[at].rows[key].value
            if not self.keeps(Rule.VALIDATED_READS):
                break
            yield
            again = self.oracle.rollbacks[at] != rollbacks
            waiting = [
                w for w, (_, where) in self.oracle.outstanding.items() if at in where and len(where) > 1
            ]
            for writer in waiting:
                while writer not in self.oracle.decided:
                    yield
                again |= self.oracle.decided[writer] is Record.ROLLED_BACK
        self.reads.append(AutocommitRead((at, key), value, began))


@dataclass(frozen=True, slots=True)
class Run:
    acknowledged: int
    crashes: int


def run(seed: int, without: frozenset[Rule] = frozenset()) -> Run:
    """One schedule to its end, then the checks. Raises Violation."""
    world = World(seed, without)
    running: list[tuple[Process, Transaction | None]] = [(world.client(), None) for _ in range(CLIENTS)]
    crashes = 0
    while running:
        world.step += 1
        if world.step > STUCK_STEPS:
            raise Violation("stuck")
        at = world.random.randrange(len(running))
        process, current = running[at]
        if world.random.random() < CRASH:
            crashes += 1
            running.pop(at)
            if current is not None and current.start_ts in world.oracle.active:
                if current.state is State.ACTIVE:
                    current.state = State.CRASHED
                running.append((world.janitor(current), current))
            elif current is not None and any(current.start_ts in shard.locks for shard in world.shards):
                running.append((world.sweep(current), current))
            continue
        known = len(world.transactions)
        try:
            next(process)
        except StopIteration:
            running.pop(at)
            continue
        if len(world.transactions) > known:
            running[at] = (process, world.transactions[-1])
    check(world.transactions, world.reads, world.shards, world.oracle)
    return Run(sum(t.state is State.ACKNOWLEDGED for t in world.transactions), crashes)


def violations(
    seeds: Iterator[int] | range, without: frozenset[Rule] = frozenset()
) -> collections.Counter[str]:
    """How often each kind of violation was found over the seeds."""
    found: collections.Counter[str] = collections.Counter()
    for seed in seeds:
        try:
            run(seed, without)
        except Violation as violation:
            found[str(violation)] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seeds", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--without", nargs="*", default=[], type=Rule)
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    found = violations(seeds, frozenset(arguments.without))
    print(f"seeds {arguments.seeds} violations {sum(found.values())} {dict(found) or ''}")


if __name__ == "__main__":
    main()
