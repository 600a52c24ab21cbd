"""What an outstanding commit has to wait for besides its prewrites. Apart as `proxy/backend/awaited.py` is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from txguard.engine import outstanding
from txguard.engine.concurrent import settle
from txguard.engine.shard import ConnectionLost

if TYPE_CHECKING:
    from txguard.engine.committing import Committing

Rest = Coroutine[Any, Any, None]
OnDone = Callable[[Rest | None], None]
"""Called once. None: committed. Otherwise what is still to be awaited, and raises what COMMIT raises."""


async def after_locks(committing: Committing) -> None:
    """What a branch that changed nothing has locked was locked until now, or there is no commit."""
    rest = _awaited(committing)
    try:
        lost = await outstanding.end_lockers(committing.txn)
    except BaseException:
        committing.drop_pending()
        rest.close()
        raise
    if lost is None:
        committing.prewrite()
    else:
        for branch in tuple(committing.pending):
            committing.one_done(branch, ConnectionLost(f"locks were lost: {lost}"))
    await rest


async def settle_dependencies(committing: Committing) -> None:
    """[R4] Wait until what was replaced is decided, then prewrite where that was held back."""
    held_back, committing.held_back, committing.guarded = committing.held_back, [], False
    committing.pending = held_back
    rest = _awaited(committing)
    try:
        results = await settle(
            [outstanding.wait_dependencies(committing.txn, branch) for branch in held_back]
        )
    except BaseException:
        committing.drop_pending()
        rest.close()
        raise
    for branch, result in zip(tuple(held_back), results, strict=True):
        committing.send(branch, result)
    await rest


def _awaited(committing: Committing) -> Rest:
    """From here on a coroutine waits for the end: to be awaited as its last."""
    done: asyncio.Future[Rest | None] = asyncio.get_running_loop().create_future()
    committing.on_done = partial(hand_over, done)
    return _handed_over(done)


async def _handed_over(done: asyncio.Future[Rest | None]) -> None:
    rest = await done
    if rest is not None:
        await rest


def hand_over(done: asyncio.Future[Rest | None], rest: Rest | None) -> None:
    """An `on_done` for a coroutine that waits."""
    if not done.done():
        done.set_result(rest)
    elif rest is not None:
        rest.close()  # Whoever waited was interrupted, and has given the commit up.
