"""INSERT, REPLACE, UPDATE and DELETE.

Source: MySQL 8.0 manual, "INSERT Statement", "REPLACE Statement", "UPDATE Statement", "DELETE Statement";
MariaDB knowledge base for RETURNING.
"""

from __future__ import annotations

from proxy.sql.lexer import Kind
from proxy.sql.queries import QueryParser
from proxy.sql.syntax import (
    Assignment,
    ColumnName,
    Cte,
    Delete,
    Expression,
    Insert,
    Query,
    TableName,
    Update,
    ValuesRow,
)


class ChangeParser(QueryParser):
    # ------------------------------------------------------------ INSERT

    def insert(self) -> Insert:
        start = self.here
        replace = self.expect("INSERT", "REPLACE").upper == "REPLACE"
        ignore = False
        while self.at("LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE"):
            ignore |= self.advance().upper == "IGNORE"
        self.accept("INTO")
        table = self._target()
        result = Insert(
            start, -1, table, self.here, replace, ignore, None, [], None, [], [], -1, False, False
        )
        if self.at("(") and not self.at_query():
            result.columns = self._column_list()
        self._insert_source(result)
        self._insert_tail(result)
        self.expect_end()
        result.end = self.here
        return result

    def _target(self) -> TableName:
        start = self.here
        schema, name = self.qualified_name()
        partition = self.accept("PARTITION")
        if partition:
            self.skip_parentheses()
        return TableName(start, self.here, schema, name, None, partition)

    def _column_list(self) -> list[str]:
        self.expect("(")
        columns: list[str] = []
        while not self.accept(")"):
            columns.append(self._plain_column().name)
            if not self.at(")"):
                self.expect(",")
        return columns

    def _plain_column(self) -> ColumnName:
        start = self.here
        parts = [self.name()]
        while self.accept("."):
            parts.append(self.name_after_dot())
        return ColumnName(start, self.here, tuple(parts))

    def _insert_source(self, result: Insert) -> None:
        if self.at_query() and not (self.at("VALUES")):
            result.query = self.query()
        elif self.accept("VALUES", "VALUE"):
            if self.at("ROW"):
                self.refuse("INSERT … VALUES ROW()")
            result.rows.append(self._values_row())
            while self.accept(","):
                result.rows.append(self._values_row())
        elif self.accept("SET"):
            result.assignments = self.assignments()
        else:
            self.fail()
        result.tail = self.here

    def _values_row(self) -> ValuesRow:
        row = ValuesRow(self.here, -1, [], [])
        self.expect("(")
        while not self.at(")"):
            start = self.here
            row.values.append(self._value())
            row.places.append((start, self.here))
            if not self.at(")"):
                self.expect(",")
                if self.at(")"):
                    self.fail()
        self.expect(")")
        row.end = self.here
        return row

    def _value(self) -> Expression | None:
        if self.at("DEFAULT") and self.peek().upper != "(":
            self.advance()
            return None
        return self.expression()

    def _insert_tail(self, result: Insert) -> None:
        if self.accept("AS"):
            result.row_alias = True
            self.name()
            if self.at("("):
                self.names_in_parentheses()
        if self.accept_sequence("ON", "DUPLICATE", "KEY", "UPDATE"):
            result.on_duplicate = self.assignments()
        result.returning = self._returning()

    def _returning(self) -> bool:
        if not self.accept("RETURNING"):
            return False
        self._items()
        return True

    def assignments(self) -> list[Assignment]:
        result: list[Assignment] = []
        while True:
            start = self.here
            column = self._plain_column()
            if self.token.upper == ":=":
                self.advance()
            else:
                self.expect("=")
            result.append(Assignment(column, self._value(), start, self.here))
            if not self.accept(","):
                return result

    # ------------------------------------------------------------ UPDATE, DELETE

    def update(self, start: int, ctes: list[Cte]) -> Update:
        self.expect("UPDATE")
        while self.accept("LOW_PRIORITY", "IGNORE"):
            pass
        source = self.table_references()
        self.expect("SET")
        assignments = self.assignments()
        where = self.expression() if self.accept("WHERE") else None
        order_by = self._order_by()
        limit = self.limit()
        returning = self._returning()
        self.expect_end()
        return Update(start, self.here, source, assignments, where, order_by, limit, ctes, returning)

    def delete(self, start: int, ctes: list[Cte]) -> Delete:
        self.expect("DELETE")
        while self.accept("LOW_PRIORITY", "QUICK", "IGNORE"):
            pass
        targets: list[ColumnName] = []
        if not self.accept("FROM"):
            targets = self._targets()
            self.expect("FROM")
            source = self.table_references()
        elif self._lists_targets():
            targets = self._targets()
            self.expect("USING")
            source = self.table_references()
        else:
            source = self.table_name()
        where = self.expression() if self.accept("WHERE") else None
        order_by = self._order_by()
        limit = self.limit()
        returning = self._returning()
        self.expect_end()
        return Delete(start, self.here, source, targets, where, order_by, limit, ctes, returning)

    def _lists_targets(self) -> bool:
        """DELETE FROM a, b.* USING …: whether USING comes behind the names."""
        ahead = 0
        while self.peek(ahead).kind in (Kind.WORD, Kind.NAME, Kind.OPERATOR):
            token = self.peek(ahead)
            if token.upper == "USING":
                return True
            if token.kind is Kind.OPERATOR and token.upper not in (".", ",", "*"):
                return False
            if token.upper in ("WHERE", "ORDER", "LIMIT"):
                return False
            ahead += 1
        return False

    def _targets(self) -> list[ColumnName]:
        targets: list[ColumnName] = []
        while True:
            start = self.here
            parts = [self.name()]
            while self.accept("."):
                if self.accept("*"):
                    break
                parts.append(self.name_after_dot())
            targets.append(ColumnName(start, self.here, tuple(parts)))
            if not self.accept(","):
                return targets

    def statement_query(self) -> Query | Update | Delete | Insert:
        """A whole SELECT, INSERT, REPLACE, UPDATE or DELETE."""
        start = self.here
        if self.at("INSERT", "REPLACE"):
            return self.insert()
        if self.at("UPDATE"):
            return self.update(start, [])
        if self.at("DELETE"):
            return self.delete(start, [])
        if self.at("WITH") and (change := self._with_change(start)) is not None:
            return change
        query = self.query()
        self.expect_end()
        return query

    def _with_change(self, start: int) -> Update | Delete | None:
        before = self.here
        ctes = self.ctes()
        if self.at("UPDATE"):
            return self.update(start, ctes)
        if self.at("DELETE"):
            return self.delete(start, ctes)
        self.here = before
        return None
