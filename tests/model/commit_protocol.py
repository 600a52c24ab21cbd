"""The commit protocol as an executable model, run under random schedules, crashes, freezes, restarts and fail-overs.

Owns the clients and the schedule. The parts: `shard.py` (InnoDB), `oracle.py`, `statements.py`, `committing.py`,
`workers.py`, and `checker.py` for what must hold. `Rule` names what may be left out; each must then be missed.

    python -m tests.model.commit_protocol 2000                  # prints "violations 0"
    python -m tests.model.commit_protocol 500 --without R2      # must find some
"""

from __future__ import annotations

import argparse
import collections
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from tests.model import committing, statements, workers
from tests.model.checker import check
from tests.model.rows import KEYS, SHARDS, UNIQUE_VALUES, Where
from tests.model.rules import Abort, Crash, Rule, Violation
from tests.model.transactions import Isolation, Read, State, Transaction
from tests.model.world import PROFILES, STUCK_STEPS, Process, Profile, Task, World


def client(world: World) -> Process:
    while world.turns > 0:
        world.turns -= 1
        yield
        if world.random.random() < world.profile.marking:
            world.spawn(workers.mark_decided(world, world.known_leader(), world.random.randrange(SHARDS)))
        chance = world.random.random()
        if chance < world.profile.cleaning:
            yield from workers.clean(world)
            if world.random.random() < 0.3:
                yield from workers.scan_locks(world)
        try:
            if world.random.random() < world.profile.autocommit:
                yield from autocommit_read(world)
            else:
                yield from transaction(world)
        except Abort:
            pass


def autocommit_read(world: World) -> Process:
    """The latest, validated [R5]; several rows only where that is the state of one moment, or else a snapshot [R8]."""
    at, where, oracle, began = world.random.randrange(SHARDS), _where(world), world.known_leader(), world.step
    yield from world.until_fenced(at, oracle)
    several = where.key is None and world.keeps(Rule.SEVERAL_ROWS_AT_ONE_MOMENT)
    again = True
    while again:
        token, calm = oracle.token(at), oracle.calm_token(at)
        yield from world.pause()
        rows = {key: row for key, row in world.up(at).rows.items() if where.meets(key, row)}
        yield
        if several and (calm is None or not oracle.was_calm(at, calm)):
            yield from transaction(world, only_read=(at, where))
            return
        again = world.keeps(Rule.VALIDATED_READS) and not (
            yield from statements.stands(world, oracle, at, token)
        )
    read = Read(at, where, {key: row.value for key, row in rows.items()}, began=began)
    world.reads.append(read)


def transaction(world: World, only_read: tuple[int, Where] | None = None) -> Process:
    oracle = world.known_leader()
    start_ts, floor = oracle.begin()
    isolation = Isolation.SNAPSHOT if only_read else _isolation(world)
    t = Transaction(start_ts, floor, world.step, isolation, oracle)
    world.transactions[start_ts] = t
    task = world.task
    assert task is not None
    task.transaction = t
    try:
        if only_read:
            yield from statements.snapshot_read(world, t, *only_read)
        else:
            for _ in range(world.random.randint(1, world.profile.statements)):
                yield from world.pause()
                yield from statement(world, t)
        yield from committing.commit(world, t)
    except Abort:
        yield from committing.give_up(world, t)
    task.transaction = None


def statement(world: World, t: Transaction) -> Process:
    chance, at = world.random.random(), world.random.randrange(SHARDS)
    profile = world.profile
    if chance < profile.reads:
        where = _where(world)
        if t.isolation is Isolation.SERIALIZABLE:
            yield from statements.locking_read(world, t, at, where, exclusive=False)
        elif t.isolation is Isolation.SNAPSHOT:
            yield from statements.snapshot_read(world, t, at, where)
        elif world.random.random() < 0.5:
            yield from statements.read_committed(world, t, at, where)
        else:
            yield from statements.read_committed_everywhere(world, t, where)
    elif chance < profile.reads + profile.locking_reads:
        exclusive = world.random.random() < 0.5
        yield from statements.locking_read(world, t, at, _where(world), exclusive=exclusive)
    else:
        yield from _write(world, t, at)
        t.written_by = t.oracle.clock


def _write(world: World, t: Transaction, at: int) -> Process:
    draw, profile = world.random.random, world.profile
    moves = draw() < profile.moves
    unique = world.random.randrange(UNIQUE_VALUES)
    if moves and draw() < 0.4:
        yield from statements.insert(world, t, at, world.random.randrange(KEYS), unique)
        return
    delete = moves and draw() < 0.6
    if draw() < profile.by_where:
        where = Where(parity=world.random.choice((0, 1, None)))
        yield from statements.change(world, t, at, where, delete=delete, unique=None)
        return
    where = Where(key=world.random.randrange(KEYS))
    changed = unique if moves and not delete else None
    yield from statements.change(world, t, at, where, delete=delete, unique=changed)


def _where(world: World) -> Where:
    chance = world.random.random()
    if chance < 0.5:
        return Where(key=world.random.randrange(KEYS))
    return Where(parity=world.random.randrange(2)) if chance < 0.85 else Where()


def _isolation(world: World) -> Isolation:
    chance = world.random.random()
    if chance < world.profile.serializable:
        return Isolation.SERIALIZABLE
    if chance < world.profile.serializable + world.profile.read_committed:
        return Isolation.READ_COMMITTED
    return Isolation.SNAPSHOT


