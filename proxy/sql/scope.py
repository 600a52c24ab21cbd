"""Who is who in a statement: its query blocks, their tables, and which table a column name means.

A `Block` is one SELECT (or the tables of an UPDATE or DELETE) with its sources; blocks form a tree. Names resolve
as MySQL's do: the block's own sources first, then those around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from proxy.errors import NoDatabaseSelected, NotSupported, UnknownDatabase
from proxy.routing.tables import Column, Table, TableKind
from proxy.sql.errors import NonUniqueAlias, UnknownColumn
from proxy.sql.functions import REFUSED
from proxy.sql.syntax import (
    Call,
    ColumnName,
    Cte,
    Delete,
    Derived,
    Expression,
    FromItem,
    Join,
    Query,
    Select,
    Subquery,
    TableName,
    Update,
    Variable,
    walk,
)
from tso.types import ShardName

INTERNAL_SCHEMA = "_txguard"
INTERNAL_PREFIX = "_txg_"
SYSTEM_SCHEMAS = frozenset(("mysql", "performance_schema", "sys"))


class Schemas(Protocol):
    """What planning asks of the catalog; `proxy.routing.catalog.Catalog` is one."""

    @property
    def version(self) -> int: ...

    @property
    def schemas(self) -> frozenset[str]: ...

    @property
    def all_shards(self) -> tuple[ShardName, ...]: ...

    @property
    def away(self) -> tuple[Table, ...]:
        """The single tables that live on another shard than the first."""
        ...

    def fold(self, name: str) -> str: ...

    def require(self, schema: str, name: str) -> Table: ...

    def sharded_alike(self, table: Table, other: Table) -> bool: ...


@dataclass(eq=False, slots=True)
class Source:
    """One table of a FROM clause. `table` None: a derived table, a CTE or information_schema's."""

    alias: str
    node: TableName | Derived
    table: Table | None
    block: Block
    columns: dict[str, Column] = field(default_factory=dict)
    information_schema: bool = False

    @property
    def sharded(self) -> bool:
        return self.table is not None and self.table.kind is TableKind.SHARDED


@dataclass(eq=False, slots=True)
class Block:
    """One SELECT's names. `kind`: top, member (of a UNION), derived (FROM, CTE), or expression."""

    node: Select | Update | Delete
    parent: Block | None
    kind: str
    sources: list[Source] = field(default_factory=list)
    ctes: dict[str, bool] = field(default_factory=dict)
    roots: list[Expression] = field(default_factory=list)
    """Every expression of the block."""
    subqueries: list[tuple[Subquery, list[Block]]] = field(default_factory=list)

    @property
    def depth(self) -> int:
        return 0 if self.parent is None else 1 + self.parent.depth

    def resolve(self, column: ColumnName) -> tuple[Source, str] | None:
        """The source and the lower-case column name, or None where it cannot be told (derived tables)."""
        block: Block | None = self
        while block is not None:
            found = block._own(column)
            if found is not None:
                return found
            if any(not source.columns for source in block.sources) and len(column.parts) == 1:
                return None
            block = block.parent
        return None

    def _own(self, column: ColumnName) -> tuple[Source, str] | None:
        name = column.name.lower()
        qualifier = column.parts[:-1]
        candidates = [source for source in self.sources if name in source.columns]
        if qualifier:
            alias = qualifier[-1].lower()
            candidates = [source for source in candidates if source.alias.lower() == alias]
            if len(qualifier) == 2:
                schema = qualifier[0].lower()
                candidates = [
                    s for s in candidates if s.table is not None and s.table.schema.lower() == schema
                ]
        elif any(not source.columns for source in self.sources):
            return None
        return (candidates[0], name) if len(candidates) == 1 else None

    def calls(self) -> Iterator[Call]:
        for root in self.roots:
            for node in walk(root):
                if isinstance(node, Call):
                    yield node


