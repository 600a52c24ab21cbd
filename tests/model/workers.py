"""What goes on beside the clients: janitor, scan for forgotten locks, decided mark, cleaner, fail-over, restarts."""

from __future__ import annotations

from tests.model.committing import resolve
from tests.model.oracle import Commit, Oracle
from tests.model.rows import Record
from tests.model.rules import Abort, Rule
from tests.model.shard import Shard
from tests.model.world import RETENTION, Process, World


def settle(world: World, start_ts: int) -> Process:
    """The janitor with one orphan: again and again until its shards have answered."""
    while (orphan := world.leader.outstanding.get(start_ts)) is not None:
        for _ in range(world.random.choice((3, 15, 120))):
            yield
        yield from resolve(world, orphan)


def scan_locks(world: World) -> Process:
    """Lock records that no coordinator deletes any more. Asked of the oracle after the locks were read."""
    for shard in world.shards:
        if shard.down or not world.fenced(shard.number, world.leader):
            continue
        found = dict(shard.locks)
        yield
        outstanding = set(world.leader.outstanding)
        for start_ts, (commit_ts, participants) in found.items():
            if start_ts not in outstanding:
                yield from resolve(world, Commit(start_ts, commit_ts, participants))


def mark_decided(world: World, oracle: Oracle, at: int) -> Process:
    """[D] Whoever asks may be slow, and the oracle deposed: what it says has ended has ended for ever."""
    shard = world.shards[at]
    fenced = at in oracle.fenced
    if world.keeps(Rule.MARK_FENCED) and not fenced:
        return
    up_to, locks = oracle.clock, {}
    for commit in oracle.cross_shard_on([at]):
        if world.random.random() < 0.5:
            locks[commit.start_ts] = (commit.commit_ts, commit.participants)
        else:
            up_to = min(up_to, commit.commit_ts - 1)
    if not world.keeps(Rule.MARK_LOCKS):
        up_to, locks = oracle.clock, {}
    for _ in range(world.random.choice((1, 1, 1, 30, 400))):
        yield
    if shard.down:
        return
    lowest = shard.decided if world.keeps(Rule.MARK_ABOVE) else 0
    shard.raise_decided(up_to, {s: lock for s, lock in locks.items() if lowest < lock[0] <= up_to})
    yield from world.pause()
    for start_ts in locks:
        if start_ts not in oracle.outstanding and not shard.down:
            shard.locks.pop(start_ts, None)


def clean(world: World) -> Process:
    """[R6] and [R7]: the mark first, and nothing beyond it."""
    leader = world.leader
    try:
        safe_point = leader.safe_point(RETENTION)
    except Abort:
        return
    held: set[int] = set()
    decided = safe_point
    all_answered = True
    for shard in world.shards:
        yield
        if shard.down or shard.number not in leader.fenced:
            all_answered = False
        else:
            held |= {commit_ts for commit_ts, _ in shard.locks.values()}
            decided = min(decided, shard.decided)
    if not world.keeps(Rule.CLEAN_ONLY_UNLOCKED):
        held, all_answered, decided = set(), True, safe_point
    if not world.keeps(Rule.CLEAN_ONLY_DECIDED):
        decided = safe_point
    settled = min([decided, *(commit_ts - 1 for commit_ts in held)]) if all_answered else 0
    for shard in world.shards:
        yield
        if not shard.down and shard.number in leader.fenced and leader.epoch == max(shard.epochs):
            _clean_shard(world, shard, safe_point, settled)


def _clean_shard(world: World, shard: Shard, safe_point: int, settled: int) -> None:
    """One local transaction, with the marks. Up to the safe point only what no other shard has a part of."""
    shard.single_shard_mark = max(shard.single_shard_mark, safe_point)
    shard.mark = max(shard.mark, settled)
    late = {branch.start_ts for branch in shard.branches} if world.keeps(Rule.KEEP_TOMBSTONES) else set()
    gone = {
        start_ts
        for start_ts, (record, commit_ts) in shard.records.items()
        if commit_ts <= (safe_point if len(world.transactions[start_ts].participants) == 1 else settled)
        and (record is Record.COMMITTED or start_ts not in late)
    }
    shard.history = {at: old for at, old in shard.history.items() if at[0] not in gone}
    shard.records = {start_ts: record for start_ts, record in shard.records.items() if start_ts not in gone}


def fail_over(world: World) -> Process:
    """A new leader, whatever becomes of the old one: it may be dead, or awake and deposed."""
    for _ in range(world.random.randint(10, 60)):
        yield
    old = world.leader
    old.live = False
    world.deposed = old
    # Timestamps of two leaders never collide, whatever rule is left out: they differ in parity.
    clock = old.clock + 101 if world.keeps(Rule.ABOVE_OLD_BOUND) else max(0, old.clock - 60) | 1
    if old.epoch % 2:
        clock = clock - clock % 2
    leader = world.leader = Oracle(old.epoch + 1, clock, keeps_lease=old.keeps_lease)
    for shard in world.random.sample(world.shards, len(world.shards)):
        world.spawn(fence(world, leader, shard))


def fence(world: World, leader: Oracle, shard: Shard) -> Process:
    for _ in range(world.random.randint(0, 60)):
        yield
    while shard.down:
        yield
    if leader is not world.leader:
        return
    shard.epochs.add(leader.epoch)
    yield
    for branch in list(shard.branches):
        if world.random.random() < 0.5:  # KILL is no barrier: what runs may come to its end
            shard.end(branch)
    yield
    if world.keeps(Rule.FENCE):
        shard.epochs = {epoch for epoch in shard.epochs if epoch >= leader.epoch}
    yield
    for start_ts, (commit_ts, participants) in shard.undecided().items():
        if world.keeps(Rule.ADOPT):
            leader.adopt(start_ts, commit_ts, participants)
        yield
    leader.fenced.add(shard.number)


def restart(world: World, shard: Shard) -> Process:
    """kill -9 of a server: local transactions are lost, what was committed is not. Or SIGSTOP: nothing is lost."""
    if world.random.random() < 0.5:
        shard.restart()
    shard.down = True
    for _ in range(world.random.choice((3, 20, 150))):
        yield
    shard.down = False
