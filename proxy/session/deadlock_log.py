"""The last deadlocks over shards, kept where every proxy finds them: in `_txguard.deadlock`.

Owns the table. They are written to the shard where the proxies meet at the time, so those of all shards are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.session.wait_graph import Deadlock
from tso.types import ShardName
from txguard.engine.concurrent import settle
from txguard.engine.settings import EngineSettings
from txguard.engine.shard import (
    Connection,
    ConnectionLost,
    Rows,
    Shard,
    ShardError,
    ShardUnavailable,
    Value,
    borrow,
)
from txguard.engine.sqltext import text

KEPT: Final = 100

_CREATE: Final = """CREATE TABLE IF NOT EXISTS `_txguard`.`deadlock` (
  `found_at` TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  `start_ts` BIGINT UNSIGNED NOT NULL,
  `victim` TINYINT NOT NULL,
  `proxy` VARCHAR(32) NOT NULL,
  `connection_id` BIGINT UNSIGNED NOT NULL,
  `shard` VARCHAR(64) NOT NULL,
  `waits_for` TEXT NOT NULL,
  `statement` TEXT NOT NULL,
  PRIMARY KEY (`found_at`, `start_ts`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"""
_FORGET: Final = (
    "DELETE FROM _txguard.deadlock WHERE found_at < (SELECT found_at FROM (SELECT DISTINCT found_at "
    f"FROM _txguard.deadlock ORDER BY found_at DESC LIMIT 1 OFFSET {KEPT - 1}) oldest)"
)
_SELECT: Final = (
    "SELECT found_at, victim, start_ts, proxy, connection_id, shard, waits_for, statement "
    "FROM _txguard.deadlock"
)
NO_SUCH_TABLE: Final = 1146


@dataclass(frozen=True, slots=True)
class LoggedMember:
    """One row for each transaction of a deadlock."""

    found_at: str
    victim: bool
    start_ts: int
    proxy: str
    connection_id: int
    shard: str
    waits_for: str
    statement: str


async def write_deadlock(connection: Connection, deadlock: Deadlock, timeout_s: float) -> None:
    """All its members under one moment; older deadlocks than the last `KEPT` go."""
    rows = [
        f"(@txg_found_at, {member.waiter.start_ts}, {int(member.waiter is deadlock.victim)}, "
        f"{text(member.waiter.proxy)}, {member.waiter.connection_id}, {text(member.shard)}, "
        f"'{','.join(map(str, member.waits_for))}', {text(member.waiter.statement)})"
        for member in deadlock.members
    ]
    insert = (
        "INSERT INTO _txguard.deadlock (found_at, start_ts, victim, proxy, connection_id, shard, waits_for, statement) "
        f"VALUES {', '.join(rows)}"
    )
    await connection.run([_CREATE, "SET @txg_found_at = NOW(6)", insert, _FORGET], timeout_s)


async def read_deadlocks(shards: Mapping[ShardName, Shard], settings: EngineSettings) -> list[LoggedMember]:
    """Of all shards that answer, the last ones first, the victim first in each."""
    members: list[LoggedMember] = []
    for answer in await settle([_read(shard, settings) for shard in shards.values()]):
        if isinstance(answer, ShardUnavailable | ConnectionLost | ShardError):
            continue
        if isinstance(answer, Exception):
            raise answer
        members += [_member(row) for row in answer.rows]
    return sorted(members, key=lambda member: (member.found_at, member.victim, member.start_ts), reverse=True)


async def _read(shard: Shard, settings: EngineSettings) -> Rows:
    async with borrow(shard, settings.acquire_timeout_s) as connection:
        try:
            [answer] = await connection.run([_SELECT], settings.control_timeout_s)
        except ShardError as error:
            if error.errno != NO_SUCH_TABLE:
                raise
            return Rows([])
        return answer


def _member(row: Sequence[Value]) -> LoggedMember:
    found_at, victim, start_ts, proxy, connection_id, shard, waits_for, statement = row
    return LoggedMember(
        _text(found_at),
        bool(int(victim or 0)),
        int(start_ts or 0),
        _text(proxy),
        int(connection_id or 0),
        _text(shard),
        _text(waits_for),
        _text(statement),
    )


def _text(value: Value) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
