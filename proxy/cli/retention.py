"""`txguard retention`: for how long a table's replaced versions are kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli.past import TIMEOUT_S, connections, run_or_exit, time_text
from proxy.cli.running import DEFAULT_CONFIG, ConfigPath, fail, load_or_exit
from proxy.config import Config

if TYPE_CHECKING:
    from txguard.engine.retention import TableRetention


def command(
    table: Annotated[
        str | None, typer.Argument(help="as database.table [default: all that have one]")
    ] = None,
    duration: Annotated[
        str | None, typer.Argument(help="keep versions for so long: 600s, 90m, 12h, 7d, 52w")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="for machines: one line for each table")] = False,
) -> None:
    """Show, or set, for how long what is replaced in a table can be read (AS OF TIMESTAMP, history, rollback-to).

    All others have the retention_s of the configuration's engine section, and none has less. What is cleaned already
    does not come back. Exit status 0: told, or set on every shard; 2: not, or on some shards only: run it again.
    """
    from txguard.engine.retention import parse_duration

    loaded = load_or_exit(config)
    schema, dot, name = (table or ".").partition(".")
    if not dot:
        fail(f"{table!r} names no database: write database.table", status=2)
    if duration is not None:
        try:
            seconds = parse_duration(duration)
        except ValueError as error:
            fail(str(error), status=2)
        run_or_exit(lambda: put(loaded, schema, name, seconds), "it could not be set on every shard")
    told = run_or_exit(lambda: read(loaded), "the shards could not be asked")
    if table is not None and table not in told:
        fail(f"{table} is no table whose versions are kept", status=2)
    for shown, own in sorted(told.items()):
        if shown == table or (table is None and own is not None):
            line = _to_line(shown, own, loaded.engine.retention_s)
            print(json.dumps(line) if as_json else _told(line))


async def put(config: Config, schema: str, name: str, seconds: int) -> None:
    """On every shard that has the table."""
    from txguard.engine.managed import list_managed
    from txguard.engine.retention import set_retention_statement

    async with connections(config) as shards:
        for connection in shards.values():
            managed = await list_managed(connection, TIMEOUT_S)
            if any((table.schema, table.name) == (schema, name) for table in managed):
                await connection.run([set_retention_statement(schema, name, seconds)], TIMEOUT_S)


async def read(config: Config) -> dict[str, TableRetention | None]:
    """Of every managed table: what holds on all shards together; None: it has no retention of its own."""
    from txguard.engine.managed import list_managed
    from txguard.engine.retention import read_retentions, together

    async with connections(config) as shards:
        tables = [table for shard in shards.values() for table in await list_managed(shard, TIMEOUT_S)]
        own = together([await read_retentions(shard, TIMEOUT_S) for shard in shards.values()])
    found: dict[str, TableRetention | None] = {f"{table.schema}.{table.name}": None for table in tables}
    return found | {f"{one.schema}.{one.name}": one for one in own}


def _to_line(table: str, own: TableRetention | None, general_s: int) -> dict[str, object]:
    return {
        "table": table,
        "retention_s": general_s if own is None else max(own.seconds, general_s),
        "cleaned_to": time_text(own.cleaned_to) if own is not None and own.cleaned_to else None,
        "own": own is not None,
    }


def _told(line: dict[str, object]) -> str:
    cleaned = f"; cleaned up to {line['cleaned_to']}" if line["cleaned_to"] else ""
    whose = "" if line["own"] else ", as all tables"
    return f"{line['table']}: {line['retention_s']} s{whose}{cleaned}"
