"""A grouped SELECT over several shards, whose groups span shards: combined columns, group keys, HAVING, order.

The shards answer their groups without ORDER BY and LIMIT; the merge combines, filters, sorts and limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from proxy.errors import NotSupported
from proxy.sql.cutting import cut
from proxy.sql.merge_spec import Comparison, Condition, Key, Merge
from proxy.sql.scatter_aggregates import AggregateCompiler
from proxy.sql.scatter_keys import KeyMaker, is_aggregated
from proxy.sql.scatter_names import ItemNames
from proxy.sql.sharding import Sharding
from proxy.sql.syntax import (
    ColumnName,
    Expression,
    Item,
    Operation,
    Select,
    Star,
    Subquery,
    Value,
    conjuncts,
    walk,
)
from proxy.sql.template import Part

_COMPARISONS = {c.value: c for c in Comparison}
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "<>": "<>"}


@dataclass(slots=True)
class GroupBuilder:
    """`item_keys`: how the aggregated select items sort, by their index."""

    select: Select
    names: ItemNames
    keys: KeyMaker
    sharding: Sharding
    compiler: AggregateCompiler = field(init=False)
    item_keys: dict[int, Key] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.compiler = AggregateCompiler(self.keys, self.sharding)

    def merge(self) -> tuple[Merge, list[Part]]:
        """The merge, and the text that ends each shard's statement: finer groups and HAVING."""
        for index, item in enumerate(self.select.items):
            if is_aggregated(item.expression):
                self._require_visible(index)
                self.item_keys[index] = self.compiler.column(item.expression, index)
            else:
                self._check_plain_item(item)
        group_by = self._group_keys()
        pushed, having = self._having()
        order = self._order()
        distinct = self._distinct()
        self.compiler.check()
        merge = Merge(
            group_by=group_by,
            # Without a GROUP BY a shard has no row only where HAVING wants none.
            of_nothing=not self.select.group_by and not pushed,
            aggregates=tuple(self.compiler.aggregates),
            computed=tuple(self.compiler.computed),
            having=tuple(having),
            distinct=distinct,
            order_by=order,
        )
        return merge, [*self._finer_groups(), *self._pushed_text(pushed)]

    def _finer_groups(self) -> list[Part]:
        """COUNT(DISTINCT x): a row for each x of a group, so that the merge can count them."""
        if self.compiler.finer and not self.select.group_by and len(self.item_keys) < len(self.select.items):
            raise NotSupported(
                "COUNT(DISTINCT …) beside what is no aggregate, without GROUP BY, over several shards"
            )
        result: list[Part] = []
        for number, text in enumerate(self.compiler.finer):
            result += [", " if number or self.select.group_by else " GROUP BY ", *text]
        return result

    def _pushed_text(self, having: Sequence[Expression]) -> list[Part]:
        result: list[Part] = []
        for number, conjunct in enumerate(having):
            result.append(" AND (" if number else " HAVING (")
            result += [*cut(self.keys.tokens, conjunct.start, conjunct.end, self.keys.holes), ")"]
        return result

    def _require_visible(self, index: int) -> None:
        if self.names.visible(index) is None:
            raise NotSupported("an aggregate beside * over several shards")

    def _check_plain_item(self, item: Item) -> None:
        if self.select.group_by:
            return
        if any(isinstance(node, (ColumnName, Star, Subquery)) for node in walk(item.expression)):
            raise NotSupported("columns beside aggregates without GROUP BY over several shards")

    def _group_keys(self) -> tuple[Key, ...]:
        result: list[Key] = []
        for item in self.select.group_by:
            target = self.names.target(item.expression, columns_first=True)
            if target is not None:
                expression, visible = target
                if is_aggregated(expression):
                    raise NotSupported("GROUP BY an aggregate")
                result.append(self.keys.key(expression, visible=visible, equality=True))
        return tuple(result)

    def _order(self) -> tuple[Key, ...]:
        result: list[Key] = []
        for item in self.select.order_by:
            target = self.names.target(item.expression, allow_other=not is_distinct(self.select))
            if target is None:
                continue
            expression, visible = target
            if not is_aggregated(expression):
                result.append(self.keys.key(expression, descending=item.descending, visible=visible))
            else:
                key = self.item_keys[visible] if visible is not None else self.compiler.column(expression)
                result.append(replace(key, descending=item.descending))
        return tuple(result)

    def _distinct(self) -> tuple[Key, ...] | None:
        if not is_distinct(self.select):
            return None
        return tuple(
            self.item_keys[index]
            if index in self.item_keys
            else self.keys.key(item.expression, visible=self.names.visible(index), equality=True)
            for index, item in enumerate(self.select.items)
        )

    # ------------------------------------------------------------ HAVING

    def _having(self) -> tuple[list[Expression], list[Condition]]:
        """Conjuncts over the group's own columns go to the shards, those over aggregates to the merge."""
        pushed: list[Expression] = []
        merged: list[Condition] = []
        for conjunct in conjuncts(self.select.having):
            if self._over_group_columns(conjunct):
                pushed.append(conjunct)
            else:
                merged.append(self._condition(conjunct))
        return pushed, merged

    def _over_group_columns(self, conjunct: Expression) -> bool:
        if is_aggregated(conjunct):
            return False
        for node in walk(conjunct):
            if isinstance(node, (Subquery, Star)):
                raise NotSupported("a subquery in HAVING over several shards")
            if isinstance(node, ColumnName):
                named = self.names.item_named(node)
                own = self.names.block.resolve(node)
                if named is not None and own is None and is_aggregated(self.select.items[named].expression):
                    return False
                target = node if named is None or own is not None else self.select.items[named].expression
                if not any(self.names.same(target, item.expression) for item in self.select.group_by):
                    raise NotSupported(
                        "HAVING of what is neither grouped by nor an aggregate, over several shards"
                    )
        return True

    def _condition(self, conjunct: Expression) -> Condition:
        refusal = NotSupported(
            "this HAVING over several shards (comparisons of an aggregate with a number are possible)"
        )
        if not isinstance(conjunct, Operation):
            raise refusal
        if conjunct.name in ("IS NULL", "IS NOT NULL"):
            return Condition(self._compared(conjunct.operands[0]), _COMPARISONS[conjunct.name])
        if conjunct.name not in _MIRRORED:
            raise refusal
        left, right = conjunct.operands
        name = conjunct.name
        if isinstance(left, Value):
            left, right, name = right, left, _MIRRORED[name]
        if not isinstance(right, Value) or not right.plain:
            raise refusal
        return Condition(self._compared(left), _COMPARISONS[name], right.operand)

    def _compared(self, expression: Expression) -> int:
        named = self.names.item_named(expression)
        key = self.item_keys.get(named) if named is not None else None
        if key is None:
            if not is_aggregated(expression):
                raise NotSupported("this HAVING over several shards")
            key = self.compiler.column(expression)
        if key.value is None or (key.weight is not None and key.value is None):
            raise NotSupported("HAVING over a string aggregate over several shards")
        return key.value


def is_distinct(select: Select) -> bool:
    return bool({"DISTINCT", "DISTINCTROW"} & select.options)
