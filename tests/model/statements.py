"""What a transaction's statements do: snapshot reads, locking and current reads, and writes in all their forms."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from tests.model.committing import decided
from tests.model.oracle import Oracle
from tests.model.rows import Record, Row, Where
from tests.model.rules import Abort, Rule
from tests.model.shard import Answer, Branch
from tests.model.transactions import Isolation, Read, Transaction
from tests.model.world import (
    DECISION_WAIT_STEPS,
    LOCK_WAIT_STEPS,
    VALIDATION_TRIES,
    Process,
    World,
    require_alive,
)

# Reads


def snapshot_read(world: World, t: Transaction, at: int, where: Where) -> Process:
    branch = yield from world.reach(t, at)
    if t.read_ts is None:
        t.oracle.require(t.start_ts)
        t.read_ts = t.oracle.now()
    yield from open_view(world, t, branch)
    assert branch.view is not None
    rows = branch.view.select(where, branch.too_new)
    t.snapshot_reads.append(_seen(branch, where, rows, frozenset(branch.rows)))


def open_view(world: World, t: Transaction, branch: Branch) -> Process:
    """[R2] and [R3]."""
    if branch.view is not None:
        return
    assert t.read_ts is not None
    yield from barrier(world, t.oracle, branch.at, t.read_ts)
    yield
    require_alive(branch)
    shard = world.up(branch.at)
    if world.keeps(Rule.NO_VIEW_BEHIND_MARK) and shard.cleaned_up_to > t.read_ts:
        raise Abort("the snapshot is too old")
    branch.view = shard.view()
    if world.keeps(Rule.TOO_NEW_VERSIONS):
        branch.too_new = branch.view.too_new(t.read_ts)


def barrier(world: World, oracle: Oracle, at: int, read_ts: int) -> Process:
    """Asked of the oracle that gave `read_ts`, or of a later one, which knows what it adopted."""
    for _ in range(DECISION_WAIT_STEPS):
        asked = oracle if oracle.live or world.random.random() < 0.5 else world.leader
        if not world.keeps(Rule.BARRIER) or (asked.behind_barrier(at, read_ts) and world.fenced(at, asked)):
            return
        yield
    raise Abort("an undecided commit did not end in time")


def stands(world: World, oracle: Oracle, at: int, token: tuple[int, int]) -> Generator[None, None, bool]:
    """[R5] Whether a read that began at `token` met no row of a rolled-back transaction. Waits for the undo."""
    oracle.require_lease()
    valid = oracle.token(at) == token
    if valid:
        met = oracle.cross_shard_on([at])
        yield from decided(met)
        valid = all(commit.outcome is Record.COMMITTED for commit in met) and oracle.token(at) == token
    for _ in range(DECISION_WAIT_STEPS):
        if valid or all(c.outcome is not Record.ROLLED_BACK for c in oracle.cross_shard_on([at])):
            return valid
        yield
    raise Abort("an undo did not end in time")


def scan(
    world: World, branch: Branch, where: Where, *, exclusive: bool, gaps: bool
) -> Generator[None, None, dict[int, Row]]:
    for _ in range(LOCK_WAIT_STEPS):
        require_alive(branch)
        found = world.up(branch.at).scan(branch, where, exclusive=exclusive, gaps=gaps)
        if found is not None:
            return found
        yield
    raise Abort("lock wait timeout")


def locking_read(world: World, t: Transaction, at: int, where: Where, *, exclusive: bool) -> Process:
    """FOR UPDATE, FOR SHARE; and every read under SERIALIZABLE."""
    branch = yield from _ready(world, t, at)
    for _ in range(VALIDATION_TRIES):
        token, began = t.oracle.token(at), world.step
        yield
        require_alive(branch)
        if t.isolation is Isolation.SERIALIZABLE and not world.keeps(Rule.SHARED_LOCKS):
            shard = world.shards[at]
            rows = {key: row for key, row in shard.current(branch).items() if where.meets(key, row)}
        else:
            rows = yield from scan(world, branch, where, exclusive=exclusive, gaps=_gaps(world, t))
            branch.holds_locks = True
        if not world.keeps(Rule.VALIDATED_LOCKING_READS) or (yield from stands(world, t.oracle, at, token)):
            break
    else:
        raise Abort("reads met what was rolled back again and again")
    require_alive(branch)
    if t.read_ts is not None and world.keeps(Rule.LOCKED_TOO_NEW):
        yield
        _require_not_passed_over(world, t, at, where, locking_read=True)
    _note_current(t, _seen(branch, where, rows, frozenset(branch.rows), began), shown=True)


def read_committed(world: World, t: Transaction, at: int, where: Where) -> Process:
    """One shard: any fresh view, once what it may have shown is decided."""
    branch = yield from world.reach(t, at)
    for _ in range(VALIDATION_TRIES):
        token, began = t.oracle.token(at), world.step
        yield
        require_alive(branch)
        shard = world.up(at)
        rows = {key: row for key, row in shard.current(branch).items() if where.meets(key, row)}
        rows = {key: row for key, row in rows.items() if key not in branch.rows}
        if not world.keeps(Rule.VALIDATED_READS) or (yield from stands(world, t.oracle, at, token)):
            t.statement_reads.append(_seen(branch, where, rows, frozenset(branch.rows), began))
            return
    raise Abort("reads met what was rolled back again and again")


def read_committed_everywhere(world: World, t: Transaction, where: Where) -> Process:
    """Over several shards the views must agree: by luck, which is looked for afterwards, or by a new try."""
    branches = []
    for at in range(len(world.shards)):
        branches.append((yield from world.reach(t, at)))
    for _ in range(VALIDATION_TRIES):
        t.oracle.require(t.start_ts)
        read_ts, began = t.oracle.now(), world.step
        for branch in branches:
            yield from barrier(world, t.oracle, branch.at, read_ts)
        reads, newer = [], False
        for branch in branches:
            yield
            require_alive(branch)
            rows = world.up(branch.at).view().select(where, frozenset())
            reads.append(_seen(branch, where, rows, frozenset(branch.rows), began, read_ts))
        for branch in branches:
            yield
            newer |= any(cts > read_ts for _, cts in world.up(branch.at).records.values())
            newer |= world.shards[branch.at].cleaned_up_to > read_ts and world.keeps(Rule.NO_VIEW_BEHIND_MARK)
        if not newer:
            t.statement_reads += reads
            return
    raise Abort("no consistent snapshot could be had")


# Writes


def change(
    world: World, t: Transaction, at: int, where: Where, *, delete: bool, unique: int | None
) -> Process:
    """UPDATE or DELETE. `unique`: the new value of the unique column, for one row by key."""
    branch = yield from _ready(world, t, at)
    for _ in range(VALIDATION_TRIES):
        token, began, own = t.oracle.token(at), world.step, frozenset(branch.rows)
        yield
        rows = yield from scan(world, branch, where, exclusive=True, gaps=_gaps(world, t))
        branch.holds_locks = True
        changed = 0
        for key, old in sorted(rows.items()):
            _check_writer(world, t, branch, old)
            new = None if delete else world.row(old.unique if unique is None else unique, t.start_ts)
            if (yield from _put(world, branch, key, new)) is Answer.DONE:
                changed += 1
                if unique is not None:
                    branch.depends_on_all |= world.keeps(Rule.UNIQUE_KEYS_FREED)
        around = where.key is None or changed != 1
        branch.depends_on_all |= around and world.keeps(Rule.LOOKED_AROUND)
        if (yield from _write_stands(world, t, branch, token, done=changed > 0, around=around)):
            break
    else:
        raise Abort("writes met what was rolled back again and again")
    if t.read_ts is not None and around and world.keeps(Rule.PASSED_OVER):
        yield
        _require_not_passed_over(world, t, at, where, locking_read=False)
    _note_current(t, _seen(branch, where, rows, own, began), shown=changed == 0)


def insert(world: World, t: Transaction, at: int, key: int, unique: int) -> Process:
    branch = yield from _ready(world, t, at)
    where = Where(key=key)
    for _ in range(VALIDATION_TRIES):
        token, began, own = t.oracle.token(at), world.step, frozenset(branch.rows)
        yield
        branch.holds_locks = True
        answer = yield from _insert_once(world, t, branch, key, unique)
        branch.depends_on_all |= world.keeps(Rule.UNIQUE_KEYS_FREED)
        done = answer is Answer.DONE
        if (yield from _write_stands(world, t, branch, token, done=done, around=True)):
            break
    else:
        raise Abort("writes met what was rolled back again and again")
    if done:
        _note_current(t, _seen(branch, where, {}, own, began), shown=False)


def _insert_once(
    world: World, t: Transaction, branch: Branch, key: int, unique: int
) -> Generator[None, None, Answer]:
    for _ in range(LOCK_WAIT_STEPS):
        require_alive(branch)
        shard = world.up(branch.at)
        if key in shard.current(branch):
            if shard.lock(branch, key, exclusive=False):
                return Answer.NOTHING
        else:
            answer = shard.put(branch, key, world.row(unique, t.start_ts))
            if answer is Answer.DONE and _clashes(world, t, branch, key):
                raise Abort("write conflict")
            if answer is not Answer.WAIT:
                return answer
        yield
    raise Abort("lock wait timeout")


def _clashes(world: World, t: Transaction, branch: Branch, key: int) -> bool:
    """[R1] The key is in the view although it could be inserted, or a too-new writer has changed it."""
    if t.read_ts is None or not world.keeps(Rule.INSERT_OVER_SNAPSHOT) or branch.before[key] is not None:
        return False
    assert branch.view is not None
    return key in branch.view.rows or any(
        at == key and old is not None and successor in branch.too_new
        for (successor, at), old in branch.view.history.items()
    )


def _put(world: World, branch: Branch, key: int, row: Row | None) -> Generator[None, None, Answer]:
    for _ in range(LOCK_WAIT_STEPS):
        require_alive(branch)
        answer = world.up(branch.at).put(branch, key, row)
        if answer is not Answer.WAIT:
            return answer
        yield
    raise Abort("lock wait timeout")


def _write_stands(
    world: World, t: Transaction, branch: Branch, token: tuple[int, int], *, done: bool, around: bool
) -> Generator[None, None, bool]:
    """[R5] A write that did nothing has only read. False: run it again."""
    looked = t.isolation is Isolation.READ_COMMITTED and around
    if done and not (looked and world.keeps(Rule.VALIDATED_LOOKS)):
        return True
    if not done and not world.keeps(Rule.VALIDATED_NOTHING):
        return True
    if (yield from stands(world, t.oracle, branch.at, token)):
        require_alive(branch)
        return True
    if done:
        raise Abort("what this statement looked at was rolled back")
    return False


def _check_writer(world: World, t: Transaction, branch: Branch, old: Row) -> None:
    """The triggers' [R4] and [R1]."""
    if old.writer < t.floor or old.writer == t.start_ts:
        return
    branch.replaced.add(old.writer)
    if t.read_ts is not None and world.keeps(Rule.WRITER_TOO_NEW):
        assert branch.view is not None
        record, commit_ts = branch.view.records.get(old.writer, (None, 0))
        if record is not Record.COMMITTED or commit_ts > t.read_ts:
            raise Abort("write conflict")


