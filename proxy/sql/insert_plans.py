"""Plans of INSERT and REPLACE with rows of their own: each row goes to its shard.

The text is spliced: what stands before the rows, each row, what stands behind them. Each server would count
AUTO_INCREMENT for itself, so a row that leaves that column to the server gets a hole for the executor's value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from proxy.errors import NotSupported
from proxy.routing.tables import Column, Table, TableKind
from proxy.sql.change_plans import refuse_key_change
from proxy.sql.cutting import cut, template
from proxy.sql.errors import ColumnCountMismatch, ColumnSpecifiedTwice, MissingShardKey, UnknownColumn
from proxy.sql.holes import session_value
from proxy.sql.operands import Operand, quote_name
from proxy.sql.plan import AllShards, InsertPlan, InsertRow, OneShard
from proxy.sql.planning import Planning, refuse_unequal
from proxy.sql.scope import INTERNAL_PREFIX, check_expression
from proxy.sql.syntax import Expression, Insert, Subquery, Value, ValuesRow, walk
from proxy.sql.template import Generated, Part, SessionValue

_UNEQUAL_DEFAULTS = ("current_timestamp", "now(", "uuid", "rand(", "curdate", "curtime", "nextval")


def plan_insert(node: Insert, planning: Planning) -> InsertPlan:
    table = planning.scope().table(node.table.schema, node.table.name)
    if node.table.partition:
        raise NotSupported("INSERT … PARTITION")
    return _InsertPlanner(node, planning, table).plan()


@dataclass(slots=True)
class _InsertPlanner:
    node: Insert
    planning: Planning
    table: Table

    def plan(self) -> InsertPlan:
        node, table = self.node, self.table
        session_values = self._session_values()
        columns = self._columns()
        auto = next((column for column in table.columns if column.auto_increment), None)
        if table.kind is TableKind.SINGLE:
            auto = None
        rows = self._rows()
        replicated = table.kind is TableKind.REFERENCE
        if replicated:
            self._refuse_unequal(columns, rows)
        return InsertPlan(
            table=table,
            route=AllShards() if replicated else OneShard(table.home) if table.home is not None else None,
            head=template(self._head(columns, auto)),
            rows=tuple(self._row(row, number, columns, auto) for number, row in enumerate(rows, 1)),
            tail=template(" ", self._cut(node.tail, node.end)) if node.tail < node.end else template(),
            auto_column=auto.name if auto is not None else None,
            auto_is_key=auto is not None and auto.name == table.shard_key,
            template_only=bool(session_values),
            session_values=session_values,
            replace=node.replace,
            ignore=node.ignore,
            on_duplicate=bool(node.on_duplicate),
            replicated=replicated,
            returns_rows=node.returning,
        )

    # ------------------------------------------------------------ what is in it

    def _expressions(self) -> Iterator[Expression]:
        for row in self.node.rows:
            yield from (value for value in row.values if value is not None)
        for assignment in (*self.node.assignments, *self.node.on_duplicate):
            if assignment.value is not None:
                yield assignment.value

    def _session_values(self) -> tuple[SessionValue, ...]:
        """Check every expression, and make holes of what only the session knows."""
        for assignment in self.node.on_duplicate:
            refuse_key_change(self.table, assignment.column.name.lower())
            check_expression(assignment.column)
        found: list[SessionValue] = []
        for root in self._expressions():
            for node in walk(root):
                check_expression(node)
                if isinstance(node, Subquery):
                    raise NotSupported("a subquery in INSERT … VALUES")
                value = session_value(node, self.planning.tokens)
                if value is not None:
                    self.planning.holes.replace(node.start, node.end, value)
                    found.append(value)
        return tuple(dict.fromkeys(found))

    def _columns(self) -> list[str]:
        """The columns that the rows give, in lower case. Raises what MySQL would for wrong ones."""
        node, table = self.node, self.table
        if node.assignments:
            named = [assignment.column.name for assignment in node.assignments]
        elif node.columns is not None:
            named = node.columns
        elif any(not row.values for row in node.rows):
            named = []
        else:
            named = [column.name for column in table.columns]
        known = {column.name.lower() for column in table.columns}
        for name in named:
            if name.lower() not in known or name.lower().startswith(INTERNAL_PREFIX):
                raise UnknownColumn(name, "field list")
            if sum(name.lower() == other.lower() for other in named) > 1:
                raise ColumnSpecifiedTwice(name)
        return [name.lower() for name in named]

    def _rows(self) -> list[ValuesRow]:
        """The rows; SET a = 1, b = 2 is a row too."""
        node = self.node
        if not node.assignments:
            return node.rows
        values = [assignment.value for assignment in node.assignments]
        places = [(assignment.column.end + 1, assignment.end) for assignment in node.assignments]
        return [ValuesRow(node.start, node.end, values, places)]

    def _refuse_unequal(self, columns: Sequence[str], rows: Sequence[ValuesRow]) -> None:
        refuse_unequal(self._expressions())
        for column in self.table.columns:
            name = column.name.lower()
            index = columns.index(name) if name in columns else None
            defaulted = index is None or any(index < len(r.values) and r.values[index] is None for r in rows)
            default = (column.default or "").lower()
            if defaulted and any(word in default for word in _UNEQUAL_DEFAULTS):
                raise NotSupported(
                    f"leaving {column.name} of a reference table to its default (give the value)"
                )

    # ------------------------------------------------------------ the text

    def _cut(self, start: int, end: int) -> list[Part]:
        return cut(self.planning.tokens, start, end, self.planning.holes)

    def _head(self, columns: Sequence[str], auto: Column | None) -> list[Part]:
        names = [column.name for column in self.table.columns if column.name.lower() in columns]
        names.sort(key=lambda name: columns.index(name.lower()))
        if auto is not None and auto.name.lower() not in columns:
            names.insert(0, auto.name)
        listed = ", ".join(quote_name(name) for name in names)
        return [*self._cut(self.node.start, self.node.head_end), f" ({listed}) VALUES "]

    def _row(self, row: ValuesRow, number: int, columns: Sequence[str], auto: Column | None) -> InsertRow:
        if len(row.values) != len(columns):
            raise ColumnCountMismatch(number)
        texts = [self._cut(*place) for place in row.places]
        own: Operand | None = None
        if auto is not None:
            if auto.name.lower() in columns:
                index = columns.index(auto.name.lower())
                own = self._operand(row.values[index], "the AUTO_INCREMENT column")
                texts[index] = [Generated(own)]
            else:
                texts.insert(0, [Generated(None)])
        parts: list[Part] = ["("]
        for index, text in enumerate(texts):
            parts += [", ", *text] if index else text
        return InsertRow(template([*parts, ")"]), self._key(row, columns, auto), own)

    def _key(self, row: ValuesRow, columns: Sequence[str], auto: Column | None) -> Operand | None:
        key = self.table.shard_key
        if key is None:
            return None
        generated = auto is not None and auto.name == key
        value = row.values[columns.index(key.lower())] if key.lower() in columns else None
        if value is not None:
            return self._operand(value, f"the shard key {self.table.name}.{key} of a new row")
        if not generated:
            column = next(column for column in self.table.columns if column.name == key)
            if column.default is None:
                raise MissingShardKey(key)
            raise NotSupported(f"leaving the shard key {self.table.name}.{key} to its default")
        return None

    def _operand(self, value: Expression | None, what: str) -> Operand | None:
        if value is None:
            return None
        if isinstance(value, Value) and value.plain:
            return value.operand
        raise NotSupported(f"an expression for {what} (give a value)")
