"""A small catalog for planner tests, and a readable form of what a plan says."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.errors import NoSuchTable
from proxy.routing.tables import Column, Table, TableKind
from proxy.sql.operands import Constant, Literal, Operand
from proxy.sql.plan import (
    AllShards,
    AnyShard,
    ByKeys,
    FirstShard,
    InsertPlan,
    OneShard,
    Planned,
    QueryPlan,
    Route,
    SameShard,
)
from proxy.sql.planner import Planner
from proxy.sql.template import Bindings, SessionValue, Template
from tso.types import ShardName


def column(
    name: str, kind: str = "int", *, key: bool = False, auto: bool = False, default: str | None = None
) -> Column:
    collation = "utf8mb4_general_ci" if kind in ("varchar", "char", "text") else None
    return Column(name, kind, kind, False, not key, collation, default, False, auto)


def _table(
    name: str,
    *columns: Column,
    kind: TableKind = TableKind.SHARDED,
    primary_key: tuple[str, ...] = ("id",),
    home: str | None = None,
) -> Table:
    shard_key = primary_key[0] if kind is TableKind.SHARDED else None
    place = ShardName(home) if home is not None else None
    return Table("app", name, kind, columns, primary_key, (), shard_key, place, True, 0)


def _tables() -> dict[str, Table]:
    tables = (
        _table(
            "users",
            column("id", "bigint", key=True),
            column("name", "varchar"),
            column("age"),
            column("money", "decimal"),
            column("grade", "enum"),
            column("height", "float"),
        ),
        _table(
            "orders",
            column("user_id", "bigint", key=True),
            column("n", key=True),
            column("total", "decimal"),
            column("item", "varchar"),
            primary_key=("user_id", "n"),
        ),
        _table("counted", column("id", "bigint", key=True, auto=True), column("v", "varchar")),
        _table("words", column("w", "varchar", key=True), column("x"), primary_key=("w",)),
        _table("docs", column("id", key=True), column("body", "json")),
        _table(
            "countries",
            column("id", key=True),
            column("name", "varchar"),
            column("made", "datetime", default="current_timestamp()"),
            kind=TableKind.REFERENCE,
        ),
        _table("settings", column("id", key=True), column("v"), kind=TableKind.SINGLE, home="s2"),
        _table("secrets", column("id", key=True), column("v"), kind=TableKind.SINGLE, home="s3"),
    )
    return {table.name: table for table in tables}


@dataclass
class FakeSchemas:
    version: int = 1
    schemas: frozenset[str] = frozenset(("app",))
    tables: dict[str, Table] = field(default_factory=_tables)
    all_shards: tuple[ShardName, ...] = (ShardName("s1"), ShardName("s2"), ShardName("s3"))

    @property
    def away(self) -> tuple[Table, ...]:
        return tuple(table for table in self.tables.values() if table.home not in (None, "s1"))

    def fold(self, name: str) -> str:
        return name

    def require(self, schema: str, name: str) -> Table:
        if schema != "app" or name not in self.tables:
            raise NoSuchTable(f"Table '{schema}.{name}' doesn't exist")
        return self.tables[name]

    def sharded_alike(self, table: Table, other: Table) -> bool:
        return (table.name == "words") is (other.name == "words")


SCHEMAS = FakeSchemas()


def plan(
    sql: str, *, database: str | None = "app", prepared: bool = False, schemas: FakeSchemas = SCHEMAS
) -> Planned:
    return Planner().plan(sql, schemas, database, prepared=prepared)


def query(sql: str) -> QueryPlan:
    found = plan(sql, prepared=True).plan
    assert isinstance(found, QueryPlan)
    return found


def insert(sql: str) -> InsertPlan:
    found = plan(sql, prepared=True).plan
    assert isinstance(found, InsertPlan)
    return found


def session_text(value: SessionValue) -> str:
    return f"<{value.kind.value}{value.name}>"


def text(template: Template | None, planned: Planned, **bindings: object) -> str:
    """The template with the statement's literals; parameters show as ?0, ?1."""
    assert template is not None
    parameters = [f"?{number}" for number in range(planned.parameters)]
    made = Bindings(planned.literals, parameters, session_text, **bindings)  # type: ignore[arg-type]
    return template.render(made)


def scattered(sql: str) -> str:
    """What several shards are sent."""
    planned = plan(sql, prepared=True)
    assert isinstance(planned.plan, QueryPlan)
    assert planned.plan.scatter is not None
    return text(planned.plan.scatter.template, planned)


def route_of(sql: str) -> str:
    """One line: all, any, first, home s2, users[5, 6], same(users[5] orders[7])."""
    planned = plan(sql, prepared=True)
    assert isinstance(planned.plan, (QueryPlan,))
    return _route(planned.plan.route, planned.literals)


def _route(route: Route, literals: tuple[str, ...]) -> str:
    match route:
        case ByKeys(table, keys):
            return f"{table.name}[{', '.join(show_operand(key, literals) for key in keys)}]"
        case SameShard(members):
            return f"same({' '.join(_route(member, literals) for member in members)})"
        case OneShard(home):
            return f"home {home}"
        case AllShards():
            return "all"
        case AnyShard():
            return "any"
        case FirstShard():
            return "first"


def show_operand(operand: Operand | None, literals: tuple[str, ...]) -> str:
    if operand is None:
        return "generated"
    if isinstance(operand, Literal):
        return ("-" if operand.negated else "") + literals[operand.index]
    if isinstance(operand, Constant):
        return str(operand.value)
    return f"?{operand.index}"