def _require_not_passed_over(
    world: World, t: Transaction, at: int, where: Where, *, locking_read: bool
) -> None:
    """[R1] Asked on a second connection, after the statement."""
    assert t.read_ts is not None
    if world.keeps(Rule.NO_VIEW_BEHIND_MARK) and world.up(at).cleaned_up_to > t.read_ts:
        raise Abort("the snapshot is too old")
    now = world.up(at).view()
    too_new = now.too_new(t.read_ts) - {t.start_ts}
    passed_over = any(
        old is not None and successor in too_new and old.writer not in too_new and where.meets(key, old)
        for (successor, key), old in now.history.items()
    )
    met = locking_read and any(
        row.writer in too_new and where.meets(key, row) for key, row in now.rows.items()
    )
    if passed_over or met:
        raise Abort("write conflict")


def _ready(world: World, t: Transaction, at: int) -> Generator[None, None, Branch]:
    branch = yield from world.reach(t, at)
    if t.read_ts is not None:
        yield from open_view(world, t, branch)
    return branch


def _gaps(world: World, t: Transaction) -> bool:
    return t.isolation is not Isolation.READ_COMMITTED and world.keeps(Rule.GAP_LOCKS)


def _note_current(t: Transaction, read: Read, *, shown: bool) -> None:
    """What was read under locks stays so; and under a snapshot it is what that holds, too."""
    if t.isolation is Isolation.READ_COMMITTED:
        (t.statement_reads if shown else t.looks).append(read)
        return
    t.locking_reads.append(replace(read, shown=shown))
    if t.read_ts is not None:
        t.snapshot_reads.append(read)


def _seen(
    branch: Branch,
    where: Where,
    rows: dict[int, Row],
    own: frozenset[int],
    began: int = 0,
    read_ts: int | None = None,
) -> Read:
    values = {key: row.value for key, row in rows.items() if key not in own}
    return Read(branch.at, where, values, own, began, read_ts)
