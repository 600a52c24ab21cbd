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
from txguard.engine import failpoints
from txguard.engine.branch import (
    Branch,
    Build,
    parse_too_new,
    set_snapshot,
    start_statements,
    too_new_query,
)
from txguard.engine.concurrent import gather
from txguard.engine.shard import Reply, Rows
from txguard.errors import Conflict, LockWaitTimeout

if TYPE_CHECKING:
    from txguard.engine.transaction import Transaction

READ_COMMITTED_TRIES = 3
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
    answers, reply = await branch.connection.relay(_opening(txn, branch), build(branch.shard, ()), None)
    if reply.error is None and parse_too_new(answers[-1]):
        await reply.drain()
        await _view_opened(txn, branch, answers[-1])
        return await txn.relay(branch, [], build(branch.shard, branch.too_new))
    txn.require_alive(branch, reply)
    await _view_opened(txn, branch, answers[-1])
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
        await _barrier(txn, closed, txn.read_ts)


async def _barrier(txn: Transaction, shards: Sequence[ShardName], read_ts: Timestamp) -> None:
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
    return [*start_statements(txn.isolation, with_view=True), query]


async def _open_view(txn: Transaction, branch: Branch) -> None:
    answers = await txn.run(branch, _opening(txn, branch))
    await _view_opened(txn, branch, answers[-1])


async def _view_opened(txn: Transaction, branch: Branch, too_new: Rows) -> None:
    assert txn.read_ts is not None
    branch.opened = branch.view_open = True
    branch.view_depth = len(branch.savepoints)
    branch.too_new = parse_too_new(too_new)
    if branch.variables_set:
        await txn.run(branch, [set_snapshot(txn.read_ts, branch.too_new)])


async def read_committed(txn: Transaction, branches: Sequence[Branch], build: Build) -> list[Reply]:
    """A snapshot per statement. On one shard any fresh view is one [R5]; over several the views must agree."""
    statements = {branch.shard: partial(build, branch.shard, ()) for branch in branches}
    if len(branches) == 1:
        return [await validated(txn, branches[0], statements[branches[0].shard])]
    shards = [branch.shard for branch in branches]

    async def relay_all() -> list[Reply]:
        return await gather([txn.relay_opening(branch, statements[branch.shard]()) for branch in branches])

    for _ in range(READ_COMMITTED_TRIES):
        read_ts = await txn.oracle(txn.engine.tso.read_ts(txn.started()))
        await _barrier(txn, shards, read_ts)
        replies = await relay_all()
        if any(reply.error for reply in replies) or not await _any_too_new(txn, branches, read_ts):
            return replies
        for reply in replies:
            await reply.drain()
    try:
        async with txn.engine.tso.quiet(txn.started(), shards, txn.engine.settings.quiet_timeout_s):
            return await relay_all()
    except (QuietExpired, TsoTimeout) as error:
        raise LockWaitTimeout("no consistent snapshot could be had in time; try again") from error


async def _any_too_new(txn: Transaction, branches: Sequence[Branch], read_ts: Timestamp) -> bool:
    """Asked of views later than the statement's own: where even they hold nothing too new, neither did those."""
    answers = await gather([txn.run(branch, [too_new_query(read_ts)]) for branch in branches])
    return any(parse_too_new(rows[-1]) for rows in answers)


async def validated(txn: Transaction, branch: Branch, build: Callable[[], Any]) -> Reply:
    """[R5] inside a transaction: a locking read, or a READ COMMITTED read, may have met undecided rows."""
    tso, timeout_s = txn.engine.tso, txn.engine.settings.barrier_timeout_s
    for _ in range(VALIDATION_TRIES):
        token = tso.read_token_nowait(branch.shard)
        if token is None:
            token = await txn.oracle(tso.read_token(branch.shard))
        reply = await txn.relay_opening(branch, build())
        if reply.error is not None or failpoints.active("without_R5"):
            return reply
        try:
            stands = tso.validate_read_nowait(branch.shard, token)
            if stands is None:
                stands = await tso.validate_read(branch.shard, token, timeout_s)
        except TsoTimeout as error:
            raise LockWaitTimeout(
                f"an undecided commit on {branch.shard} did not end in time; try again"
            ) from error
        if stands:
            return reply
        await reply.drain()
    raise Conflict(f"reads on shard {branch.shard} met commits that were rolled back again and again")
