"""`txguard bench`: speed beside plain servers, HAProxy and XA."""

from __future__ import annotations

from typing import Annotated

import typer

from proxy.cli.running import fail, run_until_signalled


def command(
    server: Annotated[str | None, typer.Option(help="mariadb or mysql [default: what is here]")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="turns that each contender takes")] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="length of a turn")] = 4,
    only: Annotated[
        list[str] | None, typer.Option(help="select, update, transfer, single; repeatable")
    ] = None,
) -> None:
    """Point selects, updates, cross-shard transfers and commit latency, side by side; writes bench.json."""
    from rich.console import Console

    from proxy.bench.run import BenchOptions, run_bench
    from proxy.bench.sysbench import SysbenchFailed
    from proxy.bench.world import HAProxyMissing
    from proxy.playground.installations import NoServerFound, ServerKind, find_server

    if server is not None and server not in {kind.value for kind in ServerKind}:
        fail(f"--server {server}: choose mariadb or mysql", status=2)

    async def run() -> None:
        installation = find_server(ServerKind(server) if server is not None else None)
        await run_bench(BenchOptions(installation, rounds, seconds, frozenset(only or ())), Console())

    try:
        run_until_signalled(run)
    except (NoServerFound, SysbenchFailed, HAProxyMissing) as error:
        fail(str(error))
