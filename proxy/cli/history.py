"""`txguard history`: the versions of one row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli.inspect import proxy_dsn
from proxy.cli.past import DsnOption, all_shards, row_to_json, run_or_exit, settled, time_text
from proxy.cli.running import DEFAULT_CONFIG, ConfigPath, fail, load_or_exit
from proxy.config import Config

if TYPE_CHECKING:
    from tso.types import Timestamp
    from txguard.engine.changes import Version


def command(
    table: Annotated[str, typer.Argument(help="as database.table")],
    key: Annotated[list[str], typer.Argument(help="the primary key's values, in its order")],
    config: ConfigPath = DEFAULT_CONFIG,
    dsn: DsnOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="for machines: one line for each version")] = False,
) -> None:
    """List what a row was, the oldest first: who wrote it, when that was committed, and the values.

    Exit status 0: told; 1: no such row within the retention; 2: could not ask.
    """
    loaded = load_or_exit(config)
    schema, dot, name = table.partition(".")
    if not dot:
        fail(f"{table!r} names no database: write database.table", status=2)
    until_dsn = dsn or proxy_dsn(loaded)
    versions = run_or_exit(lambda: read(loaded, until_dsn, schema, name, key))
    for version in versions:
        line = to_line(version)
        print(json.dumps(line) if as_json else _told(line))
    raise typer.Exit(0 if versions else 1)


async def read(config: Config, dsn: str, schema: str, name: str, key: list[str]) -> list[Version]:
    """From every shard: a row of a reference table is told once."""
    import asyncio

    from tso.types import Timestamp

    until = await asyncio.to_thread(settled, dsn)
    found: dict[Timestamp, Version] = {}
    known = False
    async with all_shards(config) as shards:
        for shard in shards:
            await shard.open(Timestamp((1 << 63) - 1))
            try:
                versions = await shard.versions(schema, name, key, until)
            except KeyError:
                continue
            except ValueError as error:
                fail(str(error), status=2)
            known = True
            found.update((version.start_ts, version) for version in versions)
    if not known:
        fail(f"{schema}.{name} is no table whose versions are kept", status=2)
    return sorted(found.values(), key=lambda version: version.commit_ts or 0)


def to_line(version: Version) -> dict[str, object]:
    committed: Timestamp | None = version.commit_ts
    return {
        "time": None if committed is None else time_text(committed),
        "commit_ts": committed,
        "start_ts": version.start_ts,
        "op": version.operation,
        "values": row_to_json(version.values),
    }


def _told(line: dict[str, object]) -> str:
    values = "" if line["values"] is None else json.dumps(line["values"], ensure_ascii=False)
    return f"{line['time'] or 'before':24}  {line['op']:16}  {line['start_ts']:<20}  {values}"
