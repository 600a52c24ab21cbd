"""`txguard rollback-to`: a table, or some of its rows, as they were, in one new transaction through the proxy."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from proxy.cli.inspect import proxy_dsn
from proxy.cli.past import DsnOption, parse_time, time_text
from proxy.cli.restoring import Difference, TableRows, restore
from proxy.cli.running import DEFAULT_CONFIG, ConfigPath, fail, load_or_exit

SHOWN = 20


def command(
    timestamp: Annotated[str, typer.Argument(help="a time, or a timestamp of the oracle")],
    table: Annotated[str, typer.Option(help="as database.table")],
    where: Annotated[
        str, typer.Option(help="an SQL condition: the rows that meet it now, or met it then [default: all]")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="do it without asking")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="each change as a line of JSON")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    dsn: DsnOption = None,
) -> None:
    """Show what would change, and after a yes make it so.

    Exit status 0: done, or nothing to do; 1: not done; 2: could not be done (nothing was changed).
    """
    import pymysql

    from txguard.transactional.dsn import parse_dsn

    instant = parse_time(timestamp)
    schema, dot, name = table.partition(".")
    if not dot:
        fail(f"{table!r} names no database: write database.table", status=2)
    address = dsn or proxy_dsn(load_or_exit(config))
    options: dict[str, Any] = {"conv": {}, "charset": "utf8mb4", "autocommit": True}
    try:
        with pymysql.connect(**{**parse_dsn(address).parameters, **options}) as connection:
            rows = TableRows(connection, schema, name, where)
            differences = rows.differences(instant)
            _show(differences, as_json=as_json)
            what = f"{table} as of {time_text(instant)}"
            if not differences:
                raise typer.Exit(0)
            if not yes and not typer.confirm(f"Make {what}: {len(differences)} row(s)?", err=True):
                raise typer.Exit(1)
            restore(rows, differences)
    except (pymysql.MySQLError, OSError, ValueError) as error:
        fail(f"nothing was changed: {error}", status=2)
    if not as_json:
        print(f"{what}: {len(differences)} row(s) changed")


def _show(differences: list[Difference], *, as_json: bool) -> None:
    if as_json:
        for difference in differences:
            print(json.dumps(difference.to_json()))
        return
    for difference in differences[:SHOWN]:
        line = difference.to_json()
        print(line.pop("op"), json.dumps(line, ensure_ascii=False))
    if len(differences) > SHOWN:
        print(f"… and {len(differences) - SHOWN} more")
    if not differences:
        print("nothing to change")
