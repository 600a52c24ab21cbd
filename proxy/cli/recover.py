"""`txguard recover`: what is in doubt, and deciding it by hand where a shard is gone for good."""

from __future__ import annotations

from typing import Annotated

import typer

from proxy.cli.inspect import proxy_dsn
from proxy.cli.running import DEFAULT_CONFIG, ConfigPath, fail, load_or_exit
from proxy.cli.txn import ask
from proxy.config import Config

REFUSED, NOT_ASKED = 1, 2


def _number(text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(min=2, metavar="START_TS", help=text)
    return option


def command(
    config: ConfigPath = DEFAULT_CONFIG,
    commit: Annotated[int | None, _number("decide: committed")] = None,
    rollback: Annotated[int | None, _number("decide: rolled back")] = None,
    accept: Annotated[
        int | None, _number("let a shard in that came back without its part of this commit")
    ] = None,
    yes_i_lose: Annotated[
        str, typer.Option(metavar="SHARDS", help="the shards (a,b) whose part of it may be lost")
    ] = "",
    dsn: Annotated[
        str | None,
        typer.Option(help="any proxy as mysql://user:password@host:port [default: from the configuration]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the list, for machines")] = False,
) -> None:
    """List the transactions in doubt, or decide one by hand while a shard of it is gone for good.

    Exit status 0: nothing is in doubt, or decided as asked; 1: something is, or it was refused; 2: could not ask.
    """
    loaded = load_or_exit(config)
    named = sorted(filter(None, yes_i_lose.split(",")))
    if sum(number is not None for number in (commit, rollback, accept)) > 1:
        fail("one at a time: --commit, --rollback or --accept", status=NOT_ASKED)
    if accept is not None:
        _accept(loaded, accept, named)
    elif commit is not None:
        _decide(loaded, commit, "committed", named, dsn or proxy_dsn(loaded))
    elif rollback is not None:
        _decide(loaded, rollback, "rolled back", named, dsn or proxy_dsn(loaded))
    else:
        _list(loaded, as_json=as_json)


def _list(config: Config, *, as_json: bool) -> None:
    import asyncio

    from proxy.recovery.survey import survey, to_json

    found = asyncio.run(survey(config))
    if as_json:
        print(to_json(found))
    else:
        for name, error in found.silent.items():
            print(f"shard {name} does not answer: {error}")
        for doubt in found.doubts:
            print(doubt.text())
        if not found.doubts:
            print("nothing is in doubt on the shards that answer")
    raise typer.Exit(REFUSED if found.doubts else NOT_ASKED if found.silent else 0)


def _decide(config: Config, start_ts: int, wanted: str, named: list[str], dsn: str) -> None:
    import asyncio

    from proxy.recovery.by_hand import RefusedByHand, give_verdict
    from proxy.recovery.survey import survey
    from tso.types import Outcome

    doubt = asyncio.run(survey(config)).doubt(start_ts)
    outcome = Outcome.COMMITTED if wanted == "committed" else Outcome.ROLLED_BACK
    if doubt is not None:
        try:
            asyncio.run(give_verdict(config, doubt, outcome, named))
        except RefusedByHand as error:
            fail(str(error), status=REFUSED)
    answer = ask(dsn, start_ts)
    print(f"transaction {start_ts}: {answer['state']} ({answer['reason']})")
    raise typer.Exit(0 if answer["state"] == wanted else REFUSED)


def _accept(config: Config, start_ts: int, named: list[str]) -> None:
    import asyncio

    from proxy.recovery.by_hand import RefusedByHand, accept_loss
    from tso.types import Timestamp

    try:
        asyncio.run(accept_loss(config, Timestamp(start_ts), named))
    except RefusedByHand as error:
        fail(str(error), status=REFUSED)
    print(f"{', '.join(named)} now holds the record of transaction {start_ts}, and is let in")