@dataclass(slots=True)
class Counts:
    """What a run was made of."""

    acknowledged: int = 0
    serializable: int = 0
    crashes: int = 0
    freezes: int = 0
    restarts: int = 0
    fail_overs: int = 0
    cleaned: int = 0


class Schedule:
    """Runs the world's tasks in random order, and lets them crash and freeze."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asleep: list[Task] = []
        self.counts = Counts()

    def run(self) -> None:
        world, profile = self.world, self.world.profile
        for _ in range(profile.clients):
            world.spawn(client(world))
        for _ in range(world.random.randint(0, profile.fail_overs)):
            world.spawn(workers.fail_over(world))
        faults = profile.crash + profile.freeze + profile.restart + profile.kill
        draw = world.random.random
        while self._prepare():
            task = world.tasks[int(draw() * len(world.tasks))]
            chance = draw()
            if chance < faults:
                self._fault(task, chance)
                continue
            world.task = task
            try:
                next(task.process)
            except StopIteration:
                world.tasks.remove(task)
            except Crash:
                self._crash(task)
        self._settle_rest()

    def _prepare(self) -> bool:
        """Wake who has slept long enough, hand out orphans. False: nothing is left to do."""
        world = self.world
        world.step += 1
        if world.step > STUCK_STEPS:
            raise Violation("stuck")
        for task in [task for task in self.asleep if task.wakes_at <= world.step or not world.tasks]:
            self.asleep.remove(task)
            world.tasks.append(task)
        while world.leader.orphans:
            orphan = world.leader.orphans.pop()
            world.spawn(workers.settle(world, orphan), orphan)
        return bool(world.tasks)

    def _fault(self, task: Task, chance: float) -> None:
        world, profile = self.world, self.world.profile
        if chance < profile.restart:
            shard = world.random.choice(world.shards)
            if not shard.down:
                self.counts.restarts += 1
                world.spawn(workers.restart(world, shard))
        elif chance < profile.restart + profile.kill:
            shard = world.random.choice(world.shards)
            if shard.branches:
                shard.end(world.random.choice(shard.branches))
        elif task.transaction is not None or task.orphan is not None:
            if chance < profile.restart + profile.kill + profile.freeze:
                self._freeze(task)
            else:
                self._crash(task)

    def _freeze(self, task: Task) -> None:
        self.counts.freezes += 1
        self.world.tasks.remove(task)
        self._lose_session(task)
        task.wakes_at = self.world.step + self.world.random.randint(100, 1500)
        self.asleep.append(task)

    def _crash(self, task: Task) -> None:
        self.counts.crashes += 1
        self.world.tasks.remove(task)
        if task.transaction is not None:
            self.world.spawn(client(self.world))
        self._lose_session(task)
        self._close_connections(task)

    def _lose_session(self, task: Task) -> None:
        """The oracle hears that the process is gone; a janitor of another one sees to what is left."""
        if task.transaction is not None:
            task.transaction.oracle.end(task.transaction.start_ts)
        if task.orphan is not None and task.orphan in self.world.leader.outstanding:
            self.world.leader.orphans.append(task.orphan)

    def _close_connections(self, task: Task) -> None:
        t = task.transaction
        if t is None:
            return
        if t.state is State.ACTIVE:
            t.state = State.UNKNOWN
        for branch in t.branches.values():
            if branch not in t.late:
                self.world.shards[branch.at].end(branch)

    def _settle_rest(self) -> None:
        """Everything is up again: within a short time nothing is left undecided (I8)."""
        world = self.world
        last: list[Callable[[], Process]] = [
            lambda: workers.scan_locks(world),
            *(partial(workers.mark_decided, world, world.leader, at) for at in range(SHARDS)),
        ]
        for process in last:
            world.spawn(process())
            while self._prepare():
                world.task = world.tasks[0]
                try:
                    next(world.tasks[0].process)
                except (StopIteration, Crash):
                    world.tasks.pop(0)


def run(seed: int, without: frozenset[Rule] = frozenset(), profile: Profile | None = None) -> Counts:
    """One schedule to its end, then the checks. Raises Violation."""
    world = World(seed, without, profile)
    schedule = Schedule(world)
    schedule.run()
    transactions = list(world.transactions.values())
    check(transactions, world.reads, world.shards)
    counts = schedule.counts
    counts.fail_overs = world.leader.epoch
    for t in transactions:
        if t.committed:
            counts.acknowledged += t.state is State.ACKNOWLEDGED
            counts.serializable += t.isolation is Isolation.SERIALIZABLE
            counts.cleaned += all(t.start_ts not in world.shards[at].records for at in t.participants)
    return counts


def violations(
    seeds: Iterable[int], without: frozenset[Rule] = frozenset(), profile: Profile | None = None
) -> collections.Counter[str]:
    """How often each kind of violation was found over the seeds."""
    found: collections.Counter[str] = collections.Counter()
    for seed in seeds:
        try:
            run(seed, without, profile)
        except Violation as violation:
            found[str(violation)] += 1
    return found


def first_violation(
    seeds: Iterable[int], without: Rule, profile: Profile | None = None
) -> tuple[int, str] | None:
    """The first seed that shows that the rule is needed, and what it shows."""
    for seed in seeds:
        try:
            run(seed, frozenset({without}), profile)
        except Violation as violation:
            return seed, str(violation)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seeds", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--profile", choices=PROFILES)
    parser.add_argument("--without", nargs="*", default=[], type=Rule)
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    found = violations(seeds, frozenset(arguments.without), PROFILES.get(arguments.profile))
    print(f"seeds {arguments.seeds} violations {sum(found.values())} {dict(found) or ''}")


if __name__ == "__main__":
    main()
