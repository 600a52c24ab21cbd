"""A task that outlives the call that started it, with an owner who ends it.

A task group cannot hold such a task: the object's `open` and `aclose` may run in different tasks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


class BackgroundTask:
    """Runs one coroutine until it ends or `aclose`. An error that ends it is logged, never lost."""

    def __init__(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._task = asyncio.create_task(work, name=name)  # noqa: TID251 - this class is the owner
        self._task.add_done_callback(_log_error)

    async def aclose(self) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))


def _log_error(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s ended by an error", task.get_name(), exc_info=error)
