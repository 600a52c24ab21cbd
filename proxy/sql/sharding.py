"""To which shards a statement goes: shard-key conditions, tables joined on their shard keys, and the route.

Rules, each of which must hold for an answer to be right:
- A condition pins a table to keys only if every row of the result must meet it: a conjunct of WHERE, or of the ON
  of an inner join that no outer join stands above.
- Sources whose shard keys are equated are one *class*: their rows meet on one shard. An equation in the ON of an
  outer join counts only if it involves the side that may be missing; in a subquery's WHERE it ties the subquery to
  the query around it, row by row.
- A class is pinned by the conditions of its outermost block only (a condition inside EXISTS restricts nothing
  outside of it).
- An outer join that keeps rows which every shard has (a reference table) beside rows that one shard has would
  answer such a row once per shard: it needs one shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from proxy.errors import NotSupported
from proxy.routing.tables import TableKind
from proxy.sql.functions import AGGREGATES
from proxy.sql.information_schema import about_tables
from proxy.sql.operands import Operand
from proxy.sql.plan import AllShards, AnyShard, ByKeys, FirstShard, OneShard, Route, SameShard
from proxy.sql.scope import Block, Schemas, Source
from proxy.sql.syntax import (
    Call,
    ColumnName,
    Expression,
    FromItem,
    Join,
    Operation,
    RowValue,
    Select,
    Subquery,
    TableName,
    Value,
    conjuncts,
    walk,
)

MAX_KEYS = 10_000
"""A longer IN list goes to all shards."""

Constraints = dict[Source, tuple[Operand, ...]]


def key_constraints(expression: Expression, block: Block, column: str | None = None) -> Constraints:
    """Sources of the block that the condition ties to values of one column (its shard key when None)."""
    if isinstance(expression, Operation):
        if expression.name == "AND":
            result: Constraints = {}
            for operand in expression.operands:
                for source, keys in key_constraints(operand, block, column).items():
                    if source not in result or len(keys) < len(result[source]):
                        result[source] = keys
            return result
        if expression.name == "OR":
            left, right = (key_constraints(operand, block, column) for operand in expression.operands)
            return {source: keys + right[source] for source, keys in left.items() if source in right}
        if expression.name == "=":
            left_side, right_side = expression.operands
            return _equation(left_side, right_side, block, column) or _equation(
                right_side, left_side, block, column
            )
        if expression.name == "IN" and not isinstance(expression.operands[1], Subquery):
            return _membership(expression.operands, block, column)
    return {}


def _equation(left: Expression, right: Expression, block: Block, column: str | None) -> Constraints:
    if isinstance(left, RowValue) and isinstance(right, RowValue) and len(left.items) == len(right.items):
        result: Constraints = {}
        for one, other in zip(left.items, right.items, strict=True):
            result |= _equation(one, other, block, column) or _equation(other, one, block, column)
        return result
    source = _key_source(left, block, column)
    operand = _key_operand(right)
    return {source: (operand,)} if source is not None and operand is not None else {}


def _membership(operands: list[Expression], block: Block, column: str | None) -> Constraints:
    left, items = operands[0], operands[1:]
    if isinstance(left, RowValue):
        rows = [
            item.items for item in items if isinstance(item, RowValue) and len(item.items) == len(left.items)
        ]
        if len(rows) != len(items):
            return {}
        result: Constraints = {}
        for index, member in enumerate(left.items):
            result |= _membership([member, *(row[index] for row in rows)], block, column)
        return result
    source = _key_source(left, block, column)
    keys = [_key_operand(item) for item in items]
    if source is None or any(key is None for key in keys):
        return {}
    return {source: tuple(key for key in keys if key is not None)}


def _key_source(expression: Expression, block: Block, column: str | None) -> Source | None:
    """The source of this very block whose shard key (or `column`) the expression is."""
    if not isinstance(expression, ColumnName):
        return None
    found = block.resolve(expression)
    if found is None or found[0].block is not block or found[0].table is None:
        return None
    wanted = column if column is not None else found[0].table.shard_key
    return found[0] if wanted is not None and found[1] == wanted.lower() else None


def _key_operand(expression: Expression) -> Operand | None:
    return expression.operand if isinstance(expression, Value) and expression.plain else None


# ---------------------------------------------------------------- classes


@dataclass(eq=False, slots=True)
class Sharding:
    """The sharded sources of a statement, grouped; what `route` decides from."""

    blocks: list[Block]
    schemas: Schemas
    parents: dict[Source, Source] = field(default_factory=dict)
    pins: Constraints = field(default_factory=dict)
    missing: set[Source] = field(default_factory=set)
    """Sources on the side of an outer join that may be all NULL."""
    duplicating: bool = False
    """Rows that every shard has would be answered once per shard."""

    def __post_init__(self) -> None:
        for block in self.blocks:
            for source in block.sources:
                if source.sharded:
                    self.parents[source] = source
        for block in self.blocks:
            self._read(block)

    def _read(self, block: Block) -> None:
        where = block.node.where
        self._pin(where, block)
        self._link_conjuncts(where, block, None)
        item = block.node.source
        if item is not None:
            self._read_join(item, block, restricts=True)
        for root in block.roots:
            for node in walk(root):
                if isinstance(node, Operation) and node.name in ("IN", "NOT IN", "= ANY", "= SOME"):
                    self._link_subquery(node, block)

    def _pin(self, condition: Expression | None, block: Block) -> None:
        if condition is None:
            return
        for source, keys in key_constraints(condition, block).items():
            if source.sharded and len(keys) <= MAX_KEYS:
                if source not in self.pins or len(keys) < len(self.pins[source]):
                    self.pins[source] = keys

    # ------------------------------------------------------------ joins

    def _read_join(self, item: FromItem, block: Block, *, restricts: bool) -> None:
        if not isinstance(item, Join):
            return
        left, right = set(_leaves(item.left, block)), set(_leaves(item.right, block))
        missing = {"LEFT": right, "RIGHT": left}.get(item.kind)
        self._read_join(item.left, block, restricts=restricts and item.kind != "RIGHT")
        self._read_join(item.right, block, restricts=restricts and item.kind != "LEFT")
        if missing is None:
            if restricts:
                self._pin(item.on, block)
        else:
            self.missing |= missing
            kept = (left | right) - missing
            sharded_missing = any(source.sharded or source.table is None for source in missing)
            if sharded_missing and not any(source.sharded for source in kept):
                self.duplicating = True
        self._link_conjuncts(item.on, block, missing)
        for name in item.using:
            self._link_using(name.lower(), left, right)
        if item.natural and sum(source.sharded for source in left | right) > 1:
            raise NotSupported("NATURAL JOIN of sharded tables (write USING)")

    def _link_using(self, name: str, left: set[Source], right: set[Source]) -> None:
        keyed = [
            [source for source in side if source.sharded and _shard_key(source) == name]
            for side in (left, right)
        ]
        owners = [
            [source for source in side if name in source.columns or not source.columns]
            for side in (left, right)
        ]
        if keyed[0] and keyed[1] and len(owners[0]) == 1 and len(owners[1]) == 1:
            self._union(keyed[0][0], keyed[1][0])

    def _link_conjuncts(
        self, condition: Expression | None, block: Block, missing: set[Source] | None
    ) -> None:
        for conjunct in conjuncts(condition):
            if isinstance(conjunct, Operation) and conjunct.name == "=":
                left, right = (self._keyed(operand, block) for operand in conjunct.operands)
                if left is None or right is None or left is right:
                    continue
                if missing is None or left in missing or right in missing:
                    self._union(left, right)

    def _keyed(self, expression: Expression, block: Block) -> Source | None:
        """The sharded source, here or around, whose shard key the expression is."""
        if not isinstance(expression, ColumnName):
            return None
        found = block.resolve(expression)
        if found is None or not found[0].sharded or _shard_key(found[0]) != found[1]:
            return None
        return found[0]

    def _link_subquery(self, node: Operation, block: Block) -> None:
        """key IN (SELECT key FROM …): the rows that matter are on the outer row's shard."""
        outer = self._keyed(node.operands[0], block)
        subquery = node.operands[-1]
        if outer is None or not isinstance(subquery, Subquery) or not isinstance(subquery.query, Select):
            return
        inner = next((blocks[0] for found, blocks in block.subqueries if found is subquery), None)
        select = subquery.query
        if (
            inner is None
            or len(select.items) != 1
            or not _row_by_row(select)
            or _has_outer_join(select.source)
        ):
            return
        column = self._keyed(select.items[0].expression, inner)
        if column is None or column.block is not inner or column.columns[_shard_key(column)].nullable:
            return
        self._union(outer, column)

    def _union(self, one: Source, other: Source) -> None:
        assert one.table is not None and other.table is not None
        if self.schemas.sharded_alike(one.table, other.table):
            self.parents[self._root(one)] = self._root(other)

    def _root(self, source: Source) -> Source:
        while self.parents[source] is not source:
            source = self.parents[source]
        return source

    def is_key(self, expression: Expression, block: Block) -> bool:
        """Whether rows of the block that agree in the expression are on one shard: it is a shard key, never NULL."""
        found = block.resolve(expression) if isinstance(expression, ColumnName) else None
        return found is not None and self.is_source_key(*found, block)

    def is_source_key(self, source: Source, column: str, block: Block) -> bool:
        own = source.block is block and source.sharded and source not in self.missing
        return own and not self.duplicating and _shard_key(source) == column

    def classes(self) -> list[list[Source]]:
        grouped: dict[Source, list[Source]] = {}
        for source in self.parents:
            grouped.setdefault(self._root(source), []).append(source)
        return list(grouped.values())

    def pinned(self, members: list[Source]) -> ByKeys | None:
        """The keys of a class: those of a member in its outermost block."""
        depth = min(source.block.depth for source in members)
        best: ByKeys | None = None
        for source in members:
            keys = self.pins.get(source)
            if keys is None or source.block.depth != depth or source.table is None:
                continue
            if best is None or len(keys) < len(best.keys):
                best = ByKeys(source.table, keys)
        return best


