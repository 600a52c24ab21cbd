"""Plans of UPDATE, DELETE and INSERT … SELECT."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.errors import NotSupported
from proxy.routing.tables import Table, TableKind
from proxy.sql.again import look_of_change, look_of_query
from proxy.sql.checks import check_of, point_rows
from proxy.sql.errors import ColumnCountMismatch, UnknownColumn
from proxy.sql.plan import Access, AllShards, AnyShard, ByKeys, Check, OneShard, QueryPlan, Route, Scatter
from proxy.sql.planning import Planning, refuse_information_schema, refuse_unequal, roots_of, tables_of
from proxy.sql.scatter import ScatterBuilder
from proxy.sql.scope import Block, Source
from proxy.sql.sharding import Routing, Sharding, decide
from proxy.sql.syntax import Assignment, ColumnName, Delete, Derived, Insert, Select, Star, TableName, Update


def plan_change(node: Update | Delete, planning: Planning) -> QueryPlan:
    scope = planning.scope()
    block = scope.change(node)
    targets = _targets(node, block)
    refuse_information_schema(scope.blocks)
    planning.find_holes(scope.blocks, consistent_read=False)
    sharding = Sharding(scope.blocks, planning.schemas)
    replicated = _replicated(targets, scope.blocks, node)
    routing = Routing(AllShards(), True, "") if replicated else decide(sharding, locking=False)
    limited = bool(node.order_by) or node.limit is not None
    refusal = routing.refusal
    if (limited and not replicated) or node.returning:
        refusal = "UPDATE or DELETE with ORDER BY, LIMIT or RETURNING over several shards"
        if isinstance(routing.route, AllShards):
            raise NotSupported(refusal)
        routing = Routing(routing.route, False, refusal)
    whole = planning.template(node.start, node.end)
    written = tuple(dict.fromkeys(source.table for source in targets if source.table is not None))
    return QueryPlan(
        access=Access.WRITE,
        route=routing.route,
        tables=tables_of(scope.blocks),
        written=written,
        template=whole,
        template_only=bool(planning.session_values),
        session_values=planning.session_values,
        scatter=Scatter(whole, None) if routing.scatterable else None,
        scatter_refusal=refusal,
        joins=False,
        patchable=False,
        checks=_checks(node, block, targets, planning),
        expected_rows=_expected_rows(node, block, targets),
        inserts=False,
        replicated=replicated,
        returns_rows=node.returning,
        reads=_read_only(scope.blocks, targets),
        look=look_of_change(node, planning.tokens, planning.holes) if planning.again else None,
    )


def _targets(node: Update | Delete, block: Block) -> list[Source]:
    """The sources that the statement writes. Refuses to change a shard key."""
    if isinstance(node, Update):
        found = [_assigned(assignment, block) for assignment in node.assignments]
    elif node.targets:
        found = [_named_target(target, block) for target in node.targets]
    else:
        found = list(block.sources)
    if any(source.table is None for source in found):
        raise NotSupported("writing to a derived table or to information_schema")
    return list(dict.fromkeys(found))


def _assigned(assignment: Assignment, block: Block) -> Source:
    resolved = block.resolve(assignment.column)
    if resolved is None and any(not source.columns for source in block.sources):
        raise NotSupported(
            f"the assignment to {assignment.column.name} beside a derived table (name its table)"
        )
    if resolved is None:
        raise UnknownColumn(".".join(assignment.column.parts), "SET")
    source, name = resolved
    refuse_key_change(source.table, name)
    return source


def refuse_key_change(table: Table | None, column: str) -> None:
    if table is not None and table.shard_key is not None and table.shard_key.lower() == column:
        raise NotSupported(
            f"changing the shard key {table.name}.{table.shard_key} (delete and insert the row)"
        )


def _named_target(target: ColumnName, block: Block) -> Source:
    for source in block.sources:
        if source.alias.lower() == target.name.lower():
            return source
    raise UnknownColumn(target.name, "MULTI DELETE")


def _replicated(targets: Sequence[Source], blocks: Sequence[Block], node: Update | Delete) -> bool:
    kinds = {source.table.kind for source in targets if source.table is not None}
    if TableKind.REFERENCE not in kinds:
        return False
    if {table.kind for table in tables_of(blocks)} != {TableKind.REFERENCE}:
        raise NotSupported("writing a reference table together with tables of other kinds")
    if node.limit is not None:
        raise NotSupported("LIMIT in a write to a reference table")
    refuse_unequal(roots_of(blocks))
    return True


def _checks(
    node: Update | Delete, block: Block, targets: Sequence[Source], planning: Planning
) -> tuple[Check, ...]:
    conditions = [node.where] if node.where is not None else []
    return tuple(
        check_of(source, block, conditions, planning.tokens)
        for source in targets
        if source.table is not None and source.table.managed
    )


def _expected_rows(node: Update | Delete, block: Block, targets: Sequence[Source]) -> int | None:
    if len(block.sources) != 1 or len(targets) != 1 or isinstance(node.source, Derived):
        return None
    return point_rows(targets[0], block, node.where)


def _read_only(blocks: Sequence[Block], targets: Sequence[Source]) -> tuple[Table, ...]:
    sources = [source for block in blocks for source in block.sources if source not in targets]
    return tuple(dict.fromkeys(s.table for s in sources if s.table is not None and s.table.managed))


# ---------------------------------------------------------------- INSERT … SELECT


def plan_insert_select(node: Insert, planning: Planning) -> QueryPlan:
    assert node.query is not None
    scope = planning.scope()
    target = scope.table(node.table.schema, node.table.name)
    scope.query(node.query, None, "top")
    if any(isinstance(block.node, Select) and block.node.locking for block in scope.blocks):
        raise NotSupported("INSERT … SELECT … FOR UPDATE")
    refuse_information_schema(scope.blocks)
    planning.find_holes(scope.blocks, consistent_read=False)
    for assignment in node.on_duplicate:
        refuse_key_change(target, assignment.column.name.lower())
    columns = _column_names(node, target)
    _refuse_auto_increment(target, columns)
    route = _Placement(target, columns, node, scope.blocks, planning).route()
    replicated = target.kind is TableKind.REFERENCE
    if replicated:
        refuse_unequal(roots_of(scope.blocks))
    if node.returning and isinstance(route, AllShards):
        raise NotSupported("RETURNING over several shards")
    whole = planning.template(node.start, node.end)
    return QueryPlan(
        access=Access.WRITE,
        route=route,
        tables=tuple(dict.fromkeys((target, *tables_of(scope.blocks)))),
        written=(target,),
        template=whole,
        template_only=bool(planning.session_values),
        session_values=planning.session_values,
        scatter=None if node.returning else Scatter(whole, None),
        scatter_refusal="RETURNING over several shards",
        joins=False,
        patchable=False,
        checks=(),
        expected_rows=None,
        inserts=True,
        replicated=replicated,
        returns_rows=node.returning,
        reads=tuple(table for table in tables_of(scope.blocks) if table.managed),
        look=look_of_query(node.query, planning.tokens, planning.holes) if planning.again else None,
    )


def _column_names(node: Insert, target: Table) -> list[str]:
    if node.columns is not None:
        return [column.lower() for column in node.columns]
    return [column.name.lower() for column in target.columns]


def _refuse_auto_increment(target: Table, columns: Sequence[str]) -> None:
    """Each server counts for itself; only a table on one shard may leave it to the server."""
    if target.kind is TableKind.SINGLE:
        return
    for column in target.columns:
        if column.auto_increment and column.name.lower() not in columns:
            raise NotSupported(f"INSERT … SELECT that leaves {column.name} to AUTO_INCREMENT")


class _Placement:
    """Where the rows of an INSERT … SELECT are made: on the shards where they are to live, or not at all."""

    def __init__(
        self, target: Table, columns: Sequence[str], node: Insert, blocks: Sequence[Block], planning: Planning
    ) -> None:
        self.target, self.columns, self.node = target, columns, node
        self.blocks, self.planning = blocks, planning
        self.refusal = NotSupported(
            f"INSERT … SELECT into {target.name} from rows of other shards (its shard key must be the shard key of "
            "the rows selected)"
        )

    def route(self) -> Route:
        if self.target.kind is TableKind.REFERENCE:
            kinds = {table.kind for table in tables_of(self.blocks)}
            if kinds - {TableKind.REFERENCE} or any(block.node.limit for block in self.blocks):
                raise self.refusal
            return AllShards()
        sharding = Sharding(list(self.blocks), self.planning.schemas)
        routing = decide(sharding, locking=False)
        if self.target.kind is TableKind.SINGLE:
            assert self.target.home is not None
            if isinstance(routing.route, AnyShard) or routing.route == OneShard(self.target.home):
                return OneShard(self.target.home)
            raise self.refusal
        if not isinstance(routing.route, (ByKeys, AllShards)) or not routing.scatterable:
            raise self.refusal
        self._require_collocated(sharding)
        return routing.route

    def _require_collocated(self, sharding: Sharding) -> None:
        """Every new row's key is the key of the row that it is made from, and nothing is merged."""
        query = self.node.query
        if not isinstance(query, Select):
            raise self.refusal
        top = next(block for block in self.blocks if block.node is query)
        outputs = _outputs(query, top)
        if len(outputs) != len(self.columns):
            raise ColumnCountMismatch(1)
        assert self.target.shard_key is not None
        key = self.target.shard_key.lower()
        output = outputs[self.columns.index(key)] if key in self.columns else None
        if output is None or not sharding.is_source_key(*output, top):
            raise self.refusal
        source = output[0].table
        if source is None or not self.planning.schemas.sharded_alike(source, self.target):
            raise self.refusal
        merge = ScatterBuilder(self.planning.tokens, query, top, sharding, self.planning.holes).build().merge
        if (
            merge is None
            or merge.group_by is not None
            or merge.distinct is not None
            or merge.limit is not None
        ):
            raise self.refusal


def _outputs(query: Select, block: Block) -> list[tuple[Source, str] | None]:
    """The source and column of each output column, None where it is computed."""
    result: list[tuple[Source, str] | None] = []
    for item in query.items:
        expression = item.expression
        if isinstance(expression, Star):
            qualifier = expression.qualifier[-1].lower() if expression.qualifier else None
            for source in block.sources:
                if qualifier in (None, source.alias.lower()):
                    if not isinstance(source.node, TableName):
                        raise NotSupported("INSERT … SELECT * from a derived table")
                    result += [(source, column) for column in source.columns]
        else:
            result.append(block.resolve(expression) if isinstance(expression, ColumnName) else None)
    return result
