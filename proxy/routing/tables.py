"""What the planner must know of a table. Owned by the catalog; immutable."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from tso.types import ShardName


class TableKind(enum.Enum):
    SHARDED = "sharded"
    REFERENCE = "reference"
    SINGLE = "single"


@dataclass(frozen=True, slots=True)
class Column:
    """`type_name` is the lower-case DATA_TYPE of information_schema (int, varchar, decimal, …).

    `default` is SQL text (`'abc'`, `0`, `current_timestamp()`), the same for MySQL and MariaDB; None: no default,
    or NULL.
    """

    name: str
    type_name: str
    column_type: str
    unsigned: bool
    nullable: bool
    collation: str | None
    default: str | None
    generated: bool
    auto_increment: bool
    on_update_clock: bool = False
    """ON UPDATE CURRENT_TIMESTAMP: each shard's own clock writes it."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table as routing and planning see it; `_txg_ts` is not among the columns."""

    schema: str
    name: str
    kind: TableKind
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    unique_keys: tuple[tuple[str, ...], ...]
    """Without the primary key."""
    shard_key: str | None
    """The column whose hash picks the shard; None unless SHARDED."""
    home: ShardName | None
    """The one shard of a SINGLE table."""
    managed: bool
    """False: no primary key, so not versioned: usable in single-shard transactions only."""
    created_ts: int
    """A snapshot older than this cannot read the table (it was created or truncated since)."""
