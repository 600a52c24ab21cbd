"""The commit protocol as an executable model, run under random schedules and crashes.

Owns the model of docs/protocol.md: shards, oracle, coordinators, resolvers and the checker of strict snapshot
isolation. Every `yield` is a point where any other process may run or this one may crash; between two of them a
shard executes one local transaction atomically, as InnoDB does. A view is a copy of the shard's committed state.

Modelled: updates of existing rows, autocommit reads, coordinators that crash anywhere, the janitor, cleaning of
commit records and history behind the safe point, and a shard that refuses its prewrite. `Rule` names what may be
left out; each test that leaves one out must find a violation.

    python tests/model/commit_protocol.py 2000                  # prints "violations 0"
    python tests/model/commit_protocol.py 500 --without R2      # must find some
"""

from __future__ import annotations

import argparse
import collections
import enum
import random
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

SHARDS, KEYS, CLIENTS, TRANSACTIONS_EACH = 3, 3, 6, 6
CRASH, FAILED_PREWRITE, CLEANING = 0.002, 0.03, 0.15
LOCK_WAIT_STEPS, STUCK_STEPS = 30, 500_000

Place = tuple[int, int]
"""(shard, key)"""
Process = Generator[None, None, None]


class Rule(enum.Enum):
    FIRST_COMMITTER_WINS = "R1"
    BARRIER = "R2"
    TOO_NEW_VERSIONS = "R3"
    DEPENDENCIES = "R4"
    VALIDATED_READS = "R5"
    CLEAN_ONLY_UNLOCKED = "R6"
    """A record stays while any participant still holds the lock record of its transaction."""


class State(enum.Enum):
    ACTIVE = "active"
    READ_ONLY = "read only"
    ACKNOWLEDGED = "acknowledged"
    ROLLED_BACK = "rolled back"
    CRASHED = "crashed"


class Record(enum.Enum):
    COMMITTED = "C"
    ROLLED_BACK = "R"


class Violation(AssertionError):
    """The history is not one that strict snapshot isolation allows."""


class Abort(Exception):
    """The transaction gives up; its coordinator lives and cleans up."""


@dataclass(frozen=True, slots=True)
class Version:
    value: int
    writer: int


@dataclass(frozen=True, slots=True)
class View:
    """What one local transaction sees: rows, history and commit records of one moment."""

    rows: dict[int, Version]
    history: dict[tuple[int, int], Version]
    records: dict[int, tuple[Record, int]]

    def too_new(self, read_ts: int) -> frozenset[int]:
        """X of [R3]. Rolled-back records may be left out: no view shows rows of a writer that it shows as R."""
        return frozenset(
            start_ts
            for start_ts, (record, commit_ts) in self.records.items()
            if record is Record.COMMITTED and commit_ts > read_ts
        )

    def read(self, key: int, too_new: frozenset[int]) -> int:
        versions = [self.rows[key]] if self.rows[key].writer not in too_new else []
        versions += [
            old
            for (successor, at), old in self.history.items()
            if at == key and successor in too_new and old.writer not in too_new
        ]
        if len(versions) != 1:
            raise Violation("a snapshot holds one version of a row")
        return versions[0].value


@dataclass(slots=True)
class Shard:
    rows: dict[int, Version] = field(default_factory=lambda: {key: Version(0, 0) for key in range(KEYS)})
    history: dict[tuple[int, int], Version] = field(default_factory=dict)
    """(the writer that replaced it, key) -> the old version"""
    records: dict[int, tuple[Record, int]] = field(default_factory=dict)
    locks: set[int] = field(default_factory=set)
    """txn_lock: cross-shard transactions not known here to be decided"""
    row_locks: dict[int, int] = field(default_factory=dict)

    def view(self) -> View:
        return View(dict(self.rows), dict(self.history), dict(self.records))

    def prewrite(self, start_ts: int, commit_ts: int, writes: dict[int, int], *, cross_shard: bool) -> bool:
        """One local transaction: data, record and lock. False when a resolver's tombstone is there already."""
        if start_ts in self.records:
            return False
        self.records[start_ts] = (Record.COMMITTED, commit_ts)
        for key, value in writes.items():
            self.history[start_ts, key] = self.rows[key]
            self.rows[key] = Version(value, start_ts)
            del self.row_locks[key]
        if cross_shard:
            self.locks.add(start_ts)
        return True

    def undo(self, start_ts: int, commit_ts: int) -> None:
        """One local transaction: the old rows come back and the record turns to R."""
        for successor, key in [at for at in self.history if at[0] == start_ts]:
            if self.rows[key].writer != start_ts:
                raise Violation("undo over a newer version")
            self.rows[key] = self.history.pop((successor, key))
        self.records[start_ts] = (Record.ROLLED_BACK, commit_ts)


@dataclass(slots=True)
class Transaction:
    start_ts: int
    floor: int
    began: int
    read_ts: int | None = None
    commit_ts: int | None = None
    state: State = State.ACTIVE
    ended: int | None = None
    reads: list[tuple[Place, int]] = field(default_factory=list)
    writes: dict[Place, int] = field(default_factory=dict)
    replaced: set[int] = field(default_factory=set)
    row_locks: list[Place] = field(default_factory=list)
    views: dict[int, tuple[View, frozenset[int]]] = field(default_factory=dict)

    @property
    def participants(self) -> list[int]:
        return sorted({shard for shard, _ in self.writes})


