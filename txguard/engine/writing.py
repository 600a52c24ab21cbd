"""Writes and locking reads on the branches of a transaction: the same on all shards or on none.

The rules this file keeps, beside that: what a write replaced, the triggers note; what it only *looked at* to find or
compute its rows may be undecided, too. So a write that is no point by whole primary key makes its transaction depend
on every commit that is undecided on the shard [R4]; and one that did nothing (no row, a duplicate) has only read, so
its answer stands once those commits are decided, and is asked again otherwise [R5].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from tso.types import ShardName
from txguard.engine import again, failpoints, snapshot
from txguard.engine.branch import Branch, Isolation
from txguard.engine.concurrent import gather
from txguard.engine.conflicts import ConflictCheck
from txguard.engine.failures import DATA_ERRNOS, STATEMENT_ERRNOS
from txguard.engine.passed_over import raise_on_conflict
from txguard.engine.point_write import FirstTry, note_written
from txguard.engine.shard import ConnectionLost, Reply, borrow
from txguard.errors import Conflict, LockWaitTimeout

if TYPE_CHECKING:
    from txguard.engine.transaction import Transaction

STATEMENT_SAVEPOINT = "txg_statement"


class WriteStatement(NamedTuple):
    """See `Transaction.write`."""

    build: Callable[[ShardName], Any]
    locking_read: bool
    shares: bool
    inserts: bool
    checks: Sequence[ConflictCheck]
    expected_rows: int | None
    first: FirstTry | None
    look: again.Look | None

    def looked_around(self, replies: Sequence[Reply]) -> bool:
        """Whether it may have read rows other than those that it replaced."""
        if self.expected_rows is None:
            return self.inserts or bool(self.checks)
        return sum(reply.affected_rows for reply in replies) != self.expected_rows


async def write(txn: Transaction, branches: Sequence[Branch], statement: WriteStatement) -> list[Reply]:
    if statement.locking_read:
        replies = await gather(
            [
                snapshot.validated(
                    txn,
                    branch,
                    partial(statement.build, branch.shard),
                    shares=statement.shares,
                    look=statement.look,
                )
                for branch in branches
            ]
        )
    else:
        replies = await _write_validated(txn, branches, statement)
    if any(reply.error for reply in replies):
        return replies
    note_written(txn)
    around = statement.looked_around(replies)
    for branch, reply in zip(branches, replies, strict=True):
        branch.wrote |= not statement.locking_read and has_effect(reply)
        branch.depends_on_all |= around and not statement.locking_read
    if txn.compared_ts is not None and statement.checks and around and not failpoints.active("without_R1"):
        await _check_conflicts(txn, branches, statement)
    return replies


def has_effect(reply: Reply) -> bool:
    """RETURNING gives rows in place of their number."""
    return reply.error is None and (reply.affected_rows > 0 or reply.has_rows)


async def _write_validated(
    txn: Transaction, branches: Sequence[Branch], statement: WriteStatement
) -> list[Reply]:
    for attempt in range(snapshot.VALIDATION_TRIES):
        first = statement.first if attempt == 0 else None
        if first is None:
            await _take_tokens(txn, branches, ask=txn.isolation is Isolation.READ_COMMITTED)
        try:
            replies = await _write_once(txn, branches, statement, first)
        except ConnectionLost as error:
            if attempt == 0:
                raise
            raise snapshot.locked_what_was_undone() from error
        done = any(has_effect(reply) for reply in replies) and not any(reply.error for reply in replies)
        if not _to_be_validated(txn, statement, replies, done=done):
            return replies
        if any(branch.token is None for branch in branches):
            await _take_tokens(txn, branches, ask=True)
            continue  # It did nothing, so it may run again: now it is known since when.
        if all(await gather([_stands(txn, branch, done=done) for branch in branches])):
            return replies
        if done:
            raise Conflict("a transaction whose rows this statement looked at was rolled back; run it again")
    raise Conflict("statements met commits that were rolled back again and again; run the transaction again")


def _to_be_validated(
    txn: Transaction, statement: WriteStatement, replies: Sequence[Reply], *, done: bool
) -> bool:
    """Under REPEATABLE READ the rows looked at stay locked, so COMMIT's wait for the undecided is enough."""
    if failpoints.active("without_R5"):
        return False
    errors = [reply.error for reply in replies if reply.error is not None]
    if errors:
        return any(error.errno in DATA_ERRNOS for error in errors)
    return not done or (txn.isolation is Isolation.READ_COMMITTED and statement.looked_around(replies))