def _leaves(item: FromItem, block: Block) -> Iterator[Source]:
    if isinstance(item, Join):
        yield from _leaves(item.left, block)
        yield from _leaves(item.right, block)
    else:
        yield from (source for source in block.sources if source.node is item)


def _shard_key(source: Source) -> str:
    assert source.table is not None and source.table.shard_key is not None
    return source.table.shard_key.lower()


def _has_outer_join(item: FromItem | None) -> bool:
    if not isinstance(item, Join):
        return False
    return item.kind != "INNER" or _has_outer_join(item.left) or _has_outer_join(item.right)


def _row_by_row(select: Select) -> bool:
    """No aggregate, grouping or LIMIT: each row of the answer comes from one row of its tables."""
    aggregated = any(
        isinstance(node, Call) and (node.name in AGGREGATES or node.window)
        for item in select.items
        for node in walk(item.expression)
    )
    return not (aggregated or select.group_by or select.having is not None or select.limit or select.windows)


# ---------------------------------------------------------------- the route


@dataclass(frozen=True, slots=True)
class Routing:
    """`scatterable`: the statement may run on each of several shards and the answers be put together."""

    route: Route
    scatterable: bool
    refusal: str


def decide(sharding: Sharding, *, locking: bool) -> Routing:
    """The route of a query, UPDATE or DELETE of sharded or single tables. Raises NotSupported."""
    sources = [source for block in sharding.blocks for source in block.sources]
    _refuse_divided(sources, sharding.schemas)
    tables = [source.table for source in sources if source.table is not None]
    homes = {table.home for table in tables if table.kind is TableKind.SINGLE}
    classes = sharding.classes()
    if homes:
        names = ", ".join(sorted({table.name for table in tables if table.kind is not TableKind.REFERENCE}))
        if classes or len(homes) > 1:
            raise NotSupported(f"a statement over tables that live on different shards ({names})")
        home = homes.pop()
        assert home is not None
        return Routing(OneShard(home), False, "")
    if not classes:
        first = locking or any(source.information_schema for source in sources)
        return Routing(FirstShard() if first and sources else AnyShard(), False, "")
    if locking and any(table.kind is TableKind.REFERENCE for table in tables):
        raise NotSupported("a locking read of reference tables together with sharded ones")
    return _decide_sharded(sharding, classes)


