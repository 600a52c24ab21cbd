"""SHOW TABLE STATUS of all shards as one: each table once, a sharded one with the figures of its parts together.

Sans-IO. Source: MySQL 8.0 manual, "SHOW TABLE STATUS Statement".
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from proxy.wire.columns import ColumnDefinition

_SUMS = frozenset((b"rows", b"data_length", b"index_length", b"data_free"))
_AVERAGE = b"avg_row_length"
Row = list[bytes | None]


def merge_table_status(
    columns: Sequence[ColumnDefinition], answers: Sequence[Sequence[Row]], whole: Set[str]
) -> list[Row]:
    """`answers`: each shard's rows, the first shard's first. `whole`: the tables that every shard has in full."""
    names = [column.name.lower() for column in columns]
    merged: dict[bytes, Row] = {}
    for row in (row for answer in answers for row in answer):
        name = row[0] or b""
        if name not in merged:
            merged[name] = list(row)
        elif name.decode("utf-8", "replace") not in whole:
            _add(names, merged[name], row)
    return [merged[name] for name in sorted(merged)]


def _add(names: Sequence[bytes], total: Row, row: Row) -> None:
    for index, name in enumerate(names):
        if name in _SUMS:
            total[index] = _sum(total[index], row[index])
    figures = dict(zip(names, total, strict=True))
    rows, size = figures.get(b"rows"), figures.get(b"data_length")
    if _AVERAGE in names and rows is not None and size is not None:
        total[names.index(_AVERAGE)] = b"%d" % (int(size) // int(rows) if int(rows) else 0)


def _sum(one: bytes | None, other: bytes | None) -> bytes | None:
    if one is None or other is None:
        return one if other is None else other
    return b"%d" % (int(one) + int(other))
