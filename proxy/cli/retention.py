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

    Tables not listed have retention_s of the configuration's [engine], and none has less. What is cleaned already
    does not come back. Exit status 0: told, or set on every shard; 2: could not, nothing or a part of it is set.
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
        run_or_exit(lambda: put(loaded, schema, name, seconds))
    told = run_or_exit(lambda: read(loaded))
    for one in sorted(told):
        if table in (None, f"{one.schema}.{one.name}"):
            line = _to_line(one, loaded.engine.retention_s)
            print(json.dumps(line) if as_json else _told(line))


async def put(config: Config, schema: str, name: str, seconds: int) -> None:
    """On every shard that has the table. Ends the program where none has."""
    from txguard.engine.managed import list_managed
    from txguard.engine.retention import set_retention_statement

    found = False
    async with connections(config) as shards:
        for connection in shards.values():
            managed = await list_managed(connection, TIMEOUT_S)
            if any((table.schema, table.name) == (schema, name) for table in managed):
                found = True
                await connection.run([set_retention_statement(schema, name, seconds)], TIMEOUT_S)
    if not found:
        fail(f"{schema}.{name} is no table whose versions are kept", status=2)


async def read(config: Config) -> list[TableRetention]:
    """Of all shards together: the shortest, and how far back all of them go."""
    from txguard.engine.retention import read_retentions, together

    async with connections(config) as shards:
        return together([await read_retentions(connection, TIMEOUT_S) for connection in shards.values()])


def _to_line(one: TableRetention, general_s: int) -> dict[str, object]:
    return {
        "table": f"{one.schema}.{one.name}",
        "retention_s": max(one.seconds, general_s),
        "cleaned_to": time_text(one.cleaned_to) if one.cleaned_to else None,
    }


def _told(line: dict[str, object]) -> str:
    cleaned = f"; cleaned up to {line['cleaned_to']}" if line["cleaned_to"] else ""
    return f"{line['table']}: {line['retention_s']} s{cleaned}"
