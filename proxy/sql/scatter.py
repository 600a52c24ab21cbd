"""A SELECT over several shards: the text that each is asked, and how the answers are merged.

The client's own columns stay as they are; see `merge_spec` for the hidden ones. Three forms:
- rows: each shard answers sorted and limited, the merge keeps the order (also for groups that never span shards,
  because they are grouped by the shard key);
- distinct rows: the same, with equal rows made one;
- groups: each shard answers its groups, without ORDER BY and LIMIT; the merge combines, sorts and limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from proxy.errors import NotSupported
from proxy.sql.cutting import Holes, cut, template
from proxy.sql.lexer import Tokens
from proxy.sql.merge_spec import Aggregate, Comparison, Computed, Condition, Formula, Key, Merge
from proxy.sql.operands import Constant, quote_name
from proxy.sql.plan import Scatter
from proxy.sql.scatter_aggregates import AggregateCompiler
from proxy.sql.scatter_keys import HiddenColumns, KeyMaker, is_aggregated, settle
from proxy.sql.scope import Block
from proxy.sql.sharding import Sharding
from proxy.sql.syntax import (
    ColumnName,
    Expression,
    Item,
    Limit,
    Operation,
    Select,
    Star,
    Subquery,
    Value,
    conjuncts,
    walk,
)
from proxy.sql.template import LimitSum, Part

_COMPARISONS = {c.value: c for c in Comparison}
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "<>": "<>"}


@dataclass(slots=True)
class ScatterBuilder:
    tokens: Tokens
    select: Select
    block: Block
    sharding: Sharding
    holes: Holes
    text_dependent: bool = False
    """The plan holds for this statement's own literals only (ORDER BY 1)."""
    hidden: HiddenColumns = field(default_factory=HiddenColumns)

    def build(self) -> Scatter:
        self._refuse()
        select = self.select
        looked_at = [item.expression for item in select.items]
        looked_at += [item.expression for item in select.order_by]
        if select.having is not None:
            looked_at.append(select.having)
        grouped = bool(select.group_by) or any(is_aggregated(expression) for expression in looked_at)
        disjoint = any(self._is_shard_key(item.expression) for item in select.group_by)
        if grouped and not disjoint:
            return self._groups()
        return self._rows(grouped)

    def _refuse(self) -> None:
        select = self.select
        if "SQL_CALC_FOUND_ROWS" in select.options:
            raise NotSupported("SQL_CALC_FOUND_ROWS over several shards")
        if select.rollup:
            raise NotSupported("GROUP BY … WITH ROLLUP over several shards")
        if select.windows or any(call.window for call in self.block.calls()):
            raise NotSupported("window functions over several shards")
        if self.tokens.tokens[select.start].upper == "(":
            raise NotSupported("a SELECT in parentheses over several shards")

    def _is_shard_key(self, expression: Expression) -> bool:
        return self.sharding.is_key(expression, self.block)

    def _keys(self, grouped: bool) -> KeyMaker:
        return KeyMaker(self.tokens, self.block, self.holes, self.hidden, grouped)

    # ------------------------------------------------------------ rows

    def _rows(self, grouped: bool) -> Scatter:
        keys = self._keys(grouped)
        distinct = self._distinct(keys)
        order = []
        for item in self.select.order_by:
            target = self._target(item.expression, allow_other=distinct is None)
            if target is not None:
                expression, visible = target
                order.append(keys.key(expression, descending=item.descending, visible=visible))
        return self._assemble(Merge(distinct=distinct, order_by=tuple(order)), groups=False)

    def _distinct(self, keys: KeyMaker) -> tuple[Key, ...] | None:
        select = self.select
        if not {"DISTINCT", "DISTINCTROW"} & select.options:
            return None
        if any(self._is_shard_key(item.expression) for item in select.items):
            return None
        result: list[Key] = []
        for index, item in enumerate(select.items):
            if isinstance(item.expression, Star):
                result += self._star_keys(item.expression, keys)
            else:
                result.append(keys.key(item.expression, visible=self._visible(index), equality=True))
        return tuple(result)

    def _star_keys(self, star: Star, keys: KeyMaker) -> list[Key]:
        result: list[Key] = []
        sources = self.block.sources
        if star.qualifier:
            sources = [s for s in sources if s.alias.lower() == star.qualifier[-1].lower()]
        for source in sources:
            if not source.columns:
                raise NotSupported("SELECT DISTINCT * of a derived table over several shards")
            for column in source.columns.values():
                text = f"{quote_name(source.alias)}.{quote_name(column.name)}"
                result.append(keys.text_key([text], column, None))
        return result

    def _visible(self, index: int) -> int | None:
        """The row index of an item, unless a star before it stands for a number of columns."""
        before = self.select.items[: index + 1]
        return None if any(isinstance(item.expression, Star) for item in before) else index

    # ------------------------------------------------------------ what ORDER BY and GROUP BY mean

    def _target(
        self, expression: Expression, *, columns_first: bool = False, allow_other: bool = True
    ) -> tuple[Expression, int | None] | None:
        """The expression an ORDER BY (or GROUP BY: `columns_first`) item means, and its visible index.

        None: a constant, which orders nothing.
        """
        if isinstance(expression, Value):
            return self._ordinal(expression)
        named = self._item_named(expression)
        own_column = isinstance(expression, ColumnName) and self.block.resolve(expression) is not None
        if named is not None and not (columns_first and own_column):
            return self.select.items[named].expression, self._visible(named)
        for index, item in enumerate(self.select.items):
            if self._same(item.expression, expression):
                return item.expression, self._visible(index)
        if not allow_other and not self._covered_by_star(expression):
            raise NotSupported("SELECT DISTINCT … ORDER BY what is not selected, over several shards")
        if not isinstance(expression, ColumnName):
            self._refuse_aliases_inside(expression)
        return expression, None

    def _ordinal(self, value: Value) -> tuple[Expression, int | None] | None:
        self.text_dependent = True
        text = self.tokens.sql[self.tokens.tokens[value.start].start : self.tokens.tokens[value.end - 1].end]
        if not value.number or not text.isdigit():
            return None
        index = int(text) - 1
        if not 0 <= index < len(self.select.items) or self._visible(index) is None:
            raise NotSupported(f"position {text} in ORDER BY or GROUP BY beside *, over several shards")
        return self.select.items[index].expression, index

    def _item_named(self, expression: Expression) -> int | None:
        if not isinstance(expression, ColumnName) or len(expression.parts) != 1:
            return None
        name = expression.name.lower()
        found = [
            index
            for index, item in enumerate(self.select.items)
            if item.alias is not None and item.alias.lower() == name
        ]
        if len(found) > 1:
            raise NotSupported(f"the alias {expression.name}, which is given twice, over several shards")
        return found[0] if found else None

    def _same(self, one: Expression, other: Expression) -> bool:
        """The same column, or the same text."""
        if isinstance(one, ColumnName) and isinstance(other, ColumnName):
            found = self.block.resolve(one)
            return found is not None and found == self.block.resolve(other)
        texts = [self.tokens.tokens[node.start : node.end] for node in (one, other)]
        if any(token.ordinal >= 0 for text in texts for token in text):
            return False
        return [t.upper or t.text for t in texts[0]] == [t.upper or t.text for t in texts[1]]

    def _covered_by_star(self, expression: Expression) -> bool:
        return isinstance(expression, ColumnName) and any(
            isinstance(item.expression, Star) and not item.expression.qualifier for item in self.select.items
        )

    def _refuse_aliases_inside(self, expression: Expression) -> None:
        for node in walk(expression):
            named = self._item_named(node)
            if named is not None and not self._same(self.select.items[named].expression, node):
                raise NotSupported(
                    f"an expression over the alias {self.select.items[named].alias}, over several shards"
                )

    # ------------------------------------------------------------ groups

    def _groups(self) -> Scatter:
        select = self.select
        keys = self._keys(True)
        compiler = AggregateCompiler(keys, self.sharding)
        item_keys: dict[int, Key] = {}
        for index, item in enumerate(select.items):
            if is_aggregated(item.expression):
                self._require_visible(index)
                item_keys[index] = compiler.column(item.expression, index)
            else:
                self._check_plain_item(item)
        group_by = self._group_keys(keys)
        pushed, having = self._having(compiler, item_keys)
        order = self._group_order(compiler, keys, item_keys)
        distinct = self._distinct_groups(keys, item_keys)
        merge = Merge(
            group_by=group_by,
            aggregates=tuple(compiler.aggregates),
            computed=tuple(compiler.computed),
            having=tuple(having),
            distinct=distinct,
            order_by=order,
        )
        return self._assemble(merge, groups=True, having=pushed)

    def _require_visible(self, index: int) -> None:
        if self._visible(index) is None:
            raise NotSupported("an aggregate beside * over several shards")

    def _check_plain_item(self, item: Item) -> None:
        if self.select.group_by:
            return
        if any(isinstance(node, (ColumnName, Star, Subquery)) for node in walk(item.expression)):
            raise NotSupported("columns beside aggregates without GROUP BY over several shards")

    def _group_keys(self, keys: KeyMaker) -> tuple[Key, ...]:
        result: list[Key] = []
        for item in self.select.group_by:
            target = self._target(item.expression, columns_first=True)
            if target is not None:
                expression, visible = target
                if is_aggregated(expression):
                    raise NotSupported("GROUP BY an aggregate")
                result.append(keys.key(expression, visible=visible))
        return tuple(result)

    def _group_order(
        self, compiler: AggregateCompiler, keys: KeyMaker, item_keys: dict[int, Key]
    ) -> tuple[Key, ...]:
        result: list[Key] = []
        for item in self.select.order_by:
            target = self._target(item.expression)
            if target is None:
                continue
            expression, visible = target
            if not is_aggregated(expression):
                result.append(keys.key(expression, descending=item.descending, visible=visible))
            else:
                key = item_keys[visible] if visible is not None else compiler.column(expression)
                result.append(replace(key, descending=item.descending))
        return tuple(result)

    def _distinct_groups(self, keys: KeyMaker, item_keys: dict[int, Key]) -> tuple[Key, ...] | None:
        if not {"DISTINCT", "DISTINCTROW"} & self.select.options:
            return None
        return tuple(
            item_keys[index]
            if index in item_keys
            else keys.key(item.expression, visible=self._visible(index))
            for index, item in enumerate(self.select.items)
        )

    # ------------------------------------------------------------ HAVING

    def _having(
        self, compiler: AggregateCompiler, item_keys: dict[int, Key]
    ) -> tuple[list[Expression], list[Condition]]:
        """Conjuncts over the group's own columns go to the shards, those over aggregates to the merge."""
        pushed: list[Expression] = []
        merged: list[Condition] = []
        for conjunct in conjuncts(self.select.having):
            if self._over_group_columns(conjunct):
                pushed.append(conjunct)
            else:
                merged.append(self._condition(conjunct, compiler, item_keys))
        return pushed, merged

    def _over_group_columns(self, conjunct: Expression) -> bool:
        if is_aggregated(conjunct):
            return False
        for node in walk(conjunct):
            if isinstance(node, (Subquery, Star)):
                raise NotSupported("a subquery in HAVING over several shards")
            if isinstance(node, ColumnName):
                named = self._item_named(node)
                own = self.block.resolve(node)
                if named is not None and own is None and is_aggregated(self.select.items[named].expression):
                    return False
                target = node if named is None or own is not None else self.select.items[named].expression
                if not any(self._same(target, item.expression) for item in self.select.group_by):
                    raise NotSupported(
                        "HAVING of what is neither grouped by nor an aggregate, over several shards"
                    )
        return True

    def _condition(
        self, conjunct: Expression, compiler: AggregateCompiler, item_keys: dict[int, Key]
    ) -> Condition:
        refusal = NotSupported(
            "this HAVING over several shards (comparisons of an aggregate with a number are possible)"
        )
        if not isinstance(conjunct, Operation):
            raise refusal
        if conjunct.name in ("IS NULL", "IS NOT NULL"):
            return Condition(
                self._compared(conjunct.operands[0], compiler, item_keys), _COMPARISONS[conjunct.name]
            )
        if conjunct.name not in _MIRRORED:
            raise refusal
        left, right = conjunct.operands
        name = conjunct.name
        if isinstance(left, Value):
            left, right, name = right, left, _MIRRORED[name]
        if not isinstance(right, Value) or not right.plain:
            raise refusal
        return Condition(self._compared(left, compiler, item_keys), _COMPARISONS[name], right.operand)

    def _compared(
        self, expression: Expression, compiler: AggregateCompiler, item_keys: dict[int, Key]
    ) -> int:
        named = self._item_named(expression)
        key = item_keys.get(named) if named is not None else None
        if key is None:
            if not is_aggregated(expression):
                raise NotSupported("this HAVING over several shards")
            key = compiler.column(expression)
        if key.value is None or (key.weight is not None and key.value is None):
            raise NotSupported("HAVING over a string aggregate over several shards")
        return key.value

    # ------------------------------------------------------------ the text

    def _assemble(self, merge: Merge, *, groups: bool, having: Sequence[Expression] = ()) -> Scatter:
        select, tokens, holes = self.select, self.tokens, self.holes
        head = cut(tokens, select.start, select.items_end, holes, tail=True)
        hidden = [part for text in self.hidden.texts for part in (", ", *text)]
        settled = _settle(replace(merge, hidden=len(self.hidden.texts)))
        if select.limit is not None:
            settled = replace(settled, limit=select.limit.count, offset=select.limit.offset)
        if groups:
            return Scatter(template(head, hidden, " ", self._group_body(having)), settled)
        if select.limit is None:
            return Scatter(
                template(head, hidden, " ", cut(tokens, select.items_end, select.end, holes)), settled
            )
        body = cut(tokens, select.items_end, select.limit.start, holes)
        tail = cut(tokens, select.limit.end, select.end)
        return Scatter(template(head, hidden, " ", body, _pushed_limit(select.limit), tail), settled)

    def _group_body(self, having: Sequence[Expression]) -> list[Part]:
        select = self.select
        body = cut(self.tokens, select.items_end, select.body_end, self.holes)
        for index, conjunct in enumerate(having):
            body.append(" AND (" if index else " HAVING (")
            body += [*cut(self.tokens, conjunct.start, conjunct.end, self.holes), ")"]
        if select.locking is not None:
            body += [" ", *cut(self.tokens, select.locking.start, select.locking.end)]
        return body


def _pushed_limit(limit: Limit) -> list[Part]:
    """Any shard may hold all of the rows that are skipped and wanted."""
    count: Part
    if limit.offset is not None:
        count = LimitSum(limit.offset, limit.count)
    else:
        assert not isinstance(limit.count, Constant)
        count = limit.count
    return [" LIMIT ", count, " "]


def _settle(merge: Merge) -> Merge:
    """Give the hidden columns their negative indexes, now that their number is known."""
    hidden = merge.hidden

    def index(column: int) -> int:
        return settle(column, hidden)

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
