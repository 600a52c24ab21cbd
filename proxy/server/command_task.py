"""What a client's connection awaits: a command that is not over at once, and a client that takes its time to read.

Apart from `front.py` as `proxy/backend/awaited.py` is from its connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proxy.server.front import FrontConnection


async def carried_out(front: FrontConnection, pending: Coroutine[Any, Any, None]) -> None:
    """The rest of a command, to its answer."""
    try:
        await pending
        if front.unanswered:
            raise RuntimeError("a command ended without an answer")
    except Exception as error:
        front.report(error)
    finally:
        front.task_over()


async def drained(front: FrontConnection) -> None:
    """Wait until the client has taken most of what was sent, or is gone; one that does not in time is dropped."""
    writable = front.until_writable()
    if writable is None:
        return
    try:
        async with asyncio.timeout(front.listener.settings.write_timeout_s):
            await asyncio.shield(writable)
    except TimeoutError:
        front.kill()
