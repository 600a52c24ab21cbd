"""`txguard demo`: money moves over three servers while the proxy and a server are killed and come back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from proxy.cli.running import fail, run_until_signalled


def command(
    seconds: Annotated[
        float, typer.Option(min=5, envvar="DEMO_SECONDS", help="how long the clients work")
    ] = 30,
    server: Annotated[str | None, typer.Option(help="mariadb or mysql [default: what is here]")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="keep the folder with data and logs")] = False,
) -> None:
    """A fresh playground, a thousand accounts, and a verdict. Exit status 0: nothing violated, nothing lost."""
    from rich.console import Console

    from proxy.demo.run import DemoOptions, run_demo
    from proxy.playground.errors import PlaygroundError
    from proxy.playground.installations import ServerKind, find_server

    if server is not None and server not in {kind.value for kind in ServerKind}:
        fail(f"--server {server}: choose mariadb or mysql", status=2)
    good: bool | None = None

    async def run() -> None:
        nonlocal good
        installation = find_server(ServerKind(server) if server is not None else None)
        good = await run_demo(DemoOptions(installation, seconds, keep), Console())

    failures: list[str] = []
    try:
        run_until_signalled(run)
    except* PlaygroundError as group:  # alone, or from among the demo's tasks
        failures = [str(error) for error in leaves(group)]
    if good is None:
        fail("; ".join(failures) or "stopped before the end")
    raise typer.Exit(0 if good else 1)


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The errors themselves, however deep their groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error
