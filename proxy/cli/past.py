"""What the subcommands for the past share: times as the operator writes them, values as JSON, shards to read.

A time is a timestamp of the oracle (as position lines and @@txguard_start_ts have it), or ISO 8601, which is local time
where it names no offset.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from proxy.cli.inspect import shard_addresses
from proxy.cli.running import fail
from proxy.config import Config
from tso.clock import physical_ms, timestamp_at
from tso.types import ShardName, Timestamp

if TYPE_CHECKING:
    from txguard.engine.changes import ShardChanges, Values
    from txguard.engine.shard import Connection, Value

T = TypeVar("T")

TIMEOUT_S = 60.0
Json = int | float | str | None
DsnOption = Annotated[
    str | None,
    typer.Option(help="any proxy as mysql://user:password@host:port [default: from the configuration]"),
]


def parse_time(text: str) -> Timestamp:
    """Ends the program where it is no time."""
    if text.isascii() and text.isdigit() and int(text) >= timestamp_at(1_000_000_000_000):
        return Timestamp(int(text))
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        fail(f"{text!r} is no time: write 2026-07-31T12:00:00, with Z or +02:00 for a time zone", status=2)
    return timestamp_at(int(moment.timestamp() * 1000))


def time_text(timestamp: Timestamp) -> str:
    moment = datetime.datetime.fromtimestamp(physical_ms(timestamp) / 1000, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_json(value: Value) -> Json:
    """Decimals and dates are the server's text, TIMESTAMP columns in UTC; binary values are hexadecimal."""
    return f"0x{value.hex()}" if isinstance(value, bytes) else value


def row_to_json(values: Values | None) -> dict[str, Json] | None:
    return None if values is None else {name: to_json(value) for name, value in values.items()}


def settled(dsn: str) -> Timestamp:
    """A timestamp below which everything is decided and carried out on every shard, from now on for ever.

    A snapshot of all shards waits at the barrier for whatever has a lower `commit_ts`, and nothing gets one any more.
    """
    import pymysql

    from txguard.transactional.dsn import parse_dsn

    with (
        pymysql.connect(**parse_dsn(dsn).parameters, read_timeout=int(TIMEOUT_S)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        cursor.execute("SELECT @@txguard_start_ts")
        [(start_ts,)] = cursor.fetchall()
        cursor.execute("ROLLBACK")
    return Timestamp(int(start_ts))


@asynccontextmanager
async def connections(config: Config) -> AsyncIterator[dict[ShardName, Connection]]:
    """One of one's own to each shard, with the account in the configuration."""
    from txguard.engine.aiomysql_shard import AiomysqlConnection

    opened: dict[ShardName, Connection] = {}
    try:
        for address in shard_addresses(config):
            opened[address.name] = await AiomysqlConnection.connect(address.dsn, TIMEOUT_S)
        yield opened
    finally:
        for connection in opened.values():
            connection.abort()


@asynccontextmanager
async def all_shards(config: Config) -> AsyncIterator[list[ShardChanges]]:
    from txguard.engine.changes import ShardChanges

    async with connections(config) as opened:
        yield [ShardChanges(name, connection, TIMEOUT_S) for name, connection in opened.items()]


def run_or_exit(main: Callable[[], Coroutine[Any, Any, T]], failed: str = "the past could not be read") -> T:
    """Ends the program with status 2 where proxy or shards cannot be asked, 3 where the past is not kept any more."""
    from pymysql.err import MySQLError

    from txguard.engine.shard import ConnectionLost, ShardError
    from txguard.errors import SnapshotTooOld

    try:
        return asyncio.run(main())
    except SnapshotTooOld as error:
        fail(str(error), status=3)
    except (MySQLError, ShardError, ConnectionLost, OSError, TimeoutError) as error:
        fail(f"{failed}: {error}", status=2)
