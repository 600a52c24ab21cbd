"""COMMIT, prewrite and resolve, as in txguard/engine/{commit,resolve}.py."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from tests.model.oracle import Commit, Oracle
from tests.model.rows import Record
from tests.model.rules import Abort, Crash, Rule, Violation
from tests.model.shard import Branch, Shard
from tests.model.transactions import State, Transaction
from tests.model.world import DECISION_WAIT_STEPS, Process, World


def decided(commits: Sequence[Commit]) -> Process:
    """Returns as soon as one is rolled back."""
    for _ in range(DECISION_WAIT_STEPS):
        if any(commit.outcome is Record.ROLLED_BACK for commit in commits):
            return
        if all(commit.outcome is not None for commit in commits):
            return
        yield
    raise Abort("an undecided commit did not end in time")


def commit(world: World, t: Transaction) -> Process:
    writers = [branch for branch in t.branches.values() if branch.rows]
    readers = [branch for branch in t.branches.values() if not branch.rows]
    if not writers:
        yield from _end_reading(world, t, readers)
        return
    if not world.keeps(Rule.LOCKS_UNTIL_COMMIT_TS):
        for branch in readers:
            world.shards[branch.at].end(branch)
    yield
    guarded = yield from _begin_commit(world, t, writers)
    if world.keeps(Rule.PROVEN_BEFORE_PREWRITE):
        yield from _prove_locks(world, t, readers)
    failed = False
    held_back = [branch for branch in writers if guarded and branch.replaced]
    at_once = [branch for branch in writers if branch not in held_back]
    for branch in [*world.random.sample(at_once, len(at_once)), *held_back]:
        yield from world.pause()
        if world.random.random() < world.profile.crash_in_commit:
            raise Crash
        if branch in held_back and not failed:
            failed |= not (yield from _dependencies_hold(world, t, branch))
        failed |= (failed and branch in held_back) or not _prewrite(world, t, branch)
    if not world.keeps(Rule.PROVEN_BEFORE_PREWRITE):
        yield from _prove_locks(world, t, readers)
    yield
    if failed:
        raise Abort("a prewrite failed")
    _tell_end(world, t, Record.COMMITTED)
    t.state, t.ended = State.ACKNOWLEDGED, world.step


def _end_reading(world: World, t: Transaction, readers: Sequence[Branch]) -> Process:
    """It wrote nothing. Where it read under locks they were all held at one moment: before the first is let go."""
    t.locked_at = t.oracle.clock
    proven = True
    for branch in readers:
        yield
        proven &= branch.alive or not branch.holds_locks
        world.shards[branch.at].end(branch)
    if not proven and world.keeps(Rule.READ_ONLY_PROVEN):
        raise Abort("locks were lost")
    t.state, t.ended = State.ACKNOWLEDGED, world.step
    t.oracle.end(t.start_ts)


def _prove_locks(world: World, t: Transaction, readers: Sequence[Branch]) -> Process:
    """Ends the branches that were not written: `commit_ts` is taken, and nothing is prewritten yet."""
    for branch in readers:
        if branch.holds_locks:
            yield
            if (
                not branch.alive
                and world.keeps(Rule.LOCKS_PROVEN)
                and world.keeps(Rule.LOCKS_UNTIL_COMMIT_TS)
            ):
                raise Abort("locks were lost")
        world.shards[branch.at].end(branch)


def _begin_commit(world: World, t: Transaction, writers: Sequence[Branch]) -> Generator[None, None, bool]:
    """[R4] True: `commit_ts` is taken, but each prewrite has to look at its own dependencies first."""
    oracle = t.oracle
    oracle.require(t.start_ts)
    t.participants = tuple(sorted(branch.at for branch in writers))
    on_all = [branch.at for branch in t.branches.values() if branch.depends_on_all]
    for branch in writers:
        for key, row in branch.rows.items():
            t.writes[branch.at, key] = row
            t.before[branch.at, key] = branch.before[key]
    guarded = False
    if world.keeps(Rule.DEPENDENCIES):
        without_wait = not oracle.adopted and not _earlier(oracle, on_all, t.written_by)
        if without_wait and world.random.random() < 0.5:
            guarded = bool(_earlier(oracle, t.participants, t.written_by))
        elif oracle.cross_shard_on([*t.participants, *on_all]):
            yield from _wait_for_dependencies(world, t, writers, on_all)
    t.commit_ts = oracle.begin_commit(t.start_ts, t.participants)
    return guarded


def _earlier(oracle: Oracle, shards: Sequence[int], commit_ts: int) -> list[Commit]:
    return [found for found in oracle.cross_shard_on(shards) if found.commit_ts <= commit_ts]


def _wait_for_dependencies(
    world: World, t: Transaction, writers: Sequence[Branch], on_all: Sequence[int]
) -> Process:
    oracle = t.oracle
    yield
    oracle.require(t.start_ts)
    replaced = set().union(*(branch.replaced for branch in writers))
    depended_on = [oracle.outstanding[w] for w in replaced if w in oracle.outstanding]
    depended_on = [found for found in depended_on if found.cross_shard] + oracle.cross_shard_on(on_all)
    if world.keeps(Rule.ADOPTED_BELOW_FLOOR) and oracle.adopted:
        depended_on += [c for c in oracle.cross_shard_on(t.participants) if c.start_ts < t.floor]
    yield from decided(depended_on)
    if replaced & oracle.rolled_back or any(c.outcome is Record.ROLLED_BACK for c in depended_on):
        raise Abort("a dependency was rolled back")


def _dependencies_hold(world: World, t: Transaction, branch: Branch) -> Generator[None, None, bool]:
    """Of one branch, with `commit_ts` taken: it waits for commits with a lower one only, so nobody in a circle."""
    oracle = t.oracle
    assert t.commit_ts is not None
    if t.start_ts not in oracle.outstanding or branch.replaced & oracle.rolled_back:
        return False
    depended_on = [oracle.outstanding[w] for w in branch.replaced if w in oracle.outstanding]
    depended_on = [c for c in depended_on if c.cross_shard and c.commit_ts < t.commit_ts]
    try:
        yield from decided(depended_on)
    except Abort:
        return False
    return all(c.outcome is Record.COMMITTED for c in depended_on)


def _prewrite(world: World, t: Transaction, branch: Branch) -> bool:
    """False: it failed, as far as the coordinator can tell."""
    shard = world.shards[branch.at]
    chance = world.random.random()
    if branch.alive and (shard.down or chance < world.profile.failed_prewrite):
        if shard.down or chance < world.profile.failed_prewrite / 3:
            t.late.add(branch)
            world.spawn(_late_prewrite(world, t, branch))
            return False
        if chance < world.profile.failed_prewrite * 2 / 3:
            execute_prewrite(world, t, branch)  # its answer is lost
        shard.end(branch)
        return False
    done = execute_prewrite(world, t, branch)
    shard.end(branch)
    return done


def _late_prewrite(world: World, t: Transaction, branch: Branch) -> Process:
    """The coordinator gave up on it; the server executes it later all the same."""
    for _ in range(world.random.randint(5, 200)):
        yield
    while world.shards[branch.at].down:
        yield
    execute_prewrite(world, t, branch)
    world.shards[branch.at].end(branch)


def execute_prewrite(world: World, t: Transaction, branch: Branch) -> bool:
    shard = world.shards[branch.at]
    assert t.commit_ts is not None
    if not branch.alive or shard.down or t.start_ts in shard.records:
        return False
    if t.oracle.epoch not in shard.epochs:
        return False
    shard.prewrite(branch, t.commit_ts, t.participants)
    t.prewritten.add(branch.at)
    return True


def give_up(world: World, t: Transaction) -> Process:
    """The coordinator after an error: nothing was prewritten, or a resolver tells."""
    for branch in t.branches.values():
        if branch not in t.late:
            world.shards[branch.at].end(branch)
    if t.commit_ts is None:
        t.state, t.ended = State.ROLLED_BACK, world.step
        t.oracle.end(t.start_ts)
        return
    outcome = yield from resolve(world, Commit(t.start_ts, t.commit_ts, t.participants))
    t.oracle.end(t.start_ts)  # the janitor's, if anything is left to do
    if outcome is None:
        t.state = State.UNKNOWN
        return
    t.state = State.ACKNOWLEDGED if outcome is Record.COMMITTED else State.ROLLED_BACK
    t.ended = world.step


def _tell_end(world: World, t: Transaction, outcome: Record) -> None:
    for oracle in {t.oracle, world.leader}:
        oracle.end_commit(t.start_ts, outcome)


def resolve(world: World, orphan: Commit) -> Generator[None, None, Record | None]:
    """Anyone may. None: not known yet, or forgotten."""
    outcome, silent = yield from _decide(world, orphan)
    if outcome is None:
        return None
    t = world.transactions[orphan.start_ts]
    for oracle in {t.oracle, world.leader}:
        oracle.decide(orphan.start_ts, outcome)
    yield
    for at in orphan.participants:
        shard = world.shards[at]
        if shard.down:
            return outcome if outcome is Record.COMMITTED else None
        if outcome is Record.COMMITTED:
            shard.locks.pop(orphan.start_ts, None)
        else:
            if at in silent and world.keeps(Rule.TOMBSTONE_BEFORE_UNDO):
                _record_or_tombstone(world, shard, orphan)
            for blocker in list(shard.blockers(orphan.start_ts)):
                shard.end(blocker)
            shard.undo(orphan.start_ts)
        yield
    _tell_end(world, t, outcome)
    return outcome


def _decide(world: World, orphan: Commit) -> Generator[None, None, tuple[Record | None, set[int]]]:
    records: list[Record] = []
    silent: set[int] = set()
    forgotten = False
    for at in world.random.sample(orphan.participants, len(orphan.participants)):
        shard = world.shards[at]
        yield from world.pause()
        if shard.down:
            silent.add(at)
        elif (record := _record_or_tombstone(world, shard, orphan)) is None:
            forgotten = True
        else:
            records.append(record)
    if Record.ROLLED_BACK in records:
        return Record.ROLLED_BACK, silent
    if silent or (forgotten and (world.keeps(Rule.FORGOTTEN_IS_UNKNOWN) or not records)):
        return None, silent  # what was read elsewhere may be older than the decision that was forgotten here
    return Record.COMMITTED, silent


def _record_or_tombstone(world: World, shard: Shard, orphan: Commit) -> Record | None:
    """None: it was decided and cleaned long ago [R7]."""
    if orphan.start_ts not in shard.records:
        mark = shard.mark if orphan.cross_shard else shard.cleaned_up_to
        if orphan.commit_ts <= mark and world.keeps(Rule.NO_TOMBSTONE_BEHIND_MARK):
            return None
        if world.transactions[orphan.start_ts].committed:
            raise Violation("a tombstone for what is committed")
        shard.records[orphan.start_ts] = (Record.ROLLED_BACK, orphan.commit_ts)
    return shard.records[orphan.start_ts][0]