def _refuse_divided(sources: Sequence[Source], schemas: Schemas) -> None:
    """Only the first shard is told of the single tables that live away from it."""
    if not schemas.away or all(source.table is None for source in sources):
        return
    for source in sources:
        if (
            source.information_schema
            and isinstance(source.node, TableName)
            and about_tables(source.node.name)
        ):
            names = ", ".join(sorted({table.name for table in schemas.away})[:3])
            raise NotSupported(
                f"information_schema.{source.node.name} together with other tables, while single tables ({names}) "
                "live away from the first shard"
            )


def _decide_sharded(sharding: Sharding, classes: list[list[Source]]) -> Routing:
    pins = [sharding.pinned(members) for members in classes]
    refusal = _refusal(classes)
    if len(classes) == 1:
        outermost = min(classes[0], key=lambda source: source.block.depth)
        at_top = outermost.block.kind == "top" and outermost.block.parent is None
        if pins[0] is not None:
            return Routing(pins[0], at_top and not sharding.duplicating, refusal)
        if sharding.duplicating:
            raise NotSupported(
                f"an outer join that keeps rows without a match in {_names(classes)}, over several shards"
            )
        if at_top:
            return Routing(AllShards(), True, refusal)
        raise NotSupported(refusal)
    members = tuple(pin for pin in pins if pin is not None)
    if len(members) < len(classes):
        raise NotSupported(refusal)
    return Routing(SameShard(members), False, refusal)


def _refusal(classes: list[list[Source]]) -> str:
    names = _names(classes)
    if len(classes) == 1:
        return f"this statement over several shards of {names} (give the shard key)"
    return f"a join, subquery or UNION over several shards of {names} that is not on their shard keys"


def _names(classes: list[list[Source]]) -> str:
    found = {source.table.name for members in classes for source in members if source.table is not None}
    return ", ".join(sorted(found))
