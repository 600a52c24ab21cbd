"""The syntax trees that the parser makes: what planning must know, with the place of everything in the text.

A node's `start` and `end` are indexes into the statement's tokens (end exclusive), so that a plan can cut the
client's own text; nothing is ever written out again from a tree. What planning does not look into is an
`Operation` or a `Call` with its operands, so that every column, table and function is still found in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from proxy.sql.operands import Operand


@dataclass(slots=True)
class Value:
    """A literal, parameter or constant. `plain`: a number or an ordinary string, which can be a key."""

    start: int
    end: int
    operand: Operand
    plain: bool = True
    number: bool = False
    """A number token (not a string, parameter or word)."""


@dataclass(slots=True)
class ColumnName:
    """`parts`: [schema,] [table,] column, as written without quotes."""

    start: int
    end: int
    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.parts[-1]


@dataclass(slots=True)
class Star:
    start: int
    end: int
    qualifier: tuple[str, ...] = ()


@dataclass(slots=True)
class Operation:
    """`name`: the operator in upper case (AND, =, IN, NOT IN, BETWEEN, CASE, CAST, …)."""

    start: int
    end: int
    name: str
    operands: list[Expression]


@dataclass(slots=True)
class Call:
    """A function call; `name` in upper case, `schema` given for db.f(). `window`: it has an OVER clause."""

    start: int
    end: int
    name: str
    arguments: list[Expression]
    distinct: bool = False
    star: bool = False
    window: bool = False
    schema: str | None = None


@dataclass(slots=True)
class RowValue:
    start: int
    end: int
    items: list[Expression]


@dataclass(slots=True)
class Subquery:
    start: int
    end: int
    query: Query


@dataclass(slots=True)
class Variable:
    """@name, or @@[scope.]name when `system`; `name` as the token has it."""

    start: int
    end: int
    name: str
    system: bool


Expression = Value | ColumnName | Star | Operation | Call | RowValue | Subquery | Variable


@dataclass(slots=True)
class Item:
    """One item of a select list. `alias_is_string`: SELECT a 'x'."""

    expression: Expression
    alias: str | None
    alias_is_string: bool
    start: int
    """Its first token: parentheses around it are not the expression's."""
    alias_start: int
    end: int
    """The token after the alias."""


@dataclass(slots=True)
class OrderItem:
    expression: Expression
    descending: bool


@dataclass(slots=True)
class AsOf:
    """AS OF TIMESTAMP `expression`."""

    start: int
    end: int
    expression: Expression


@dataclass(slots=True)
class TableName:
    """A table in FROM (or the target of DML). `start` to `end` takes in alias and index hints."""

    start: int
    end: int
    schema: str | None
    name: str
    alias: str | None
    partition: bool = False
    as_of: AsOf | None = None


@dataclass(slots=True)
class Derived:
    start: int
    end: int
    query: Query
    alias: str
    lateral: bool = False


@dataclass(slots=True)
class Join:
    """`kind`: INNER, LEFT, RIGHT. A comma and CROSS JOIN are INNER without a condition."""

    left: FromItem
    right: FromItem
    kind: str
    on: Expression | None
    using: tuple[str, ...]
    natural: bool


FromItem = TableName | Derived | Join


@dataclass(slots=True)
class Limit:
    start: int
    end: int
    count: Operand
    offset: Operand | None


@dataclass(slots=True)
class Locking:
    """FOR UPDATE | FOR SHARE | LOCK IN SHARE MODE; `of`: the aliases after OF; `shared`: no FOR UPDATE."""

    start: int
    end: int
    of: tuple[str, ...]
    shared: bool


@dataclass(slots=True)
class Cte:
    name: str
    query: Query
    recursive: bool


@dataclass(slots=True)
class Select:
    """One SELECT. The `…_at` fields are token indexes: where a clause begins (its keyword) and ends."""

    start: int
    end: int
    options: frozenset[str]
    items: list[Item]
    items_end: int
    source: FromItem | None
    where: Expression | None
    group_by: list[OrderItem]
    rollup: bool
    having: Expression | None
    having_at: tuple[int, int] | None
    windows: bool
    order_by: list[OrderItem]
    order_at: tuple[int, int] | None
    limit: Limit | None
    locking: Locking | None
    into: bool
    ctes: list[Cte]
    body_end: int
    """Where FROM, WHERE and GROUP BY end: the start of HAVING, WINDOW, ORDER BY, LIMIT or what follows."""


@dataclass(slots=True)
class SetOperation:
    """UNION, EXCEPT, INTERSECT of several members, or a query in parentheses with more behind it."""

    start: int
    end: int
    members: list[Query]
    order_by: list[OrderItem]
    limit: Limit | None
    locking: Locking | None
    into: bool
    ctes: list[Cte]


Query = Select | SetOperation


@dataclass(slots=True)
class Assignment:
    """`column = value` of UPDATE, INSERT … SET and ON DUPLICATE KEY UPDATE. `value` None: DEFAULT."""

    column: ColumnName
    value: Expression | None
    start: int
    end: int


@dataclass(slots=True)
class Update:
    start: int
    end: int
    source: FromItem
    assignments: list[Assignment]
    where: Expression | None
    order_by: list[OrderItem]
    limit: Limit | None
    ctes: list[Cte]
    returning: bool


@dataclass(slots=True)
class Delete:
    """`targets`: the aliases of the multi-table form; empty for the single-table one."""

    start: int
    end: int
    source: FromItem
    targets: list[ColumnName]
    where: Expression | None
    order_by: list[OrderItem]
    limit: Limit | None
    ctes: list[Cte]
    returning: bool


@dataclass(slots=True)
class ValuesRow:
    """A row of VALUES; a None among the values is DEFAULT."""

    start: int
    end: int
    values: list[Expression | None]
    places: list[tuple[int, int]]
    """The token range of each value."""


@dataclass(slots=True)
class Insert:
    """INSERT and REPLACE. `head_end`: the token after the table's name (and PARTITION clause)."""

    start: int
    end: int
    table: TableName
    head_end: int
    replace: bool
    ignore: bool
    columns: list[str] | None
    rows: list[ValuesRow]
    query: Query | None
    assignments: list[Assignment]
    """INSERT … SET."""
    on_duplicate: list[Assignment]
    tail: int
    """The token where what follows the rows begins: AS new, ON DUPLICATE KEY UPDATE, RETURNING."""
    returning: bool
    row_alias: bool


def children(node: Expression) -> list[Expression]:
    """The expressions directly inside; a subquery is not looked into."""
    if isinstance(node, Operation):
        return node.operands
    if isinstance(node, Call):
        return node.arguments
    if isinstance(node, RowValue):
        return node.items
    return []


def walk(node: Expression | None) -> Iterator[Expression]:
    """The node and everything inside it, subqueries themselves but not what is inside them."""
    stack = [node] if node is not None else []
    while stack:
        current = stack.pop()
        yield current
        stack.extend(reversed(children(current)))


def conjuncts(node: Expression | None) -> Iterator[Expression]:
    """What a condition is AND-ed together from."""
    if node is None:
        return
    if isinstance(node, Operation) and node.name == "AND":
        for operand in node.operands:
            yield from conjuncts(operand)
    else:
        yield node