async def _take_tokens(txn: Transaction, branches: Sequence[Branch], *, ask: bool) -> None:
    """The shards' rollback counters. A remote oracle is asked only when it must be: an older answer is as good."""
    tso = txn.engine.tso
    for branch in branches:
        token = tso.read_token_nowait(branch.shard)
        if token is not None:
            branch.token = token
        elif ask and branch.token is None:
            branch.token = await txn.oracle(tso.read_token(branch.shard))


async def _stands(txn: Transaction, branch: Branch, *, done: bool) -> bool:
    token, branch.token = branch.token, None
    assert token is not None
    try:
        return await snapshot.stands(txn, branch.shard, token)
    except LockWaitTimeout as error:
        if done:
            raise Conflict(f"rolled back: {error}") from error
        raise


async def _write_once(
    txn: Transaction, branches: Sequence[Branch], statement: WriteStatement, first: FirstTry | None
) -> list[Reply]:
    """The statement on every branch, undone on all of them where one has an error."""
    savepoint = len(branches) > 1 and not txn.implicit
    if first is None:
        if failed := await again.look_first(txn, branches, statement.look):
            for branch, reply in zip(branches, failed, strict=True):
                if reply.error is not None and reply.error.errno not in STATEMENT_ERRNOS:
                    await _require_open(txn, branch, reply.error.errno)
            return failed
        built = [statement.build(branch.shard) for branch in branches]
        txn.sent = True
        replies = await gather(
            [
                txn.relay_opening(branch, text, STATEMENT_SAVEPOINT if savepoint else None)
                for branch, text in zip(branches, built, strict=True)
            ]
        )
    else:
        replies = [_taken_up(txn, branches[0], first)]
    errors = [reply.error for reply in replies if reply.error is not None]
    if errors and savepoint:
        undo = [f"ROLLBACK TO SAVEPOINT {STATEMENT_SAVEPOINT}"]
        await gather([txn.run(branch, undo) for branch in branches])
    elif errors and len(branches) == 1 and errors[0].errno not in STATEMENT_ERRNOS:
        await _require_open(txn, branches[0], errors[0].errno)
    return replies


def _taken_up(txn: Transaction, branch: Branch, first: FirstTry) -> Reply:
    if first.reply is None:
        assert first.error is not None
        raise first.error
    txn.require_alive(branch, first.reply)
    return first.reply


async def _require_open(txn: Transaction, branch: Branch, errno: int) -> None:
    """After the error `errno`: the next statement must not run outside of the local transaction that it believes in."""
    await txn.run(branch, ["DO 0"])
    if not branch.connection.in_transaction:
        raise ConnectionLost(f"{branch.shard} rolled its transaction back at error {errno}")


async def _check_conflicts(txn: Transaction, branches: Sequence[Branch], statement: WriteStatement) -> None:
    """[R1] for the rows that a current read passed over or met: asked on a second connection."""
    settings, read_ts, start_ts = txn.engine.settings, txn.compared_ts, txn.started()
    assert read_ts is not None

    async def check(name: ShardName) -> None:
        async with borrow(txn.engine.shards[name], settings.acquire_timeout_s) as connection:
            await raise_on_conflict(
                connection,
                statement.checks,
                read_ts=read_ts,
                start_ts=start_ts,
                locking_read=statement.locking_read,
                timeout_s=settings.control_timeout_s,
            )

    await gather([check(branch.shard) for branch in branches])
