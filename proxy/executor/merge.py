"""The answers of several shards to one SELECT become the answer that one server would have given.

Sans-IO: decoded columns and rows go in, columns and rows come out; what to do is the plan's (`proxy.sql.merge_spec`).
The steps: group and combine, compute, HAVING, DISTINCT, ORDER BY, LIMIT, and the hidden columns are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from proxy.executor.aggregate import Calculator, Combiner, Scalars, holds
from proxy.executor.collate import Comparable, Row, equality_key, order_key
from proxy.sql.merge_spec import Key, Merge
from proxy.sql.template import limit_number
from proxy.wire.columns import ColumnDefinition


def merge(
    spec: Merge,
    columns: Sequence[ColumnDefinition],
    parts: Sequence[Sequence[Row]],
    scalars: Scalars,
) -> tuple[list[ColumnDefinition], list[Row]]:
    """Merge `parts`, the rows of each shard, all with `columns` (hidden ones last).

    `scalars` gives the value of a literal or parameter. Raises NotSupported where the shards' answers turn out to be
    of a type whose order or arithmetic is not known here.
    """
    grouped = spec.group_by is not None
    rows = _groups(spec, columns, parts, scalars) if grouped else list(chain.from_iterable(parts))
    if spec.distinct is not None:
        rows = _distinct(rows, equality_key(spec.distinct, columns))
    if spec.order_by and len(rows) > 1:
        # Each shard's rows come sorted, so this is a merge of runs: what list.sort does with them.
        rows.sort(key=order_key(spec.order_by, columns))
    rows = _limited(spec, rows, scalars)
    if not spec.hidden:
        return list(columns), rows
    visible = len(columns) - spec.hidden
    return list(columns[:visible]), [row[:visible] for row in rows]


def _groups(
    spec: Merge, columns: Sequence[ColumnDefinition], parts: Sequence[Sequence[Row]], scalars: Scalars
) -> list[Row]:
    """One row a group, in the order in which the groups were first met."""
    assert spec.group_by is not None
    grouped = _by_key(chain.from_iterable(parts), spec.group_by, columns)
    combiner = Combiner(spec.aggregates, columns)
    calculator = Calculator(spec.computed, columns, scalars)
    result: list[Row] = []
    for rows in grouped if grouped or spec.group_by or not spec.of_nothing else ([],):
        row = combiner.combine(rows) if rows else combiner.of_nothing()
        calculator.fill(row)
        if holds(spec.having, row, columns, scalars):
            result.append(row)
    return result


def _by_key(
    rows: Iterable[Row], keys: Sequence[Key], columns: Sequence[ColumnDefinition]
) -> Sequence[list[Row]]:
    key_of = equality_key(keys, columns)
    groups: dict[Comparable, list[Row]] = {}
    for row in rows:
        groups.setdefault(key_of(row), []).append(row)
    return list(groups.values())


def _distinct(rows: Iterable[Row], key_of: Callable[[Row], Comparable]) -> list[Row]:
    seen: set[Comparable] = set()
    result: list[Row] = []
    for row in rows:
        key = key_of(row)
        if key not in seen:
            seen.add(key)
            result.append(row)
    return result


def _limited(spec: Merge, rows: list[Row], scalars: Scalars) -> list[Row]:
    start = limit_number(scalars(spec.offset)) if spec.offset is not None else 0
    if spec.limit is None:
        return rows[start:] if start else rows
    return rows[start : start + limit_number(scalars(spec.limit))]
