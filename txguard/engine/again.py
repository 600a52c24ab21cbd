"""[S-again] What looks a row up by a unique secondary index of MySQL's must not have waited.

Such a look-up, where it meets an entry that is alive, locks the entry and not the gap before it: the value is unique.
If it has to wait for that lock, whoever holds it may remove the entry and insert one of the same value before it (the
row moves to a smaller primary key). The look-up then wakes up at the removed entry, goes on forwards, and answers
without the row, which it has not locked either. All other scans wait with the gap locked, so that the insertion is a
deadlock, 1213; so do all scans of MariaDB's; and an entry of a primary key has no other place to go.

The rule: at SERIALIZABLE such a statement is sent in a form that fails where it would wait (NOWAIT). Once a run of it
has not failed, each lock was there at once, while the page was held: an entry alive is locked, and it is the only one;
where none was alive, all that are left of the value are locked with the gaps before and behind them. So what it read is
the present, and stays so. Where a run fails, the statement itself waits, keeps what it has locked, and its answer is
thrown away: it may be the wrong one, however often it comes out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tso.types import ShardName
from txguard.engine import failpoints
from txguard.engine.branch import Branch, Isolation
from txguard.engine.concurrent import gather
from txguard.engine.shard import Reply
from txguard.errors import Conflict

if TYPE_CHECKING:
    from txguard.engine.transaction import Transaction

TRIES = 10
ER_LOCK_NOWAIT = 3572

Look = Callable[[ShardName, bool], Any]
"""(shard, waits) -> a statement that locks what another one reads; one that does not wait fails with 3572."""


def wanted(txn: Transaction, branch: Branch) -> bool:
    if txn.isolation is not Isolation.SERIALIZABLE or failpoints.active("without_S-again"):
        return False
    return "mariadb" not in branch.connection.server_version.lower()


async def read(
    txn: Transaction, branch: Branch, build: Callable[[], Any], look: Look | None, *, shares: bool
) -> Reply:
    """A locking read, `build`; `look`, where it does not wait, gives the same answer."""
    if look is None or not wanted(txn, branch):
        return await txn.relay_opening(branch, build(), shares=shares)
    return await _until_at_once(txn, branch, partial(look, branch.shard, False), build, shares)


async def look_first(txn: Transaction, branches: Sequence[Branch], look: Look | None) -> list[Reply]:
    """Lock what a write is going to read. The replies, if one of them is an error."""
    if look is None or not wanted(txn, branches[0]):
        return []
    replies = await gather(
        [
            _until_at_once(
                txn,
                branch,
                partial(look, branch.shard, False),
                partial(look, branch.shard, True),
                shares=False,
            )
            for branch in branches
        ]
    )
    if any(reply.error for reply in replies):
        return replies
    for reply in replies:
        await reply.drain()
    return []


async def _until_at_once(
    txn: Transaction, branch: Branch, at_once: Callable[[], Any], waiting: Callable[[], Any], shares: bool
) -> Reply:
    """Each round waits for another transaction than the one before, so there are few."""
    for _ in range(TRIES):
        reply = await txn.relay_opening(branch, at_once(), shares=shares)
        if reply.error is None or reply.error.errno != ER_LOCK_NOWAIT:
            return reply
        reply = await txn.relay_opening(branch, waiting(), shares=shares)
        if reply.error is not None:
            return reply
        await reply.drain()
    raise Conflict(f"rows moved on shard {branch.shard} again and again while they were being looked up")
