"""`txguard playground`: a whole TxGuard on this machine until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.running import fail, run_until_signalled
from proxy.playground.installations import Installation


def command(
    shards: Annotated[int, typer.Option(min=1, max=16, help="how many servers")] = 3,
    fresh: Annotated[bool, typer.Option("--fresh", help="drop the data of earlier runs")] = False,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="where the data are kept [default: ~/.txguard/playground]")
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="mariadb or mysql [default: what the data are of, or what is here]")
    ] = None,
    host: Annotated[str, typer.Option(help="the proxy's address")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="the proxy's port")] = 4000,
    supervised: Annotated[
        bool, typer.Option("--supervise/--no-supervise", help="start again what dies")
    ] = True,
) -> None:
    """Start private servers and the proxy in front of them; stop all of it on Ctrl-C or SIGTERM."""
    from proxy.playground.errors import PlaygroundError
    from proxy.playground.folder import default_folder
    from proxy.playground.playground import Options, Playground, describe

    async def run() -> None:
        path = folder if folder is not None else default_folder()
        playground = Playground(Options(path, _installation(server, path, fresh), shards, fresh, host, port))
        print(f"starting {shards} servers and the proxy …", flush=True)
        await playground.start()
        try:
            print(describe(playground), flush=True)
            if supervised:
                await playground.supervise(lambda text: print(f"[playground] {text}", flush=True))
            else:
                await _for_ever()
        finally:
            print("stopping …", flush=True)
            await playground.stop()

    try:
        run_until_signalled(run)
    except PlaygroundError as error:
        fail(str(error))


def _installation(server: str | None, folder: Path, fresh: bool) -> Installation:
    """The kind asked for, else the one whose data lie in the folder, else the first at hand."""
    from proxy.playground.folder import Folder, PlaygroundRefused
    from proxy.playground.installations import ServerKind, find_server

    if server is None and not fresh and (before := Folder(folder).read()) is not None:
        server = before.kind
    if server is not None and server not in {kind.value for kind in ServerKind}:
        raise PlaygroundRefused(f"--server {server}: choose mariadb or mysql")
    return find_server(ServerKind(server) if server is not None else None)


async def _for_ever() -> None:
    import asyncio

    await asyncio.Event().wait()