class ScopeBuilder:
    """Makes the blocks of a statement. Raises for unknown tables and for what must not be touched."""

    def __init__(self, schemas: Schemas, database: str | None) -> None:
        self.schemas = schemas
        self.database = database
        self.blocks: list[Block] = []

    def query(
        self, query: Query, parent: Block | None, kind: str, ctes: dict[str, bool] | None = None
    ) -> list[Block]:
        """The blocks of a query and of everything in it; returns those of its own members."""
        known = dict(ctes or {})
        self._ctes(query.ctes, parent, known)
        if isinstance(query, Select):
            return [self._select(query, parent, kind, known)]
        result: list[Block] = []
        for member in query.members:
            result += self.query(member, parent, "member" if kind == "top" else kind, known)
        if result:
            self._expressions(result[0], [item.expression for item in query.order_by])
        return result

    def _ctes(self, ctes: list[Cte], parent: Block | None, known: dict[str, bool]) -> None:
        for cte in ctes:
            if cte.recursive:
                known[cte.name.lower()] = True
            self.query(cte.query, parent, "derived", known)
            known[cte.name.lower()] = True

    def _select(self, select: Select, parent: Block | None, kind: str, ctes: dict[str, bool]) -> Block:
        block = Block(select, parent, kind, ctes=ctes)
        self.blocks.append(block)
        if select.source is not None:
            self._sources(select.source, block)
        items = [item.expression for item in select.items]
        order = [item.expression for item in (*select.group_by, *select.order_by)]
        conditions = [condition for condition in (select.where, select.having) if condition is not None]
        self._expressions(block, [*items, *conditions, *order])
        return block

    def change(self, node: Update | Delete) -> Block:
        """The block of an UPDATE or DELETE."""
        known: dict[str, bool] = {}
        self._ctes(node.ctes, None, known)
        block = Block(node, None, "top", ctes=known)
        self.blocks.append(block)
        self._sources(node.source, block)
        expressions = [item.expression for item in node.order_by]
        if node.where is not None:
            expressions.append(node.where)
        if isinstance(node, Update):
            for assignment in node.assignments:
                expressions.append(assignment.column)
                if assignment.value is not None:
                    expressions.append(assignment.value)
        self._expressions(block, expressions)
        return block

    # ------------------------------------------------------------ sources

    def _sources(self, item: FromItem, block: Block) -> None:
        if isinstance(item, Join):
            self._sources(item.left, block)
            self._sources(item.right, block)
            if item.on is not None:
                self._expressions(block, [item.on])
            return
        source = self._derived(item, block) if isinstance(item, Derived) else self._table(item, block)
        if any(
            other.alias.lower() == source.alias.lower() and _clash(other, source) for other in block.sources
        ):
            raise NonUniqueAlias(source.alias)
        block.sources.append(source)

    def _derived(self, item: Derived, block: Block) -> Source:
        self.query(item.query, block if item.lateral else block.parent, "derived", block.ctes)
        return Source(item.alias, item, None, block)

    def _table(self, item: TableName, block: Block) -> Source:
        alias = item.alias or item.name
        if item.schema is None and item.name.lower() in block.ctes:
            return Source(alias, item, None, block)
        schema = (item.schema or self.database or "").lower()
        if schema == "information_schema":
            return Source(alias, item, None, block, information_schema=True)
        table = self.table(item.schema, item.name)
        return Source(alias, item, table, block, {column.name.lower(): column for column in table.columns})

    def table(self, schema: str | None, name: str) -> Table:
        """A table of the catalog. Raises NoDatabaseSelected, UnknownDatabase, NotSupported, NoSuchTable."""
        if schema is None:
            schema = self.database
        if schema is None:
            raise NoDatabaseSelected("No database selected")
        refuse_internal_schema(schema)
        return self.schemas.require(schema, name)

    # ------------------------------------------------------------ expressions

    def _expressions(self, block: Block, expressions: list[Expression]) -> None:
        block.roots += expressions
        for expression in expressions:
            for node in walk(expression):
                if isinstance(node, Subquery):
                    block.subqueries.append((node, self.query(node.query, block, "expression", block.ctes)))
                check_expression(node)


def refuse_internal_schema(schema: str) -> None:
    """TxGuard's own database does not exist for clients; the server's own ones are of one server only."""
    folded = schema.lower()
    if folded == INTERNAL_SCHEMA:
        raise UnknownDatabase(f"Unknown database '{schema}'")
    if folded in SYSTEM_SCHEMAS:
        raise NotSupported(f"access to the server's own database {schema}")
    if folded == "information_schema":
        raise NotSupported("this use of information_schema")


def _clash(one: Source, other: Source) -> bool:
    """Tables of one name in two databases may stand side by side; the rest may not."""
    if one.table is None or other.table is None:
        return True
    explicit = isinstance(one.node, TableName) and isinstance(other.node, TableName)
    named = explicit and (one.node.alias or other.node.alias)
    return bool(named) or one.table.schema == other.table.schema


def check_expression(node: Expression) -> None:
    """Refuse what must not be in any expression, itself (not what is inside it)."""
    if isinstance(node, Call):
        _check_call(node)
    elif isinstance(node, ColumnName) and node.name.lower().startswith(INTERNAL_PREFIX):
        raise UnknownColumn(node.name, "field list")
    elif isinstance(node, Variable) and not node.system and node.name.startswith("txg_"):
        raise NotSupported(f"the user variable @{node.name}, a name of TxGuard's own")


def _check_call(call: Call) -> None:
    if call.schema is not None:
        raise NotSupported(f"the stored function {call.schema}.{call.name.lower()}()")
    if call.name in REFUSED:
        raise NotSupported(f"the function {call.name}()")
    if call.name == "VALUES" and not call.arguments:
        raise NotSupported("VALUES() without a column")
