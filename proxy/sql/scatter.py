"""A SELECT over several shards: the text that each is asked, and how the answers are merged.

The client's own columns stay as they are; see `merge_spec` for the hidden ones. Three forms:
- rows: each shard answers sorted and limited, the merge keeps the order (also for groups that never span shards,
  because they are grouped by the shard key);
- distinct rows: the same, with equal rows made one;
- groups (`scatter_groups`): each shard answers its groups; the merge combines, sorts and limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from proxy.errors import NotSupported
from proxy.sql.cutting import Holes, cut, template
from proxy.sql.holes import has_literals, name_of
from proxy.sql.lexer import Tokens
from proxy.sql.merge_spec import Key, Merge
from proxy.sql.operands import Constant, quote_name
from proxy.sql.plan import Scatter
from proxy.sql.scatter_aggregates import TYPE_ONLY, UNEVALUATED, subtracts
from proxy.sql.scatter_columns import HIDDEN_BASE, HiddenColumns, settle
from proxy.sql.scatter_groups import GroupBuilder, is_distinct
from proxy.sql.scatter_keys import KeyMaker, is_aggregated
from proxy.sql.scatter_names import ItemNames
from proxy.sql.scope import Block
from proxy.sql.sharding import Sharding
from proxy.sql.syntax import Expression, Limit, Select, Star
from proxy.sql.template import LimitSum, Nowait, Part


@dataclass(slots=True)
class ScatterBuilder:
    tokens: Tokens
    select: Select
    block: Block
    sharding: Sharding
    holes: Holes
    hidden: HiddenColumns = field(default_factory=HiddenColumns)
    names: ItemNames = field(init=False)

    def __post_init__(self) -> None:
        self.names = ItemNames(self.tokens, self.select, self.block)

    @property
    def text_dependent(self) -> bool:
        return self.names.text_dependent

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
        distinct = is_distinct(self.select)
        order = []
        for item in self.select.order_by:
            target = self.names.target(item.expression, allow_other=not distinct)
            if target is not None:
                expression, visible = target
                order.append(keys.key(expression, descending=item.descending, visible=visible))
        equal = self._distinct(keys) if distinct else None
        return self._assemble_rows(Merge(distinct=equal, order_by=tuple(order)))

    def _distinct(self, keys: KeyMaker) -> tuple[Key, ...] | None:
        """None: equal rows are on one shard, which has made them one: nothing that is hidden tells them apart."""
        select = self.select
        if not self.hidden.texts and any(self._is_shard_key(item.expression) for item in select.items):
            return None
        result: list[Key] = []
        for index, item in enumerate(select.items):
            if isinstance(item.expression, Star):
                result += self._star_keys(item.expression, keys)
            else:
                result.append(keys.key(item.expression, visible=self.names.visible(index), equality=True))
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

    def _assemble_rows(self, merge: Merge) -> Scatter:
        select, tokens, holes = self.select, self.tokens, self.holes
        if select.limit is None:
            return self._scatter(merge, cut(tokens, select.items_end, select.end, holes))
        body = cut(tokens, select.items_end, select.limit.start, holes)
        tail = cut(tokens, select.limit.end, select.end, holes)
        return self._scatter(merge, [*body, *self._pushed_limit(merge, select.limit), *tail])

    def _pushed_limit(self, merge: Merge, limit: Limit) -> list[Part]:
        """Any shard may hold all of the rows that are skipped and wanted.

        Weights tell strings apart that are equal ('a' and 'a '): a shard's distinct rows may then come to fewer.
        """
        if any(key.weight is not None for key in merge.distinct or ()):
            return [" "]
        offset = Constant(0) if limit.offset is None else limit.offset
        return [" LIMIT ", LimitSum(offset, limit.count), " "]

    # ------------------------------------------------------------ groups

    def _groups(self) -> Scatter:
        select, tokens = self.select, self.tokens
        merge, tail = GroupBuilder(select, self.names, self._keys(True), self.sharding).merge()
        body = [*cut(tokens, select.items_end, select.body_end, self.holes), *tail]
        if select.locking is not None:
            body += [" ", *cut(tokens, select.locking.start, select.locking.end, self.holes)]
        return self._scatter(merge, body)

    def _unevaluated(self, merge: Merge) -> Holes:
        """What the merge computes by a subtraction is no shard's to compute."""
        holes = Holes(self.holes.replaced, dict(self.holes.inserted))
        for computed in merge.computed:
            if computed.column >= HIDDEN_BASE or not subtracts(computed.formula):
                continue
            item = self.select.items[computed.column]
            holes.inserted[item.start] = UNEVALUATED
            if item.alias is not None:
                holes.inserted[item.alias_start] = TYPE_ONLY + " "
                continue
            name = f" AS {quote_name(name_of(item, self.tokens))}"
            holes.inserted[item.end] = TYPE_ONLY + name
            self.names.text_dependent |= has_literals(item, self.tokens)
        return holes

    def _scatter(self, merge: Merge, body: Sequence[Part]) -> Scatter:
        """The client's select list, the hidden columns, and what comes behind them."""
        select = self.select
        holes = self._unevaluated(merge)
        head = cut(self.tokens, select.start, select.items_end, holes, tail=True)
        hidden = [part for text in self.hidden.texts for part in (", ", *text)]
        merge = settle(replace(merge, hidden=len(self.hidden.texts)))
        if select.limit is not None:
            merge = replace(merge, limit=select.limit.count, offset=select.limit.offset)
        nowait = self.holes.inserted.get(select.end)
        end = [nowait] if isinstance(nowait, Nowait) else []
        return Scatter(template(head, hidden, " ", body, end), merge)
