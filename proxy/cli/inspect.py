"""`txguard inspect`: do the data and the protocol keep their promises?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from proxy.cli.running import DEFAULT_CONFIG, ConfigPath, fail, load_or_exit
from proxy.config import Config

if TYPE_CHECKING:
    from txguard.inspector import Invariant, ShardAddress


def command(
    invariants: Annotated[
        Path | None,
        typer.Argument(help="a TOML file of invariant tables; none: the protocol's rules only"),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    dsn: Annotated[
        str | None,
        typer.Option(help="the proxy as mysql://user:password@host:port [default: from the configuration]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
    protocol: Annotated[
        bool, typer.Option("--protocol/--no-protocol", help="check the protocol's own rules on the shards")
    ] = True,
    settle_s: Annotated[
        float, typer.Option(min=0, help="for how long what work under way would explain is looked at again")
    ] = 10.0,
) -> None:
    """Check invariants on one snapshot of all shards. Exit status 0: all hold; 1: violated; 2: could not
    check."""
    import asyncio

    from rich.console import Console

    from txguard.inspector import InvariantError, Limits, inspect, load_invariants
    from txguard.inspector.render import print_table, to_json

    loaded = load_or_exit(config)
    wanted: tuple[Invariant, ...] = ()
    try:
        if invariants is not None:
            wanted = load_invariants(invariants)
    except InvariantError as error:
        fail(str(error), status=2)
    report = asyncio.run(
        inspect(
            wanted,
            proxy_dsn=(dsn or proxy_dsn(loaded)) if wanted else None,
            shards=shard_addresses(loaded) if protocol else (),
            limits=Limits(settle_s=settle_s, retention_s=loaded.engine.retention_s),
        )
    )
    if as_json:
        print(to_json(report))
    else:
        print_table(report, Console())
    raise typer.Exit(report.exit_code)


def proxy_dsn(config: Config) -> str:
    """The first account whose password the configuration holds."""
    user = next((user for user in config.users if user.password is not None), None)
    if user is None:
        fail("the configuration holds no account's password, only hashes: give --dsn", status=2)
    name, password = quote(user.name, safe=""), quote(user.password or "", safe="")
    host = f"[{config.proxy.host}]" if ":" in config.proxy.host else config.proxy.host
    return f"mysql://{name}:{password}@{host}:{config.proxy.port}"


def shard_addresses(config: Config) -> tuple[ShardAddress, ...]:
    """The shards, reached as the proxy reaches them."""
    from proxy.shard_dsn import dsn_of
    from tso.types import ShardName
    from txguard.inspector import ShardAddress

    return tuple(ShardAddress(ShardName(shard.name), dsn_of(shard)) for shard in config.shards)
