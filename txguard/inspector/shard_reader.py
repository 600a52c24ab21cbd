"""What the inspector asks of one shard, as an observer: consistent reads only, no lock is taken.

Commit record and data become visible together (one local transaction), and so do an undo and its tombstone.
So within one view a row, an old version and the record of its writer always fit, whatever is under way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tso.types import LOGICAL_BITS, Outcome, ShardName, Timestamp
from txguard.engine.aiomysql_shard import AiomysqlConnection, Dsn
from txguard.engine.managed import list_managed
from txguard.engine.managed_table import NEXT, WRITER, ManagedTable
from txguard.engine.shard import Rows, ShardError, Value
from txguard.engine.sqltext import numbers
from txguard.engine.undecided import UNDECIDED, parse_participants
from txguard.inspector.agreement import CommitRecord

PAGE: Final = 10_000
"""Commit records read at a time."""
_SAMPLE: Final = 3
"""Strange writers told per table."""
_TABLE_CHANGED: Final = frozenset({1146, 1412, 1932})
"""A table was dropped or altered since the snapshot."""

SNAPSHOT: Final = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
_RECORD_COLUMNS: Final = "start_ts, commit_ts, state, participants"


@dataclass(frozen=True, slots=True)
class ShardAddress:
    """How the inspector reaches a shard by itself. The account needs SELECT on everything."""

    name: ShardName
    dsn: Dsn


@dataclass(frozen=True, slots=True)
class Lock:
    """What a shard does not know to be decided."""

    start_ts: Timestamp
    participants: tuple[ShardName, ...]
    age_s: float


class ShardReader:
    """One connection to one shard, one question at a time."""

    def __init__(self, name: ShardName, connection: AiomysqlConnection, timeout_s: float) -> None:
        self.name = name
        self._connection, self._timeout_s = connection, timeout_s

    @classmethod
    async def open(cls, address: ShardAddress, timeout_s: float) -> ShardReader:
        """Raises OSError, TimeoutError or pymysql's errors."""
        return cls(address.name, await AiomysqlConnection.connect(address.dsn, timeout_s), timeout_s)

    def close(self) -> None:
        self._connection.abort()

    async def locks_older_than(self, age_s: float) -> list[Lock]:
        [answer] = await self._run(
            f"SELECT start_ts, participants, age_us / 1000000 FROM ({UNDECIDED}) undecided "
            f"WHERE age_us > {int(age_s * 1e6)} ORDER BY start_ts"
        )
        return [
            Lock(Timestamp(_integer(start_ts)), parse_participants(participants), float(_text(age_s)))
            for start_ts, participants, age_s in answer.rows
        ]

    async def newest_commit_ts(self) -> Timestamp:
        [answer] = await self._run("SELECT COALESCE(MAX(commit_ts), 0) FROM _txguard.txn")
        return Timestamp(_integer(answer.rows[0][0]))

    async def records_after(self, start_ts: Timestamp, horizon: Timestamp) -> list[CommitRecord]:
        """The next page of cross-shard records with a `commit_ts` beyond `horizon`, in the order of
        `start_ts`."""
        return await self._records(
            f"start_ts > {start_ts} AND commit_ts > {horizon} AND participants IS NOT NULL "
            f"ORDER BY start_ts LIMIT {PAGE}"
        )

    async def records_of(self, transactions: Sequence[Timestamp]) -> list[CommitRecord]:
        return await self._records(f"start_ts IN ({numbers(transactions)}) AND participants IS NOT NULL")

    async def strange_writers(self, horizon: Timestamp) -> tuple[list[str], list[str]]:
        """Rows written beyond `horizon` whose writer has no commit record; old versions whose successor has
        none.

        Each is told in words. All in one snapshot, taken again where a table changed its form meanwhile.
        """
        for attempt in range(3):
            try:
                return await self._strange_writers(horizon)
            except ShardError as error:
                if error.errno not in _TABLE_CHANGED or attempt == 2:
                    raise
        raise AssertionError("unreachable")

    async def _strange_writers(self, horizon: Timestamp) -> tuple[list[str], list[str]]:
        rows: list[str] = []
        versions: list[str] = []
        await self._run("ROLLBACK", SNAPSHOT)
        for table in await list_managed(self._connection, self._timeout_s):
            current, old = await self._run(
                _writers_without_record(table, horizon), _successors_without_record(table)
            )
            place = f"{self.name}: {table.schema}.{table.name}"
            rows += _told(current, place, "row(s) written by")
            versions += _told(old, place, "old version(s) replaced by")
        await self._run("ROLLBACK")
        return rows, versions

    async def _records(self, where: str) -> list[CommitRecord]:
        [answer] = await self._run(f"SELECT {_RECORD_COLUMNS} FROM _txguard.txn WHERE {where}")
        return [
            CommitRecord(
                Timestamp(_integer(start_ts)),
                Timestamp(_integer(commit_ts)),
                Outcome(_text(state)),
                parse_participants(participants),
            )
            for start_ts, commit_ts, state, participants in answer.rows
        ]

    async def _run(self, *statements: str) -> list[Rows]:
        return await self._connection.run(statements, self._timeout_s)


def horizon_at(now_ms: int, newest: Timestamp, keep_ms: int) -> Timestamp:
    """The `commit_ts` beyond which nothing has been cleaned: `keep_ms` before now, or before the newest
    commit if
    the oracle's clock is ahead of ours."""
    latest_ms = max(now_ms, newest >> LOGICAL_BITS)
    return Timestamp(max(0, latest_ms - keep_ms) << LOGICAL_BITS)


def _writers_without_record(table: ManagedTable, horizon: Timestamp) -> str:
    return (
        f"SELECT r.{WRITER}, COUNT(*) FROM {table.source} r LEFT JOIN _txguard.txn t "
        f"ON t.start_ts = r.{WRITER} AND t.state = 'C' "
        f"WHERE r.{WRITER} > {horizon} AND t.start_ts IS NULL GROUP BY r.{WRITER} LIMIT {_SAMPLE + 1}"
    )


def _successors_without_record(table: ManagedTable) -> str:
    return (
        f"SELECT h.{NEXT}, COUNT(*) FROM {table.history} h LEFT JOIN _txguard.txn t "
        f"ON t.start_ts = h.{NEXT} AND t.state = 'C' "
        f"WHERE t.start_ts IS NULL GROUP BY h.{NEXT} LIMIT {_SAMPLE + 1}"
    )


def _told(answer: Rows, place: str, what: str) -> Iterator[str]:
    for writer, count in answer.rows[:_SAMPLE]:
        yield f"{place} has {_integer(count)} {what} {_integer(writer)}, which has no commit record there"
    if len(answer.rows) > _SAMPLE:
        yield f"{place} has more of them"


def _integer(value: Value) -> int:
    return int(value or 0)


def _text(value: Value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