@dataclass(frozen=True, slots=True)
class AutocommitRead:
    place: Place
    value: int
    began: int


@dataclass(slots=True)
class Oracle:
    clock: int = 1
    active: dict[int, int] = field(default_factory=dict)
    """start_ts -> floor"""
    outstanding: dict[int, tuple[int, list[int]]] = field(default_factory=dict)
    """start_ts -> (commit_ts, participants)"""
    decided: dict[int, Record] = field(default_factory=dict)
    rollbacks: collections.Counter[int] = field(default_factory=collections.Counter)
    snapshots: dict[int, int] = field(default_factory=dict)

    def now(self) -> int:
        self.clock += 1
        return self.clock

    def begin(self) -> tuple[int, int]:
        start_ts = self.now()
        floor = min([start_ts, *self.active])
        self.active[start_ts] = floor
        return start_ts, floor

    def snapshot(self, start_ts: int) -> int:
        self.snapshots[start_ts] = self.now()
        return self.snapshots[start_ts]

    def behind_barrier(self, shard: int, read_ts: int) -> bool:
        return not any(
            commit_ts < read_ts and shard in participants for commit_ts, participants in self.outstanding.values()
        )

    def safe_point(self) -> int:
        return min([self.clock, *self.active.values(), *self.snapshots.values(), *self.outstanding])

    def end(self, start_ts: int) -> None:
        for kept in (self.outstanding, self.active, self.snapshots):
            kept.pop(start_ts, None)


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
            if refused or not self.shards[at].prewrite(t.start_ts, t.commit_ts, writes, cross_shard=cross_shard):
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
        held = set().union(*(shard.locks for shard in self.shards)) if self.keeps(Rule.CLEAN_ONLY_UNLOCKED) else set()
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
            waiting = [w for w, (_, where) in self.oracle.outstanding.items() if at in where and len(where) > 1]
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
    check(world)
    return Run(sum(t.state is State.ACKNOWLEDGED for t in world.transactions), crashes)


def check(world: World) -> None:
    """The history against strict snapshot isolation, by `commit_ts`, and the final state against the history."""
    committed = sorted(
        (
            t
            for t in world.transactions
            if t.commit_ts is not None and world.oracle.decided[t.start_ts] is Record.COMMITTED
        ),
        key=lambda t: t.commit_ts or 0,
    )
    versions: dict[Place, list[tuple[int, int]]] = collections.defaultdict(list)
    for t in committed:
        for place, value in t.writes.items():
            versions[place].append((t.commit_ts or 0, value))
    acknowledged = [t for t in committed if t.state is State.ACKNOWLEDGED]
    _check_final_state(world, versions)
    for t in world.transactions:
        if t.read_ts is not None:
            _check_snapshot(t, versions, acknowledged, visible=t in committed or t.state is State.READ_ONLY)
        if t in committed:
            _check_first_committer_wins(t, versions)
    for read in world.reads:
        _check_autocommit_read(read, versions, acknowledged)


def _value_at(versions: dict[Place, list[tuple[int, int]]], place: Place, ts: float) -> int:
    return next((value for commit_ts, value in reversed(versions[place]) if commit_ts <= ts), 0)


def _check_final_state(world: World, versions: dict[Place, list[tuple[int, int]]]) -> None:
    for at, shard in enumerate(world.shards):
        if shard.row_locks:
            raise Violation("a row lock was left behind")
        for key in range(KEYS):
            if shard.rows[key].value != _value_at(versions, (at, key), float("inf")):
                raise Violation("the final state is not that of the committed transactions")


def _check_snapshot(
    t: Transaction,
    versions: dict[Place, list[tuple[int, int]]],
    acknowledged: list[Transaction],
    *,
    visible: bool,
) -> None:
    assert t.read_ts is not None
    if visible and any(value != _value_at(versions, place, t.read_ts) for place, value in t.reads):
        raise Violation("a read is not that of its snapshot")
    for other in acknowledged:
        if (other.ended or 0) < t.began and (other.commit_ts or 0) >= t.read_ts:
            raise Violation("a snapshot misses what was acknowledged before it")


def _check_first_committer_wins(t: Transaction, versions: dict[Place, list[tuple[int, int]]]) -> None:
    if t.read_ts is None or t.commit_ts is None:
        return
    for place in t.writes:
        if any(t.read_ts < commit_ts < t.commit_ts for commit_ts, _ in versions[place]):
            raise Violation("a lost update")


def _check_autocommit_read(
    read: AutocommitRead, versions: dict[Place, list[tuple[int, int]]], acknowledged: list[Transaction]
) -> None:
    seen = next((commit_ts for commit_ts, value in versions[read.place] if value == read.value), 0)
    if read.value and not seen:
        raise Violation("a dirty read")
    for other in acknowledged:
        if (other.ended or 0) < read.began and read.place in other.writes and (other.commit_ts or 0) > seen:
            raise Violation("a stale read")


def violations(seeds: Iterator[int] | range, without: frozenset[Rule] = frozenset()) -> collections.Counter[str]:
    """How often each kind of violation was found over the seeds."""
    found: collections.Counter[str] = collections.Counter()
    for seed in seeds:
        try:
            run(seed, without)
        except Violation as violation:
            found[str(violation)] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--without", nargs="*", default=[], type=Rule)
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    found = violations(seeds, frozenset(arguments.without))
    print(f"seeds {arguments.seeds} violations {sum(found.values())} {dict(found) or ''}")


if __name__ == "__main__":
    main()
