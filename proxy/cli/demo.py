"""`txguard demo`: money moves over three servers while the proxy and a server are killed and come back."""

from __future__ import annotations

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
    """A fresh playground, a thousand accounts, and a verdict. Exit status 0: nothing was violated, nothing is
    missing."""
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

    try:
        run_until_signalled(run)
    except PlaygroundError as error:
        fail(str(error))
    if good is None:
        fail("stopped before the end")
    raise typer.Exit(0 if good else 1)
