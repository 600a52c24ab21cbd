"""`txguard txn`: what became of a transaction?"""

from __future__ import annotations

from typing import Annotated

import typer

from proxy.cli.inspect import proxy_dsn
from proxy.cli.running import DEFAULT_CONFIG, ConfigPath, fail, load_or_exit

EXIT_CODES = {"committed": 0, "rolled back": 1, "in doubt": 3, "unknown": 4}
"""2: nobody could be asked."""


def command(
    start_ts: Annotated[int, typer.Argument(min=1, help="as @@txguard_start_ts or error 9101 told it")],
    config: ConfigPath = DEFAULT_CONFIG,
    dsn: Annotated[
        str | None,
        typer.Option(help="any proxy as mysql://user:password@host:port [default: from the configuration]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
) -> None:
    """Ask any proxy for a transaction's outcome. Exit status 0: committed; 1: rolled back; 2: could not ask;
    3: in doubt, ask again; 4: unknown, as it is older than the retention or never was."""
    import json

    answer = ask(dsn or proxy_dsn(load_or_exit(config)), start_ts)
    if as_json:
        print(json.dumps(answer))
    else:
        for name, value in answer.items():
            if value not in (None, []):
                print(f"{name + ':':14}{', '.join(value) if isinstance(value, list) else value}")
    raise typer.Exit(EXIT_CODES[str(answer["state"])])


def ask(dsn: str, start_ts: int) -> dict[str, int | str | list[str] | None]:
    """One proxy's answer; ends the program with status 2 where there is none."""
    import pymysql

    from txguard.transactional.dsn import parse_dsn

    try:
        with (
            pymysql.connect(**parse_dsn(dsn).parameters, read_timeout=60) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"SHOW TXGUARD TRANSACTION {start_ts}")
            [(_, state, commit_ts, participants, reason)] = cursor.fetchall()
    except (pymysql.MySQLError, OSError, ValueError) as error:
        fail(f"the proxy could not be asked: {error}", status=2)
    return {
        "start_ts": start_ts,
        "state": state,
        "commit_ts": None if commit_ts is None else int(commit_ts),
        "participants": participants.split(",") if participants else [],
        "reason": reason,
    }
