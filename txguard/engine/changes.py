"""What committed transactions changed on a shard, from its history: for the audit stream and a row's versions.

The rule: everything is read in one view, in which a change, its commit record and the version that it made always fit;
the caller has made sure that nothing at or below `until` is undecided, and asks for no more than that. A version is
found by its writer: it is the row itself, or in history because somebody replaced it. What was inserted and deleted
within one transaction is no change. Source: docs/protocol.md, "What is stored on a shard".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tso.types import ShardName, Timestamp
from txguard.engine.managed import list_managed
from txguard.engine.managed_table import NEXT, OPERATION, WRITER, ManagedTable, Operation
from txguard.engine.marks import MARKS
from txguard.engine.past import cleaned_beyond_query
from txguard.engine.retention import KEPT
from txguard.engine.shard import Connection, Rows, Value
from txguard.engine.sqltext import numbers, quote, quoted_list, text
from txguard.errors import SnapshotTooOld

OPEN_VIEW: Final = (
    "SET SESSION time_zone = '+00:00'",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)
PAGE: Final = 2_000
"""Transactions read at a time."""
_MARKS: Final = sorted(MARKS)
_RECORDS: Final = "SELECT start_ts, commit_ts FROM _txguard.txn"

Values = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Change:
    """`before` None: an insert; `after` None: a delete."""

    commit_ts: Timestamp
    start_ts: Timestamp
    schema: str
    table: str
    key_names: tuple[str, ...]
    key: tuple[Value, ...]
    before: Values | None
    after: Values | None

    @property
    def operation(self) -> str:
        if self.before is None:
            return "insert"
        return "delete" if self.after is None else "update"

    @property
    def identity(self) -> tuple[int, int, str, str, str]:
        """The order of the stream. A reference table's change is the same on every shard."""
        return self.commit_ts, self.start_ts, self.schema, self.table, repr(self.key)


@dataclass(frozen=True, slots=True)
class Version:
    """A row from its writer's commit on. `commit_ts` None: before what is kept; `values` None: it was deleted."""

    commit_ts: Timestamp | None
    start_ts: Timestamp
    operation: str
    values: Values | None


class ShardChanges:
    """One shard, in one view."""

    def __init__(self, shard: ShardName, connection: Connection, timeout_s: float) -> None:
        self.shard = shard
        self._connection, self._timeout_s = connection, timeout_s

    async def oldest_kept(self) -> Timestamp:
        """The earliest position: what was committed later is still kept."""
        [answer] = await self._run(
            f"SELECT MAX(commit_ts) FROM _txguard.txn WHERE start_ts IN ({numbers(_MARKS)})"
        )
        return _timestamp(answer.rows[0][0])

    async def open(self, position: Timestamp) -> None:
        """Open the view. Raises SnapshotTooOld where changes after `position` may have been cleaned."""
        answers = await self._run("ROLLBACK", *OPEN_VIEW, cleaned_beyond_query(position))
        if answers[-1].rows:
            raise SnapshotTooOld(f"changes since then are not kept any more on shard {self.shard}")

    async def records(self, position: Timestamp, until: Timestamp) -> dict[Timestamp, Timestamp]:
        """The next page: `start_ts` to `commit_ts`, in the order of the latter."""
        [answer] = await self._run(
            f"{_RECORDS} FORCE INDEX (commit_ts) WHERE commit_ts > {position} AND commit_ts <= {until} "
            f"AND state = 'C' ORDER BY commit_ts LIMIT {PAGE}"
        )
        return _records(answer)

    async def changes(self, records: Mapping[Timestamp, Timestamp]) -> list[Change]:
        """What these transactions changed here, in no order."""
        if not records:
            return []
        found: list[Change] = []
        for table in await list_managed(self._connection, self._timeout_s):
            answers = await self._run(*changes_queries(table, list(records), min(records.values())))
            found += changes_of(table, records, *answers)
        return found

    async def versions(self, schema: str, name: str, key: Sequence[str], until: Timestamp) -> list[Version]:
        """A row's, the oldest first. Raises KeyError: no such table is managed; ValueError: its key is another."""
        managed = await list_managed(self._connection, self._timeout_s)
        tables = {(table.schema, table.name): table for table in managed}
        table = tables[schema, name]
        if len(key) != len(table.primary_key):
            raise ValueError(f"the primary key of {schema}.{name} is ({', '.join(table.primary_key)})")
        current, history = await self._run(*row_queries(table, key))
        writers = [_timestamp(row[0]) for row in (*current.rows, *history.rows)]
        writers += [_timestamp(row[1]) for row in history.rows]
        who = f"start_ts IN ({numbers(writers)})"
        records, kept = await self._run(
            f"{_RECORDS} WHERE {who} AND state = 'C'",
            f"SELECT start_ts, commit_ts FROM {KEPT} WHERE history_name = {text(table.history_name)} AND {who}",
        )
        return versions_of(table, current, history, _records(kept) | _records(records), until)

    async def _run(self, *statements: str) -> list[Rows]:
        return list(await self._connection.run(statements, self._timeout_s))


