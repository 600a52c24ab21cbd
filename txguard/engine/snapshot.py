"""What a transaction sees: the views behind its snapshot, and reads that must not show what is undecided.

The rules this file keeps: a view for `read_ts` opens only behind the barrier [R2]; a view that holds versions
newer than `read_ts` is read through its X [R3]; a current read stands only once the commits that it may have met
are decided [R5]. Source: docs/protocol.md, "A transaction" and "Reads outside a snapshot".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tso.errors import QuietExpired, TsoTimeout
from tso.types import ShardName, Timestamp
from txguard.engine import again, failpoints
from txguard.engine.branch import (
    Branch,
    Build,
    parse_too_new,
    start_statements,
    too_new_query,
)
from txguard.engine.concurrent import gather
from txguard.engine.marks import is_too_old
from txguard.engine.shard import ConnectionLost, Reply, Rows
from txguard.errors import Conflict, LockWaitTimeout

if TYPE_CHECKING:
    from txguard.engine.transaction import Transaction

VALIDATION_TRIES = 10


async def read(txn: Transaction, branches: Sequence[Branch], build: Build, *, quiet: bool) -> list[Reply]:
    """A consistent read at the transaction's one snapshot, which is taken now if there is none yet."""
    if txn.read_ts is None and quiet:
        await _open_quietly(txn, branches)
    else:
        await _pass_barrier(txn, branches)
    return await gather([_read_one(txn, branch, build) for branch in branches])


async def _read_one(txn: Transaction, branch: Branch, build: Build) -> Reply:
    """One round trip: the view opens in the same packet, and only a view with an X needs a second."""
    if branch.view_open:
        return await txn.relay(branch, [], build(branch.shard, branch.too_new))
    statement = build(branch.shard, ())
    answers, reply = await branch.connection.relay(_opening(txn, branch), statement, None)
    txn.require_alive(branch, reply)
    _view_opened(branch, answers[-1])
    if reply.error is None and branch.too_new:
        await reply.drain()
        return await txn.relay(branch, [], build(branch.shard, branch.too_new))
    return reply


async def open_views(txn: Transaction, branches: Sequence[Branch], *, quiet: bool) -> None:
    """Have a view at `read_ts` on every one of `branches`."""
    if txn.read_ts is None and quiet:
        await _open_quietly(txn, branches)
        return
    await _pass_barrier(txn, branches)
    await gather([_open_view(txn, branch) for branch in branches if not branch.view_open])


async def _pass_barrier(txn: Transaction, branches: Sequence[Branch]) -> None:
    """Take `read_ts` if there is none, and let views at it be opened on `branches` [R2]."""
    if txn.read_ts is None:
        txn.read_ts = await txn.oracle(txn.engine.tso.read_ts(txn.started()))
    closed = [branch.shard for branch in branches if not branch.view_open]
    if closed:
        await barrier(txn, closed, txn.read_ts)


async def barrier(txn: Transaction, shards: Sequence[ShardName], read_ts: Timestamp) -> None:
    if failpoints.active("without_R2"):
        return
    try:
        await txn.engine.tso.wait_barrier(shards, read_ts, txn.engine.settings.barrier_timeout_s)
    except TsoTimeout as error:
        raise LockWaitTimeout(
            f"an undecided commit on {', '.join(shards)} did not end in time (SHOW TXGUARD LOCKS names it); try again"
        ) from error


async def _open_quietly(txn: Transaction, branches: Sequence[Branch]) -> None:
    """A join's snapshot: no commit is under way while its views open, so that none of them has an X."""
    shards = [branch.shard for branch in branches]
    try:
        async with txn.engine.tso.quiet(
            txn.started(), shards, txn.engine.settings.quiet_timeout_s
        ) as read_ts:
            txn.read_ts = read_ts
            await gather([_open_view(txn, branch) for branch in branches])
    except QuietExpired:
        pass  # The views stand behind the barrier all the same; their X says what is too new.
    except TsoTimeout as error:
        raise LockWaitTimeout(
            "no quiet snapshot could be had: undecided commits did not end in time; try again"
        ) from error


def _opening(txn: Transaction, branch: Branch) -> list[str]:
    assert txn.read_ts is not None
    query = too_new_query(txn.read_ts)
    if branch.opened:
        return [query]  # A consistent read: the first one of the local transaction opens its view.
    branch.opened = True  # Whatever becomes of the packet, its local transaction may have begun.
    return [*start_statements(txn.isolation, with_view=True), query]


async def _open_view(txn: Transaction, branch: Branch) -> None:
    answers = await txn.run(branch, _opening(txn, branch))
    _view_opened(branch, answers[-1])


def _view_opened(branch: Branch, too_new: Rows) -> None:
    branch.view_open = True
    branch.view_depth = len(branch.savepoints)
    branch.too_new = parse_too_new(too_new)
    if is_too_old(branch.too_new):
        raise Conflict("the snapshot is older than what is kept of old versions; run the transaction again")
    branch.snapshot_unset = branch.variables_set


async def read_current(
    txn: Transaction, branches: Sequence[Branch], build: Build, look: again.Look | None = None
) -> list[Reply]:
    """SERIALIZABLE: the present rows, which the shard locks; they stand as soon as what was undecided is decided."""
    return await gather(
        [validated(txn, branch, partial(build, branch.shard, ()), look=look) for branch in branches]
    )


async def validated(
    txn: Transaction,
    branch: Branch,
    build: Callable[[], Any],
    *,
    shares: bool = False,
    look: again.Look | None = None,
) -> Reply:
    """[R5] inside a transaction: a locking read, or a READ COMMITTED read, may have met undecided rows."""
    tso = txn.engine.tso
    for attempt in range(VALIDATION_TRIES):
        token = tso.read_token_nowait(branch.shard)
        if token is None:
            token = await txn.oracle(tso.read_token(branch.shard))
        try:
            reply = await again.read(txn, branch, build, look, shares=shares)
        except ConnectionLost as error:
            if attempt == 0:
                raise
            raise locked_what_was_undone() from error
        if reply.error is not None or failpoints.active("without_R5"):
            return reply
        if await stands(txn, branch.shard, token):
            return reply
        await reply.drain()
    raise Conflict(f"reads on shard {branch.shard} met commits that were rolled back again and again")


def locked_what_was_undone() -> Conflict:
    """The undo waited for this transaction's locks, and had its connection killed."""
    return Conflict("the rows that this transaction locked were rolled back; run it again")


async def stands(txn: Transaction, shard: ShardName, token: int) -> bool:
    """Whether what was read since `token` was taken is committed. Waits for the undecided. Raises LockWaitTimeout."""
    tso = txn.engine.tso
    known = tso.validate_read_nowait(shard, token)
    if known is not None:
        return known
    try:
        return await tso.validate_read(shard, token, txn.engine.settings.barrier_timeout_s)
    except TsoTimeout as error:
        raise LockWaitTimeout(f"an undecided commit on {shard} did not end in time; try again") from error
