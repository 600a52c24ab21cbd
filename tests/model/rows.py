"""The model's rows, WHERE clauses and views: multi-version with absence."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from tests.model.rules import Violation

SHARDS, KEYS, UNIQUE_VALUES = 3, 4, 5

Place = tuple[int, int]
"""(shard, key)"""


class Record(enum.Enum):
    COMMITTED = "C"
    ROLLED_BACK = "R"


@dataclass(frozen=True, slots=True)
class Row:
    value: int
    unique: int
    """The column with a unique key, by whose parity a WHERE may ask."""
    writer: int


@dataclass(frozen=True, slots=True)
class Where:
    """One row by primary key, or rows by the parity of the unique column, or all."""

    key: int | None = None
    parity: int | None = None

    def meets(self, key: int, row: Row) -> bool:
        if self.key is not None:
            return key == self.key
        return self.parity is None or row.unique % 2 == self.parity


@dataclass(frozen=True, slots=True)
class View:
    """What one local transaction sees: rows, history and commit records of one moment."""

    rows: dict[int, Row]
    history: dict[tuple[int, int], Row | None]
    """(the writer that replaced it, key) -> the old row; None for "was not there" (operation I)"""
    records: dict[int, tuple[Record, int]]

    def too_new(self, read_ts: int) -> frozenset[int]:
        """X of [R3]. Rolled-back records may be left out: no view shows rows of a writer that it shows as R."""
        return frozenset(
            start_ts
            for start_ts, (record, commit_ts) in self.records.items()
            if commit_ts > read_ts and record is Record.COMMITTED
        )

    def select(self, where: Where, too_new: frozenset[int]) -> dict[int, Row]:
        """The patched form of [R3]; the statement as it was written where X is empty."""
        found = {
            key: row for key, row in self.rows.items() if row.writer not in too_new and where.meets(key, row)
        }
        if too_new:
            for (successor, key), old in self.history.items():
                if old is None or successor not in too_new or old.writer in too_new:
                    continue
                if where.meets(key, old):
                    if key in found:
                        raise Violation("a snapshot holds two versions of a row")
                    found[key] = old
        return found
