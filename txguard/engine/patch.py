"""[R3] A table as an older snapshot sees it: the derived table that takes its place in a single-table SELECT.

Takes plain strings, so that the planner can call it without a connection. The WHERE of the outer SELECT is pushed
into both halves by MariaDB and MySQL alike; into a join it is not, so a join takes a quiet snapshot instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from txguard.engine.install import DATABASE
from txguard.engine.managed_table import NEXT, OPERATION, WRITER, Operation, history_name
from txguard.engine.sqltext import numbers, qualified, quote, quoted_list, text

_TYPES_CHANGED: Final = frozenset({"enum", "set"})


@dataclass(frozen=True, slots=True)
class NewerThan:
    """X as a subquery: every writer that committed after `read_ts`, as the statement's own view has them.

    `beyond`: the shard's commit records were cleaned beyond it, and the table keeps its writers for longer.
    """

    read_ts: int
    beyond: bool = False


TooNew = Sequence[int] | NewerThan
"""X of [R3]: as a list, or as what the past makes of it, which may be long."""


def patched_source(
    schema: str,
    table: str,
    columns: Sequence[str],
    too_new: TooNew,
    alias: str,
    *,
    overwritten_by_key: Sequence[str] = (),
) -> str:
    """The rows of a managed table without what `too_new` wrote, and with what `too_new` replaced.

    `overwritten_by_key`: the primary key, where the transaction itself may have written over what `too_new` wrote.
    `columns` in the order that the derived table shall have (all that the statement uses; the table's visible ones
    for `*`). `too_new` must not be empty: without too-new versions the statement runs as it was written.
    """
    parts = _writers(too_new, history_name(schema, table))
    names, history = quoted_list(columns), qualified(DATABASE, history_name(schema, table))
    old_enough = " AND ".join(f"{WRITER} NOT IN ({writers})" for writers in parts)
    # No UNION inside of IN: the servers would run it anew for each row.
    replaced = "".join(
        f" UNION ALL SELECT {names} FROM {history} WHERE {NEXT} IN ({writers}) AND {old_enough}"
        f" AND {OPERATION} <> '{Operation.INSERTED.value}'{_not_own(history, overwritten_by_key)}"
        for writers in parts
    )
    return f"(SELECT {names} FROM {qualified(schema, table)} WHERE {old_enough}{replaced}) AS {quote(alias)}"


def _not_own(history: str, key: Sequence[str]) -> str:
    if not key:
        return ""
    same = " AND ".join(f"_txg_own.{quote(name)} = {history}.{quote(name)}" for name in key)
    return f" AND NOT EXISTS (SELECT 1 FROM {history} AS _txg_own WHERE _txg_own.{NEXT} = @txg_start_ts AND {same})"


def changes_type(type_name: str, column_type: str) -> bool:
    """Whether a UNION makes this column another type on MariaDB and MySQL: what it prints as, or sorts by, changes.

    ENUM and SET become VARCHAR (they sort by text, and have no number); ZEROFILL is lost. Where such a column
    decides an order or is computed with, the patched form does not stand for the table.
    """
    return type_name.lower() in _TYPES_CHANGED or "zerofill" in column_type.lower()


def _writers(too_new: TooNew, history: str) -> list[str]:
    """X in parts that have no member in common, each the inside of an IN list."""
    if isinstance(too_new, NewerThan):
        newer = f"FORCE INDEX (commit_ts) WHERE commit_ts > {too_new.read_ts}"
        records = f"SELECT start_ts FROM `{DATABASE}`.`txn` {newer} AND state = 'C'"
        kept = f"SELECT start_ts FROM `{DATABASE}`.`kept` {newer} AND history_name = {text(history)}"
        return [records, kept] if too_new.beyond else [records]
    if not too_new:
        raise ValueError("nothing is too new: run the statement as it was written")
    return [numbers(too_new)]
