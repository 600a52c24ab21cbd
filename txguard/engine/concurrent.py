"""Structured concurrency for work on several shards at once: every branch ends before the caller goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def settle(work: Sequence[Awaitable[T]]) -> list[T | Exception]:
    """Run all to their end; a failure stands in its place and disturbs no other. No task for a single one."""
    if len(work) == 1:
        return [await _caught(work[0])]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_caught(one)) for one in work]
    return [task.result() for task in tasks]


async def gather(work: Sequence[Awaitable[T]]) -> list[T]:
    """Run all to their end, then raise the first failure if there was one."""
    settled = await settle(work)
    results: list[T] = []
    for result in settled:
        if isinstance(result, Exception):
            raise result
        results.append(result)
    return results


async def _caught(work: Awaitable[T]) -> T | Exception:
    try:
        return await work
    except Exception as error:
        return error
