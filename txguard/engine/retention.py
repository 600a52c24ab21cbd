"""Tables whose replaced versions are kept for longer than the commit records are: `_txguard.retention` says which.

The rule: when a commit record goes, who wrote such a table stays known as a row of `_txguard.kept`, so that X [R3] can
still be told for this table; its history and that row go together, once the table's own retention is over. Each table
has a mark of its own [R7], `cleaned_to`: it begins with how far the shard was cleaned when the table was told apart,
and rises in the local transaction that cleans its history. Source: docs/protocol.md, "Cleaning".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tso.types import Timestamp
from txguard.engine.install import ANY_MARK, DATABASE, SINGLE_SHARD_MARK
from txguard.engine.managed_table import NEXT, ManagedTable, history_name
from txguard.engine.shard import Connection, Rows
from txguard.engine.sqltext import numbers, text

RETENTION: Final = f"`{DATABASE}`.`retention`"
KEPT: Final = f"`{DATABASE}`.`kept`"
LONGEST_S: Final = 100 * 366 * 86_400

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"([0-9]{1,10})\s*([smhdw]?)", re.IGNORECASE)


def parse_duration(duration: str) -> int:
    """Seconds: `7d`, `12h`, `90m`, `600s`, `600`. Raises ValueError, which says what to write."""
    match = _DURATION.fullmatch(duration.strip())
    seconds = int(match[1]) * _UNITS[match[2].lower()] if match is not None else 0
    if not 0 < seconds <= LONGEST_S:
        raise ValueError(f"{duration!r} is no retention: write a number with s, m, h, d or w, as in 7d")
    return seconds


def set_retention_statement(schema: str, name: str, seconds: int) -> str:
    """Keep what is replaced in this table for `seconds`, or for the shard's general retention if that is longer.

    It waits for a cleaning under way, so that `cleaned_to` is how far this table was cleaned.
    """
    return (
        f"INSERT INTO {RETENTION} (history_name, retention_s, cleaned_to) "
        f"SELECT {text(history_name(schema, name))}, {seconds}, MAX(commit_ts) FROM `{DATABASE}`.`txn` "
        f"WHERE start_ts IN ({ANY_MARK}, {SINGLE_SHARD_MARK}) LOCK IN SHARE MODE "
        "ON DUPLICATE KEY UPDATE retention_s = VALUES(retention_s)"
    )


def forget_retention_statement(schema: str, name: str) -> str:
    """For a table that is gone. What was kept for it, cleaning takes away."""
    return f"DELETE FROM {RETENTION} WHERE history_name = {text(history_name(schema, name))}"


async def list_retentions(connection: Connection, timeout_s: float | None = None) -> dict[str, int]:
    """Seconds, by the name of the table's history."""
    [answer] = await connection.run([f"SELECT history_name, retention_s FROM {RETENTION}"], timeout_s)
    return {_string(name): int(seconds or 0) for name, seconds in answer.rows}


@dataclass(frozen=True, slots=True, order=True)
class TableRetention:
    """`cleaned_to`: what was replaced up to there may be gone."""

    schema: str
    name: str
    seconds: int
    cleaned_to: Timestamp


async def read_retentions(connection: Connection, timeout_s: float | None = None) -> list[TableRetention]:
    """Of the tables of this shard that have one of their own."""
    query = (
        f"SELECT m.table_schema, m.table_name, r.retention_s, r.cleaned_to FROM {RETENTION} r "
        f"JOIN `{DATABASE}`.`managed` m ON m.history_name = r.history_name"
    )
    [answer] = await connection.run([query], timeout_s)
    return [
        TableRetention(_string(schema), _string(name), int(seconds or 0), Timestamp(int(cleaned_to or 0)))
        for schema, name, seconds, cleaned_to in answer.rows
    ]


def together(shards: Iterable[Sequence[TableRetention]]) -> list[TableRetention]:
    """What holds on all shards: the shortest retention, and the latest `cleaned_to`."""
    found: dict[tuple[str, str], TableRetention] = {}
    for one in (one for shard in shards for one in shard):
        other = found.setdefault((one.schema, one.name), one)
        found[one.schema, one.name] = replace(
            one,
            seconds=min(one.seconds, other.seconds),
            cleaned_to=max(one.cleaned_to, other.cleaned_to),
        )
    return list(found.values())


# ---------------------------------------------------------------- cleaning


def keep_statements(tables: Iterable[ManagedTable], writers: Sequence[Timestamp]) -> list[str]:
    """Note who of `writers` wrote each of `tables`, before their commit records go."""
    return [
        f"INSERT IGNORE INTO {KEPT} (history_name, start_ts, commit_ts) "
        f"SELECT DISTINCT {text(table.history_name)}, _txg_t.start_ts, _txg_t.commit_ts "
        f"FROM `{DATABASE}`.`txn` AS _txg_t STRAIGHT_JOIN {table.history} AS _txg_h ON _txg_h.{NEXT} = _txg_t.start_ts "
        f"WHERE _txg_t.start_ts IN ({numbers(writers)}) AND _txg_t.state = 'C'"
        for table in tables
    ]


async def kept_histories(connection: Connection, timeout_s: float | None = None) -> list[str]:
    """The names of the histories for which something is kept, also of tables that are gone."""
    [answer] = await connection.run([f"SELECT DISTINCT history_name FROM {KEPT}"], timeout_s)
    return histories(answer)


def expired_query(history: str, up_to: Timestamp | None, limit: int) -> str:
    """The oldest writers kept for it, `start_ts` and `commit_ts`. `up_to` None: all are over."""
    until = "" if up_to is None else f"AND commit_ts <= {up_to} "
    return (
        f"SELECT start_ts, commit_ts FROM {KEPT} FORCE INDEX (commit_ts) WHERE history_name = {text(history)} {until}"
        f"ORDER BY commit_ts LIMIT {limit}"
    )


def expire_statements(
    history: str, table: ManagedTable | None, gone: Sequence[Timestamp], up_to: Timestamp
) -> list[str]:
    """Forget these writers, and what they replaced in `table` (None: the table is gone)."""
    writers, name = numbers(gone), text(history)
    mark = f"UPDATE {RETENTION} SET cleaned_to = GREATEST(cleaned_to, {up_to}) WHERE history_name = {name}"
    replaced = [] if table is None else [mark, f"DELETE FROM {table.history} WHERE {NEXT} IN ({writers})"]
    return [*replaced, f"DELETE FROM {KEPT} WHERE history_name = {name} AND start_ts IN ({writers})"]


# ---------------------------------------------------------------- reading


def histories(answer: Rows) -> list[str]:
    return [_string(name) for (name,) in answer.rows]


def kept_since_query(instant: Timestamp) -> str:
    """[R7] The names of the histories that go back to `instant` though the shard was cleaned beyond it."""
    return f"SELECT history_name FROM {RETENTION} WHERE cleaned_to <= {instant}"


def _string(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