# ---------------------------------------------------------------- changes


def changes_queries(table: ManagedTable, writers: Sequence[Timestamp], since: Timestamp) -> list[str]:
    """What `writers` replaced, and what they left: still there, or replaced since, by a commit after `since`."""
    columns, who = quoted_list(table.column_names, "_txg_v"), numbers(writers)
    same_key = " AND ".join(f"_txg_v.{quote(name)} = _txg_h.{quote(name)}" for name in table.primary_key)
    return [
        f"SELECT {NEXT}, {OPERATION}, {columns} FROM {table.history} AS _txg_v WHERE {NEXT} IN ({who})",
        f"SELECT _txg_v.{WRITER}, '', {columns} FROM {table.history} AS _txg_h STRAIGHT_JOIN {table.source} AS _txg_v "
        f"FORCE INDEX (PRIMARY) ON {same_key} WHERE _txg_h.{NEXT} IN ({who}) AND _txg_v.{WRITER} = _txg_h.{NEXT}",
        f"SELECT _txg_v.{WRITER}, '', {columns} FROM _txguard.txn AS _txg_t FORCE INDEX (commit_ts) "
        f"STRAIGHT_JOIN {table.history} AS _txg_v ON _txg_v.{NEXT} = _txg_t.start_ts "
        f"WHERE _txg_t.commit_ts > {since} AND _txg_t.state = 'C' AND _txg_v.{WRITER} IN ({who}) "
        f"AND _txg_v.{OPERATION} <> '{Operation.INSERTED.value}'",
    ]


def changes_of(
    table: ManagedTable, records: Mapping[Timestamp, Timestamp], replaced: Rows, present: Rows, past: Rows
) -> list[Change]:
    """From the answers to `changes_queries`."""
    before: dict[tuple[Timestamp, tuple[Value, ...]], Values] = {}
    after: dict[tuple[Timestamp, tuple[Value, ...]], Values] = {}
    for row in replaced.rows:
        if _text(row[1]) != Operation.INSERTED.value:
            values = _values(table, row[2:])
            before[_timestamp(row[0]), _key(table, values)] = values
    for row in (*present.rows, *past.rows):
        values = _values(table, row[2:])
        after[_timestamp(row[0]), _key(table, values)] = values
    return [
        Change(
            records[writer],
            writer,
            table.schema,
            table.name,
            table.primary_key,
            key,
            before.get(place),
            after.get(place),
        )
        for place in dict.fromkeys((*before, *after))
        for writer, key in [place]
    ]


def in_order(parts: Iterable[Iterable[Change]]) -> list[Change]:
    """Every shard's changes as one stream, each once."""
    return sorted(
        {c.identity: c for part in parts for c in part}.values(), key=lambda change: change.identity
    )


# ---------------------------------------------------------------- versions of one row


def row_queries(table: ManagedTable, key: Sequence[str]) -> list[str]:
    columns = quoted_list(table.column_names)
    where = " AND ".join(
        f"{quote(name)} = {text(value)}" for name, value in zip(table.primary_key, key, strict=True)
    )
    return [
        f"SELECT {WRITER}, {columns} FROM {table.source} WHERE {where}",
        f"SELECT {NEXT}, {WRITER}, {OPERATION}, {columns} FROM {table.history} WHERE {where}",
    ]


def versions_of(
    table: ManagedTable,
    current: Rows,
    history: Rows,
    records: Mapping[Timestamp, Timestamp],
    until: Timestamp,
) -> list[Version]:
    """From the answers to `row_queries`; what was committed after `until` is left out."""
    made: dict[Timestamp, Values] = {_timestamp(row[0]): _values(table, row[1:]) for row in current.rows}
    replaced: dict[Timestamp, Timestamp | None] = {}
    for row in history.rows:
        replaced[_timestamp(row[0])] = None
        if _text(row[2]) != Operation.INSERTED.value:
            replaced[_timestamp(row[0])] = _timestamp(row[1])
            made[_timestamp(row[1])] = _values(table, row[3:])
    versions = [
        Version(records.get(writer), writer, "kept from before", values)
        for writer, values in made.items()
        if writer not in replaced
    ]
    for writer, old in sorted(replaced.items(), key=lambda item: records.get(item[0], 0)):
        if writer in records and records[writer] <= until:
            operation = "delete" if writer not in made else "insert" if old is None else "update"
            if old is not None or writer in made:
                versions.append(Version(records[writer], writer, operation, made.get(writer)))
    return versions


# ---------------------------------------------------------------- values


def _records(answer: Rows) -> dict[Timestamp, Timestamp]:
    return {_timestamp(start_ts): _timestamp(commit_ts) for start_ts, commit_ts in answer.rows}


def _values(table: ManagedTable, row: Sequence[Value]) -> Values:
    return dict(zip(table.column_names, row, strict=True))


def _key(table: ManagedTable, values: Values) -> tuple[Value, ...]:
    return tuple(values[name] for name in table.primary_key)


def _timestamp(value: Value) -> Timestamp:
    return Timestamp(int(value or 0))


def _text(value: Value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
