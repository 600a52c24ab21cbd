"""`txguard doctor`: is every shard fit to be one?"""

from __future__ import annotations

from typing import Annotated

import typer

from proxy.cli.running import DEFAULT_CONFIG, ConfigPath, load_or_exit


def command(
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
) -> None:
    """Examine every shard. Exit status 0: fit; 1: errors; 2: some could not be asked (or a bad configuration)."""
    import asyncio

    from rich.console import Console

    from proxy.doctor import examine, report

    findings = asyncio.run(examine(load_or_exit(config)))
    if as_json:
        print(report.as_json(findings))
    else:
        report.print_table(findings, Console())
    raise typer.Exit(report.exit_code(findings))
