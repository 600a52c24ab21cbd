"""`txguard audit`: every committed change, in the order of commits, as JSON lines."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli.inspect import proxy_dsn
from proxy.cli.past import (
    DsnOption,
    all_shards,
    parse_time,
    row_to_json,
    run_or_exit,
    settled,
    time_text,
    to_json,
)
from proxy.cli.running import DEFAULT_CONFIG, ConfigPath, load_or_exit
from proxy.config import Config
from tso.types import Timestamp

if TYPE_CHECKING:
    from txguard.engine.changes import Change, ShardChanges

POLL_S = 1.0


def command(
    since: Annotated[
        str,
        typer.Option("--from", metavar="TIME", help="a position, or a time [default: all that is kept]"),
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", help="go on with what is committed from now on")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    dsn: DsnOption = None,
) -> None:
    """Write the changes that transactions committed, each once, in `commit_ts` order over all shards.

    A line {"position": …} stands behind whole transactions: all up to it has been told, and `--from` goes on there.
    Exit status 0: told up to now; 2: could not ask; 3: changes after `--from` are not kept any more.
    """
    loaded = load_or_exit(config)
    position = parse_time(since) if since else None
    until_dsn = dsn or proxy_dsn(loaded)
    try:
        run_or_exit(lambda: _write(loaded, until_dsn, position, follow=follow))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


async def _write(config: Config, dsn: str, position: Timestamp | None, *, follow: bool) -> None:
    async with all_shards(config) as shards:
        if position is None:
            position = max([await shard.oldest_kept() for shard in shards])
        while True:
            until = await asyncio.to_thread(settled, dsn)
            async for changes, reached in pages(shards, position, until):
                position = reached
                lines = [json.dumps(to_line(change)) for change in changes]
                if lines or not follow:
                    print(*lines, json.dumps({"position": position}), sep="\n")
            sys.stdout.flush()
            if not follow:
                return
            await asyncio.sleep(POLL_S)


async def pages(
    shards: Sequence[ShardChanges], position: Timestamp, until: Timestamp
) -> AsyncIterator[tuple[list[Change], Timestamp]]:
    """Changes after `position`, with the position behind them; nothing up to `until` may be undecided."""
    from txguard.engine.changes import PAGE, in_order

    for shard in shards:
        await shard.open(position)
    while position < until:
        found = [await shard.records(position, until) for shard in shards]
        # A shard that has more to come knows its own only so far; a transaction is told as a whole.
        end = min([max(records.values()) for records in found if len(records) == PAGE], default=until)
        parts = [
            await shard.changes({writer: at for writer, at in records.items() if at <= end})
            for shard, records in zip(shards, found, strict=True)
        ]
        position = end
        yield in_order(parts), position


def to_line(change: Change) -> dict[str, object]:
    row = change.after or change.before or {}
    key = [name for name in row if name in change.key_names]
    return {
        "commit_ts": change.commit_ts,
        "time": time_text(change.commit_ts),
        "start_ts": change.start_ts,
        "table": f"{change.schema}.{change.table}",
        "op": change.operation,
        "key": {name: to_json(row[name]) for name in key},
        "before": row_to_json(change.before),
        "after": row_to_json(change.after),
    }
