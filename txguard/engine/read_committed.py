"""READ COMMITTED: a snapshot per statement.

On one shard any fresh view is one, once what it may have shown is decided [R5]. Over several the views must agree:
first by luck (nothing was committed meanwhile, which is nearly always so), then by a snapshot of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from tso.errors import QuietExpired, TsoTimeout
from tso.types import Timestamp
from txguard.engine.branch import Branch, Build, Isolation
from txguard.engine.concurrent import gather
from txguard.engine.shard import Reply
from txguard.engine.snapshot import barrier, validated
from txguard.errors import LockWaitTimeout

if TYPE_CHECKING:
    from txguard.engine.transaction import Transaction

LUCKY_TRIES = 3


async def read_committed(txn: Transaction, branches: Sequence[Branch], build: Build) -> list[Reply]:
    if len(branches) == 1:
        return [await validated(txn, branches[0], partial(build, branches[0].shard, ()))]
    shards = [branch.shard for branch in branches]
    for _ in range(LUCKY_TRIES):
        read_ts = await txn.oracle(txn.engine.tso.read_ts(txn.started()))
        await barrier(txn, shards, read_ts)
        replies = await _relay_all(txn, branches, build)
        if any(reply.error for reply in replies) or not await _anything_newer(txn, branches, read_ts):
            return replies
        for reply in replies:
            await reply.drain()
    if not any(branch.wrote for branch in txn.branches.values()):
        return await _in_own_snapshot(txn, branches, build)
    try:
        async with txn.engine.tso.quiet(txn.started(), shards, txn.engine.settings.quiet_timeout_s):
            return await _relay_all(txn, branches, build)
    except (QuietExpired, TsoTimeout) as error:
        raise LockWaitTimeout("no consistent snapshot could be had in time; try again") from error


async def _relay_all(txn: Transaction, branches: Sequence[Branch], build: Build) -> list[Reply]:
    statements = [build(branch.shard, ()) for branch in branches]
    return await gather(
        [txn.relay_opening(branch, statement) for branch, statement in zip(branches, statements, strict=True)]
    )


async def _in_own_snapshot(txn: Transaction, branches: Sequence[Branch], build: Build) -> list[Reply]:
    """On connections of its own: this transaction has written nothing that the statement would have to see."""
    own = txn.engine.transaction(txn.connections, Isolation.REPEATABLE_READ, implicit=True)
    try:
        return await own.read([branch.shard for branch in branches], build)
    finally:
        await own.rollback()


async def _anything_newer(txn: Transaction, branches: Sequence[Branch], read_ts: Timestamp) -> bool:
    """Asked of views later than the statement's own: where even they hold nothing newer, neither did those.

    Rolled-back records count: what the statement saw as undecided may have been undone since.
    """
    query = f"SELECT 1 FROM _txguard.txn WHERE commit_ts > {read_ts} LIMIT 1"
    answers = await gather([txn.run(branch, [query]) for branch in branches])
    return any(rows[-1].rows for rows in answers)
