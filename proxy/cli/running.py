"""What the long-running subcommands share: an event loop, and a clean end on Ctrl-C, SIGTERM and SIGHUP."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from proxy.config import Config, load
from proxy.errors import ConfigError

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="the configuration file", show_default=True)]
DEFAULT_CONFIG = Path("txguard.toml")


def load_or_exit(path: Path) -> Config:
    """The configuration; a bad one ends the program with status 2 and says where it is bad."""
    try:
        return load(path)
    except ConfigError as error:
        fail(str(error), status=2)


def fail(text: str, *, status: int = 1) -> NoReturn:
    print(f"txguard: {text}", file=sys.stderr)
    raise typer.Exit(status)


def run_until_signalled(main: Callable[[], Coroutine[Any, Any, None]], *, fast: bool = False) -> None:
    """Run `main`; the first ending signal cancels it, later ones change nothing: its clean-up is bounded.

    `fast` asks for uvloop. An ending by signal is a normal one, except that what `main` raises goes on; of a
    task group's errors the first one, which is the reason for the others.
    """
    runner = asyncio.Runner(loop_factory=_fast_loop if fast else None)
    with runner, contextlib.suppress(asyncio.CancelledError):
        try:
            runner.run(_cancelled_by_signals(main))
        except BaseExceptionGroup as group:
            raise _first(group) from group


async def _cancelled_by_signals(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    def end() -> None:
        for signal_number in ENDING_SIGNALS:
            loop.add_signal_handler(signal_number, lambda: None)
        task.cancel()

    for signal_number in ENDING_SIGNALS:
        loop.add_signal_handler(signal_number, end)
    await main()


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _fast_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not CPython
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
