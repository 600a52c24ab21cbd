"""Looks at the shards for what is in doubt. Nothing is written. A shard that does not answer is part of the answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from pymysql.err import MySQLError

from proxy.config import Config, ShardConfig
from proxy.shard_dsn import dsn_of
from tso.types import Outcome, ShardName, Timestamp
from txguard.engine.aiomysql_shard import AiomysqlConnection
from txguard.engine.concurrent import settle
from txguard.engine.outcome import Record, from_records, read_record
from txguard.engine.shard import ConnectionLost, Rows, ShardError
from txguard.engine.undecided import UNDECIDED, parse_participants

TIMEOUT_S: Final = 10.0
UNDER_WAY_S: Final = 10.0
"""Commits of all shards that answer are settled by TxGuard; only one that takes longer than this is told."""
_NO_SUCH: Final = (1146, 1049)


@dataclass(frozen=True, slots=True)
class Doubt:
    start_ts: Timestamp
    commit_ts: Timestamp
    participants: tuple[ShardName, ...]
    age_s: float
    records: Mapping[ShardName, Record | Exception | None]

    @property
    def lost(self) -> tuple[ShardName, ...]:
        """The participants that do not answer."""
        return tuple(sorted(name for name in self.participants if isinstance(self.records[name], Exception)))

    def reason(self) -> str:
        parts = []
        for name in self.participants:
            record = self.records[name]
            if isinstance(record, Exception):
                parts.append(f"{name} does not answer ({record})")
            elif record is None:
                parts.append(f"{name} holds no record")
            else:
                parts.append(f"{name} holds its commit record")
        return "; ".join(parts)

    def text(self) -> str:
        return (
            f"transaction {self.start_ts}, in doubt for {self.age_s:.0f} s, on {', '.join(self.participants)}: "
            f"{self.reason()}"
        )


@dataclass(frozen=True, slots=True)
class Survey:
    doubts: tuple[Doubt, ...]
    silent: Mapping[ShardName, Exception]

    def doubt(self, start_ts: int) -> Doubt | None:
        return next((doubt for doubt in self.doubts if doubt.start_ts == start_ts), None)


async def survey(config: Config) -> Survey:
    names = [ShardName(shard.name) for shard in config.shards]
    answers = await settle([_locks(shard) for shard in config.shards])
    silent: dict[ShardName, Exception] = {}
    oldest: dict[Timestamp, tuple[Timestamp, tuple[ShardName, ...], float]] = {}
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, Exception):
            silent[name] = answer
            continue
        for start_ts, commit_ts, participants, age_s in answer.rows:
            key, age = Timestamp(int(start_ts or 0)), float(age_s or 0)
            known = oldest.get(key)
            if known is None or known[2] < age:
                oldest[key] = Timestamp(int(commit_ts or 0)), parse_participants(participants), age
    doubts: list[Doubt] = []
    for start_ts, (commit_ts, members, age_s) in sorted(oldest.items()):
        records = await _records(config, start_ts, members, silent)
        doubt = Doubt(start_ts, commit_ts, members, age_s, records)
        if from_records(start_ts, records) is None and (doubt.lost or age_s > UNDER_WAY_S):
            doubts.append(doubt)
    return Survey(tuple(doubts), silent)


@asynccontextmanager
async def connected(shard: ShardConfig) -> AsyncIterator[AiomysqlConnection]:
    """Raises what the driver raises, as text in an OSError where it is the driver's own."""
    try:
        connection = await AiomysqlConnection.connect(dsn_of(shard), shard.connect_timeout_s)
    except TimeoutError:
        raise OSError(f"no connection within {shard.connect_timeout_s:g} s") from None
    except MySQLError as error:
        raise OSError(str(error.args[-1])) from error
    try:
        yield connection
    finally:
        connection.abort()


async def _locks(shard: ShardConfig) -> Rows:
    query = f"SELECT start_ts, commit_ts, participants, age_us / 1000000 FROM ({UNDECIDED}) undecided"
    async with connected(shard) as connection:
        try:
            [answer] = await connection.run([query], TIMEOUT_S)
        except ShardError as error:
            if error.errno not in _NO_SUCH:
                raise
            return Rows([])
        return answer


async def _records(
    config: Config,
    start_ts: Timestamp,
    participants: tuple[ShardName, ...],
    silent: Mapping[ShardName, Exception],
) -> dict[ShardName, Record | Exception | None]:
    shards = {ShardName(shard.name): shard for shard in config.shards}
    records: dict[ShardName, Record | Exception | None] = {}
    for name in participants:
        if name in silent:
            records[name] = silent[name]
        elif name not in shards:
            records[name] = ConnectionLost("it is not in the configuration")
        else:
            [records[name]] = await settle([_record(shards[name], start_ts)])
    return records


async def _record(shard: ShardConfig, start_ts: Timestamp) -> Record | None:
    async with connected(shard) as connection:
        return await read_record(connection, start_ts, TIMEOUT_S)


def to_json(found: Survey) -> str:
    doubts = [
        {
            "start_ts": doubt.start_ts,
            "commit_ts": doubt.commit_ts,
            "participants": doubt.participants,
            "age_s": round(doubt.age_s, 3),
            "lost": doubt.lost,
            "committed_on": [
                name
                for name, record in doubt.records.items()
                if isinstance(record, Record) and record.state is Outcome.COMMITTED
            ],
            "reason": doubt.reason(),
        }
        for doubt in found.doubts
    ]
    silent = {name: str(error) for name, error in found.silent.items()}
    return json.dumps({"doubts": doubts, "silent": silent}, indent=2)
