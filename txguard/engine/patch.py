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
from txguard.engine.sqltext import numbers, qualified, quote, quoted_list

_TYPES_CHANGED: Final = frozenset({"enum", "set"})


@dataclass(frozen=True, slots=True)
class NewerThan:
    """X as a subquery: every writer that committed after `read_ts`, as the statement's own view has them."""

    read_ts: int


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
    writers = _writers(too_new)
    names, history = quoted_list(columns), qualified(DATABASE, history_name(schema, table))
    return (
        f"(SELECT {names} FROM {qualified(schema, table)} WHERE {WRITER} NOT IN ({writers})"
        f" UNION ALL SELECT {names} FROM {history}"
        f" WHERE {NEXT} IN ({writers}) AND {WRITER} NOT IN ({writers})"
        f" AND {OPERATION} <> '{Operation.INSERTED.value}'{_not_own(history, overwritten_by_key)}) AS {quote(alias)}"
    )


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


def _writers(too_new: TooNew) -> str:
    if isinstance(too_new, NewerThan):
        return (
            f"SELECT start_ts FROM `{DATABASE}`.`txn` FORCE INDEX (commit_ts)"
            f" WHERE commit_ts > {too_new.read_ts} AND state = 'C'"
        )
    if not too_new:
        raise ValueError("nothing is too new: run the statement as it was written")
    return numbers(too_new)
