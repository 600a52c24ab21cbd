"""The hidden columns of a scattered SELECT, and their indexes in the shards' rows.

While a scatter is being built nobody knows how many hidden columns there will be: one is HIDDEN_BASE + its place. In
the end `settle` makes these the negative indexes that `merge_spec` promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from proxy.sql.merge_spec import Aggregate, Computed, Formula, Key, Merge
from proxy.sql.template import Part


@dataclass(slots=True)
class HiddenColumns:
    """Texts of the hidden columns, and room for their final indexes (from -len to -1)."""

    texts: list[list[Part]] = field(default_factory=list)

    def add(self, *parts: Sequence[Part]) -> int:
        """Append a column; returns its place, which `index` turns into a row index when all are known."""
        text: list[Part] = []
        for part in parts:
            text.extend([part] if isinstance(part, str) else part)  # A str would come apart into characters.
        if text in self.texts:
            return self.texts.index(text)
        self.texts.append(text)
        return len(self.texts) - 1


HIDDEN_BASE = 1 << 20


def settle(merge: Merge) -> Merge:
    """Give the hidden columns their negative indexes, now that their number is known."""
    hidden = merge.hidden

    def index(column: int) -> int:
        return column if column < HIDDEN_BASE else column - HIDDEN_BASE - hidden

    def key(one: Key) -> Key:
        value = None if one.value is None else index(one.value)
        weight = None if one.weight is None else index(one.weight)
        space = None if one.space is None else index(one.space)
        return Key(value, weight, space, one.descending)

    def formula(one: Formula) -> Formula:
        arguments = tuple(formula(argument) for argument in one.arguments)
        return Formula(one.operator, arguments, index(one.column), one.number)

    def keys(several: tuple[Key, ...] | None) -> tuple[Key, ...] | None:
        return None if several is None else tuple(key(one) for one in several)

    return replace(
        merge,
        group_by=keys(merge.group_by),
        distinct=keys(merge.distinct),
        order_by=keys(merge.order_by) or (),
        aggregates=tuple(
            Aggregate(index(one.column), one.how, None if one.key is None else key(one.key))
            for one in merge.aggregates
        ),
        computed=tuple(Computed(index(one.column), formula(one.formula)) for one in merge.computed),
        having=tuple(replace(one, column=index(one.column)) for one in merge.having),
    )
