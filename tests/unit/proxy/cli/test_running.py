"""How the long-running commands end."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from proxy.cli.running import ENDING_SIGNALS, run_until_signalled


@pytest.mark.parametrize("signal_number", ENDING_SIGNALS)
@pytest.mark.parametrize("fast", [False, True])
def test_a_signal_cancels_and_cleaning_up_is_not_disturbed(signal_number: int, fast: bool) -> None:
    steps: list[str] = []

    async def main() -> None:
        try:
            os.kill(os.getpid(), signal_number)
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGINT)  # the impatient second Ctrl-C
            await asyncio.sleep(0.01)
            steps.append("cleaned up")

    run_until_signalled(main, fast=fast)
    assert steps == ["cleaned up"]


def test_what_fails_goes_on_without_the_task_groups_around_it() -> None:
    async def fails() -> None:
        raise OSError("the reason")

    async def main() -> None:
        async with asyncio.TaskGroup() as outer, asyncio.TaskGroup() as inner:
            inner.create_task(fails())
            outer.create_task(asyncio.sleep(10))

    with pytest.raises(OSError, match="the reason"):
        run_until_signalled(main)
