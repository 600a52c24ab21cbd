"""`txguard soak`: a steady load for an hour, and what cleaning makes of it."""

from __future__ import annotations

from typing import Annotated

import typer

from proxy.cli.running import fail, run_until_signalled


def command(
    minutes: Annotated[float, typer.Option(min=0.5, help="how long")] = 70,
    rate: Annotated[int, typer.Option(min=1, help="commits per second")] = 2000,
    retention: Annotated[
        int | None,
        typer.Option(min=1, help="retention_s of the proxy [default: 600, a fifth of a short run]"),
    ] = None,
    server: Annotated[str | None, typer.Option(help="mariadb or mysql [default: what is here]")] = None,
) -> None:
    """A steady load on three servers: is the rate kept while cleaning, the history bounded, no deadlock invented?

    Exit status 0: all of it; 1: not.
    """
    from proxy.bench.soak import run_soak
    from proxy.bench.sysbench import SysbenchFailed
    from proxy.bench.world import HAProxyMissing
    from proxy.playground.installations import NoServerFound, ServerKind, find_server

    if server is not None and server not in {kind.value for kind in ServerKind}:
        fail(f"--server {server}: choose mariadb or mysql", status=2)
    good = False

    async def run() -> None:
        nonlocal good
        installation = find_server(ServerKind(server) if server is not None else None)
        retention_s = retention or min(600, int(minutes * 60 / 5))
        good = await run_soak(installation, rate, minutes, retention_s)

    try:
        run_until_signalled(run)
    except (NoServerFound, SysbenchFailed, HAProxyMissing) as error:
        fail(str(error))
    raise typer.Exit(0 if good else 1)
