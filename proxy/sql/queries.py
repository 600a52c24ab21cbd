"""SELECT, its FROM clause, and the operations between queries.

Source: MySQL 8.0 manual, "SELECT Statement", "JOIN Clause", "UNION Clause", "WITH (Common Table Expressions)".
"""

from __future__ import annotations

from proxy.sql.calls import CallParser
from proxy.sql.lexer import Kind
from proxy.sql.operands import Literal, Operand, Parameter
from proxy.sql.syntax import (
    AsOf,
    Cte,
    Derived,
    Expression,
    FromItem,
    Item,
    Join,
    Limit,
    Locking,
    OrderItem,
    Query,
    Select,
    SetOperation,
    TableName,
)

_OPTIONS = frozenset(
    "ALL DISTINCT DISTINCTROW HIGH_PRIORITY STRAIGHT_JOIN SQL_SMALL_RESULT SQL_BIG_RESULT SQL_BUFFER_RESULT "
    "SQL_NO_CACHE SQL_CACHE SQL_CALC_FOUND_ROWS".split()
)
_SET_OPERATORS = ("UNION", "EXCEPT", "INTERSECT", "MINUS")


class QueryParser(CallParser):
    def subquery(self) -> Query:
        return self.query()

    def query(self) -> Query:
        """[WITH …] a SELECT, or several joined by UNION, EXCEPT, INTERSECT."""
        start = self.here
        ctes = self.ctes()
        first = self._member()
        members = [first]
        while self.at(*_SET_OPERATORS):
            self.advance()
            self.accept("ALL", "DISTINCT")
            members.append(self._member())
        if len(members) == 1 and isinstance(first, Select) and self.tokens[first.start].upper != "(":
            first.ctes, first.start = ctes, start
            return first
        if len(members) == 1 and not self.at("ORDER", "LIMIT", "FOR", "LOCK", "INTO") and not ctes:
            return first
        result = SetOperation(start, -1, members, [], None, None, False, ctes)
        last = members[-1]
        if isinstance(last, Select) and len(members) > 1:
            # Without parentheses the last member has read what belongs to the whole.
            self._lift(result, last)
        self._tail(result)
        result.end = self.here
        return result

    def _lift(self, whole: SetOperation, last: Select) -> None:
        if self.tokens[last.start].upper == "(":
            return
        whole.order_by, whole.limit, whole.locking, whole.into = (
            last.order_by,
            last.limit,
            last.locking,
            last.into,
        )

    def _tail(self, whole: SetOperation) -> None:
        whole.order_by = whole.order_by or self._order_by()
        whole.limit = whole.limit or self.limit()
        whole.into = self._into() or whole.into
        whole.locking = whole.locking or self._locking()

    def _member(self) -> Query:
        start = self.here
        if not self.accept("("):
            return self._select()
        inner = self.query()
        self.expect(")")
        # The parentheses mark a member whose own clauses are its own.
        inner.start, inner.end = start, self.here
        return inner

    def ctes(self) -> list[Cte]:
        if not self.accept("WITH"):
            return []
        recursive = self.accept("RECURSIVE")
        result: list[Cte] = []
        while True:
            name = self.name()
            if self.at("("):
                self.skip_parentheses()
            self.expect("AS")
            self.expect("(")
            result.append(Cte(name, self.query(), recursive))
            self.expect(")")
            if not self.accept(","):
                return result

    # ------------------------------------------------------------ one SELECT

    def _select(self) -> Query:
        start = self.here
        if self.at("TABLE", "VALUES"):
            self.refuse(f"the statement {self.token.upper}")
        self.expect("SELECT")
        options: set[str] = set()
        while self.token.upper in _OPTIONS and self.token.kind is Kind.WORD:
            options.add(self.advance().upper)
        items = self._items()
        items_end = self.here
        into = self._into()
        source = self._from()
        where = self.expression() if self.accept("WHERE") else None
        group_by, rollup = self._group_by()
        body_end = self.here
        having_start = self.here
        having = self.expression() if self.accept("HAVING") else None
        having_at = (having_start, self.here) if having is not None else None
        windows = self._windows()
        order_start = self.here
        order_by = self._order_by()
        order_at = (order_start, self.here) if order_by else None
        limit = self.limit()
        if self.at("PROCEDURE"):
            self.refuse("PROCEDURE in SELECT")
        into = self._into() or into
        locking = self._locking()
        into = self._into() or into
        return Select(
            start,
            self.here,
            frozenset(options),
            items,
            items_end,
            source,
            where,
            group_by,
            rollup,
            having,
            having_at,
            windows,
            order_by,
            order_at,
            limit,
            locking,
            into,
            [],
            body_end,
        )

    def _items(self) -> list[Item]:
        items = [self._item()]
        while self.accept(","):
            items.append(self._item())
        return items

    def _item(self) -> Item:
        start = self.here
        expression = self.expression()
        alias_start = self.here
        alias, is_string = None, False
        if self.accept("AS"):
            if self.token.kind is Kind.STRING:
                alias, is_string = self.advance().text[1:-1], True
            else:
                alias = self.name_after_dot() if self.token.kind is Kind.NAME else self.name()
        elif self.token.kind is Kind.STRING:
            alias, is_string = self.advance().text[1:-1], True
        elif self.at_name():
            alias = self.advance().text
        return Item(expression, alias, is_string, start, alias_start, self.here)

    def _group_by(self) -> tuple[list[OrderItem], bool]:
        if not self.accept_sequence("GROUP", "BY"):
            return [], False
        items = self._order_items()
        return items, self.accept_sequence("WITH", "ROLLUP")

    def _order_by(self) -> list[OrderItem]:
        return self._order_items() if self.accept_sequence("ORDER", "BY") else []

    def _order_items(self) -> list[OrderItem]:
        items: list[OrderItem] = []
        while True:
            expression = self.expression()
            descending = self.at("DESC")
            self.accept("ASC", "DESC")
            items.append(OrderItem(expression, descending))
            if not self.accept(","):
                return items

    def _windows(self) -> bool:
        if not self.accept("WINDOW"):
            return False
        while True:
            self.name()
            self.expect("AS")
            self.skip_parentheses()
            if not self.accept(","):
                return True

    def limit(self) -> Limit | None:
        start = self.here
        if self.at("FETCH") or (self.at_sequence("OFFSET") and self.peek(2).upper in ("ROW", "ROWS")):
            self.refuse("OFFSET … FETCH (write LIMIT)")
        if not self.accept("LIMIT"):
            return None
        first = self._limit_operand()
        if self.accept("OFFSET"):
            offset = self._limit_operand()
            return Limit(start, self.here, first, offset)
        if self.accept(","):
            count = self._limit_operand()
            return Limit(start, self.here, count, first)
        if self.at("ROWS"):
            self.refuse("LIMIT ROWS EXAMINED")
        return Limit(start, self.here, first, None)

    def _limit_operand(self) -> Operand:
        token = self.advance()
        if token.kind is Kind.NUMBER and token.text.isdigit():
            return Literal(token.ordinal)
        if token.kind is Kind.PARAMETER:
            return Parameter(token.ordinal)
        self.here -= 1
        self.fail()

    def _into(self) -> bool:
        if not self.accept("INTO"):
            return False
        self.refuse("SELECT … INTO")

    def _locking(self) -> Locking | None:
        start = self.here
        of: list[str] = []
        if self.accept_sequence("LOCK", "IN", "SHARE", "MODE"):
            self._wait_option()
            return Locking(start, self.here, (), shared=True)
        modes: list[str] = []
        while self.accept("FOR"):
            modes.append(self.expect("UPDATE", "SHARE").upper)
            if self.accept("OF"):
                of.append(self.name())
                while self.accept(","):
                    of.append(self.name())
            self._wait_option()
        return Locking(start, self.here, tuple(of), shared="UPDATE" not in modes) if modes else None

    def _wait_option(self) -> None:
        if self.accept("NOWAIT"):
            return
        if self.accept("SKIP"):
            self.expect("LOCKED")
        elif self.accept("WAIT") and self.advance().kind is not Kind.NUMBER:
            self.fail()

    # ------------------------------------------------------------ FROM

    def _from(self) -> FromItem | None:
        if not self.accept("FROM"):
            return None
        if self.at("DUAL") and self.peek().upper != ".":
            self.advance()
            return None
        return self.table_references()

    def table_references(self) -> FromItem:
        left = self.joined()
        while self.accept(","):
            left = Join(left, self.joined(), "INNER", None, (), False)
        return left

    def joined(self) -> FromItem:
        left = self._factor()
        while True:
            natural = self.accept("NATURAL")
            kind = self._join_kind(natural)
            if kind is None:
                return left
            right = self._factor()
            on: Expression | None = None
            using: tuple[str, ...] = ()
            if not natural and self.accept("ON"):
                on = self.expression()
            elif not natural and self.accept("USING"):
                using = self.names_in_parentheses()
            elif not natural and kind != "INNER":
                self.refuse("a join whose ON clause does not follow it directly (use parentheses)")
            left = Join(left, right, kind, on, using, natural)

    def _join_kind(self, natural: bool) -> str | None:
        if self.accept("JOIN", "STRAIGHT_JOIN"):
            return "INNER"
        if self.at("INNER", "CROSS"):
            self.advance()
            self.expect("JOIN")
            return "INNER"
        if self.at("LEFT", "RIGHT"):
            kind = self.advance().upper
            self.accept("OUTER")
            self.expect("JOIN")
            return kind
        if self.at("FULL") and self.peek().upper in ("JOIN", "OUTER"):
            self.fail()
        if natural:
            self.fail()
        return None

    def _factor(self) -> FromItem:
        start = self.here
        if self.accept("LATERAL"):
            self.expect("(")
            return self._derived(start, lateral=True)
        if self.at("("):
            if self.at_query() and self._parenthesised_query():
                self.advance()
                return self._derived(start, lateral=False)
            self.advance()
            inner = self.table_references()
            self.expect(")")
            return inner
        if self.accept("{"):
            self.refuse("{ OJ … }")
        return self.table_name()

    def _parenthesised_query(self) -> bool:
        """Whether the parentheses hold a query, and not a join that begins with one: ((SELECT …) a JOIN b)."""
        if self.peek().upper != "(":
            return True
        depth = 0
        index = self.here + 1
        while index < len(self.tokens):
            upper = self.tokens[index].upper
            depth += (upper == "(") - (upper == ")")
            index += 1
            if depth == 0:
                break
        after = self.tokens[min(index, len(self.tokens) - 1)].upper
        return after in (")", "ORDER", "LIMIT", *_SET_OPERATORS)

    def _derived(self, start: int, *, lateral: bool) -> Derived:
        query = self.query()
        self.expect(")")
        self.accept("AS")
        alias = self.name()
        if self.at("("):
            self.skip_parentheses()
        return Derived(start, self.here, query, alias, lateral)

    def table_name(self) -> TableName:
        """[schema.]table [PARTITION (…)] [[AS] alias] [AS OF TIMESTAMP …] [index hints]"""
        start = self.here
        schema, name = self.qualified_name()
        if self.at("("):
            self.refuse(f"the table function {name}")
        partition = self.accept("PARTITION")
        if partition:
            self.skip_parentheses()
        if self.at_sequence("FOR", "SYSTEM_TIME"):
            self.refuse("FOR SYSTEM_TIME")
        as_of, alias = self.as_of(), None
        if as_of is None:
            alias = self.name() if self.accept("AS") or (self.at_name() and not self._after_table()) else None
            as_of = self.as_of()
        while self.at("USE", "FORCE", "IGNORE") and self.peek().upper in ("INDEX", "KEY"):
            self.advance()
            self.advance()
            if self.accept("FOR"):
                self.accept("JOIN") or self.accept_sequence("ORDER", "BY") or self.accept_sequence(
                    "GROUP", "BY"
                )
            self.skip_parentheses()
            self.accept(",")
        if self.at("TABLESAMPLE"):
            self.refuse("TABLESAMPLE")
        return TableName(start, self.here, schema, name, alias, partition, as_of)

    def as_of(self) -> AsOf | None:
        start = self.here
        if self.at_sequence("AS", "OF", "SYSTEM"):
            self.refuse("AS OF SYSTEM TIME (write AS OF TIMESTAMP)")
        if not self.accept_sequence("AS", "OF", "TIMESTAMP"):
            return None
        expression = self.expression()
        return AsOf(start, self.here, expression)

    def _after_table(self) -> bool:
        """Unreserved words that begin a clause behind a table, and are no alias there."""
        return self.at("OFFSET", "MINUS", "TABLESAMPLE") or (
            self.at("FULL") and self.peek().upper in ("JOIN", "OUTER")
        )

    def names_in_parentheses(self) -> tuple[str, ...]:
        self.expect("(")
        names = [self.name()]
        while self.accept(","):
            names.append(self.name())
        self.expect(")")
        return tuple(names)
