"""Expressions: the grammar of MySQL's own parser, level by level.

The rule kept here: whatever is accepted is understood as MySQL understands it (precedence above all: a shard key
is looked for among the conjuncts), and what is not known is a syntax error, never passed over.
Source: MySQL 8.0 manual, "Expressions", "Operator Precedence"; sql_yacc.yy (expr, bool_pri, predicate, bit_expr).
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.errors import NestedTooDeeply
from proxy.sql.cursor import RESERVED, Cursor
from proxy.sql.lexer import Kind
from proxy.sql.operands import Constant, Literal, Parameter
from proxy.sql.syntax import (
    Call,
    ColumnName,
    Expression,
    Operation,
    Query,
    RowValue,
    Star,
    Subquery,
    Value,
    Variable,
)

MOST_PARENTHESES = 1_000
"""That open one behind the other."""
UNITS = frozenset(
    """MICROSECOND SECOND MINUTE HOUR DAY WEEK MONTH QUARTER YEAR SECOND_MICROSECOND MINUTE_MICROSECOND
    MINUTE_SECOND HOUR_MICROSECOND HOUR_SECOND HOUR_MINUTE DAY_MICROSECOND DAY_SECOND DAY_MINUTE DAY_HOUR
    YEAR_MONTH SQL_TSI_SECOND SQL_TSI_MINUTE SQL_TSI_HOUR SQL_TSI_DAY SQL_TSI_WEEK SQL_TSI_MONTH
    SQL_TSI_QUARTER SQL_TSI_YEAR""".split()
)

_WORD_CONSTANTS: dict[str, int | None] = {"NULL": None, "TRUE": 1, "FALSE": 0}
_BARE_FUNCTIONS = frozenset(
    "CURRENT_TIMESTAMP CURRENT_DATE CURRENT_TIME CURRENT_USER LOCALTIME LOCALTIMESTAMP UTC_DATE UTC_TIME "
    "UTC_TIMESTAMP CURRENT_ROLE".split()
)
_COMPARISONS = frozenset(("=", "<=>", ">=", ">", "<=", "<", "<>", "!="))
_LEVELS: tuple[frozenset[str], ...] = (
    frozenset(("|",)),
    frozenset(("&",)),
    frozenset(("<<", ">>")),
    frozenset(("+", "-")),
    frozenset(("*", "/", "%", "DIV", "MOD")),
    frozenset(("^",)),
)
RESERVED_FUNCTIONS = frozenset(
    "IF LEFT RIGHT REPLACE INSERT VALUES MOD DATABASE SCHEMA CHAR REPEAT TRUNCATE CONVERT INTERVAL MATCH "
    "DEFAULT".split()
)
"""Words that are reserved, or special, and yet name functions."""


class ExpressionParser(Cursor):
    """Reads expressions; a subclass reads the queries inside parentheses."""

    def subquery(self) -> Query:
        """Reads a query, without its parentheses. The subclass knows how."""
        raise NotImplementedError

    def at_query(self) -> bool:
        ahead = 0
        while self.peek(ahead).upper == "(":
            ahead += 1
            if ahead > MOST_PARENTHESES:  # Each of them looks behind all the others.
                raise NestedTooDeeply
        return self.peek(ahead).upper in ("SELECT", "WITH", "TABLE") or (
            self.peek(ahead).upper == "VALUES" and self.peek(ahead + 1).upper == "ROW"
        )

    # ------------------------------------------------------------ logic

    def expression(self) -> Expression:
        left = self._chain(self._xor, {"OR": "OR", "||": "OR"})
        if self.at(":="):
            self.refuse("an assignment to a user variable inside a statement (:=)")
        return left

    def _xor(self) -> Expression:
        return self._chain(self._and, {"XOR": "XOR"})

    def _and(self) -> Expression:
        return self._chain(self._not, {"AND": "AND", "&&": "AND"})

    def _chain(self, inner: Callable[[], Expression], names: dict[str, str]) -> Expression:
        start = self.here
        left = inner()
        while self.token.upper in names:
            name = names[self.advance().upper]
            left = Operation(start, -1, name, [left, inner()])
            left.end = self.here
        return left

    def _not(self) -> Expression:
        start = self.here
        if self.accept("NOT"):
            operand = self._not()
            return Operation(start, self.here, "NOT", [operand])
        left = self._boolean_primary()
        while self.at("IS"):
            self.advance()
            negated = "NOT " if self.accept("NOT") else ""
            what = self.expect("TRUE", "FALSE", "UNKNOWN", "NULL").upper
            left = Operation(start, self.here, f"IS {negated}{what}", [left])
        return left

    def _boolean_primary(self) -> Expression:
        start = self.here
        left = self._predicate()
        while True:
            if self.at("IS") and self.peek(1 + (self.peek().upper == "NOT")).upper == "NULL":
                self.advance()
                negated = "NOT " if self.accept("NOT") else ""
                self.advance()
                left = Operation(start, self.here, f"IS {negated}NULL", [left])
            elif self.token.upper in _COMPARISONS:
                name = self.advance().upper
                if self.at("ALL", "ANY", "SOME") and self.peek().upper == "(":
                    name += " " + self.advance().upper
                right = self._predicate()
                left = Operation(start, self.here, "<>" if name == "!=" else name, [left, right])
            else:
                return left

    # ------------------------------------------------------------ predicates

    def _predicate(self) -> Expression:
        start = self.here
        left = self._bits()
        if self.at("SOUNDS"):
            self.advance()
            self.expect("LIKE")
            return self._close(start, "SOUNDS LIKE", [left, self._bits()])
        if self.at("MEMBER"):
            self.advance()
            self.accept("OF")
            self.expect("(")
            right = self.expression()
            self.expect(")")
            return self._close(start, "MEMBER OF", [left, right])
        negated = "NOT " if self.at("NOT") and self.peek().upper in _NEGATABLE else ""
        if negated:
            self.advance()
        if self.accept("IN"):
            return self._in(start, negated, left)
        if self.accept("BETWEEN"):
            low = self._bits()
            self.expect("AND")
            return self._close(start, negated + "BETWEEN", [left, low, self._predicate()])
        if self.accept("LIKE"):
            operands = [left, self._simple()]
            if self.accept("ESCAPE"):
                operands.append(self._simple())
            return self._close(start, negated + "LIKE", operands)
        if self.accept("REGEXP", "RLIKE"):
            return self._close(start, negated + "REGEXP", [left, self._bits()])
        return left

    def _close(self, start: int, name: str, operands: list[Expression]) -> Operation:
        return Operation(start, self.here, name, operands)

    def _in(self, start: int, negated: str, left: Expression) -> Expression:
        opening = self.here
        self.expect("(")
        if self.at_query():
            query = self.subquery()
            self.expect(")")
            return self._close(start, negated + "IN", [left, Subquery(opening, self.here, query)])
        items = self.expressions()
        self.expect(")")
        return self._close(start, negated + "IN", [left, *items])

    def expressions(self) -> list[Expression]:
        items = [self.expression()]
        while self.accept(","):
            items.append(self.expression())
        return items

    # ------------------------------------------------------------ arithmetic

    def _bits(self, level: int = 0) -> Expression:
        if level == len(_LEVELS):
            return self._unary()
        start = self.here
        left = self._bits(level + 1)
        while self.token.upper in _LEVELS[level]:
            name = self.advance().upper
            if name in ("+", "-") and self.at("INTERVAL") and self._at_interval():
                left = self._close(start, "DATE " + name, [left, self._interval()])
            else:
                left = self._close(start, name, [left, self._bits(level + 1)])
        return left

    def _unary(self) -> Expression:
        start = self.here
        if self.at("-", "+", "~", "!"):
            name = self.advance().upper
            operand = self._unary()
            if name == "-" and isinstance(operand, Value) and isinstance(operand.operand, Literal):
                negated = Literal(operand.operand.index, not operand.operand.negated)
                return Value(start, self.here, negated, operand.plain, operand.number)
            return self._close(start, name if name in "~!" else "UNARY " + name, [operand])
        if self.accept("BINARY"):
            return self._close(start, "BINARY", [self._unary()])
        return self._simple()

    def _simple(self) -> Expression:
        start = self.here
        if self.at("-", "+", "~", "!", "BINARY"):
            return self._unary()
        left = self.primary()
        while self.accept("COLLATE"):
            if self.token.kind not in (Kind.WORD, Kind.NAME, Kind.STRING):
                self.fail()
            self.advance()
            left = self._close(start, "COLLATE", [left])
        return left

    def _at_interval(self) -> bool:
        """INTERVAL expr unit, not the function INTERVAL(…): look behind the parentheses."""
        before = self.here
        try:
            self.advance()
            self.expression()
            return self.token.upper in UNITS
        finally:
            self.here = before

    def _interval(self) -> Expression:
        start = self.here
        self.expect("INTERVAL")
        operand = self.expression()
        if self.token.upper not in UNITS:
            self.fail()
        self.advance()
        return self._close(start, "INTERVAL", [operand])

    # ------------------------------------------------------------ primaries

    def primary(self) -> Expression:
        token = self.token
        start = self.here
        match token.kind:
            case Kind.NUMBER:
                self.advance()
                return Value(start, self.here, Literal(token.ordinal), number=True)
            case Kind.STRING:
                return self._string()
            case Kind.BITS:
                self.advance()
                return Value(start, self.here, Literal(token.ordinal), plain=False)
            case Kind.PARAMETER:
                self.advance()
                return Value(start, self.here, Parameter(token.ordinal))
            case Kind.USER_VARIABLE | Kind.SYSTEM_VARIABLE:
                self.advance()
                return Variable(start, self.here, token.text, token.kind is Kind.SYSTEM_VARIABLE)
            case Kind.OPERATOR:
                return self._parentheses_or_brace()
            case Kind.WORD:
                return self._word()
            case Kind.NAME:
                return self.column_or_call()
            case _:
                self.fail()

    def _string(self) -> Expression:
        start = self.here
        token = self.advance()
        plain = True
        while self.token.kind is Kind.STRING:
            self.advance()
            plain = False
        return Value(start, self.here, Literal(token.ordinal), plain)

    def _parentheses_or_brace(self) -> Expression:
        start = self.here
        if self.at("*"):
            self.advance()
            return Star(start, self.here)
        if self.accept("{"):
            self.expect("D", "T", "TS")
            inner = self.expression()
            self.expect("}")
            return self._close(start, "ODBC", [inner])
        self.expect("(")
        if self.at_query():
            query = self.subquery()
            self.expect(")")
            return Subquery(start, self.here, query)
        items = self.expressions()
        self.expect(")")
        return items[0] if len(items) == 1 else RowValue(start, self.here, items)

    def _word(self) -> Expression:
        token, start = self.token, self.here
        word, following = token.upper, self.peek()
        if word in _WORD_CONSTANTS:
            self.advance()
            return Value(start, self.here, Constant(_WORD_CONSTANTS[word]))
        if following.kind is Kind.BITS and word[0] == "_":
            self.advance()
            return self._close(start, "INTRODUCER", [self.primary()])
        if following.kind is Kind.STRING and (word[0] == "_" or word in ("DATE", "TIME", "TIMESTAMP", "N")):
            if word != "N" or following.start == token.end:
                self.advance()
                return self._close(start, "INTRODUCER", [self._string()])
        special = getattr(self, f"_read_{word.lower()}", None) if word in SPECIAL_WORDS else None
        if special is not None:
            result: Expression = special()
            return result
        if word in _BARE_FUNCTIONS and following.upper != "(":
            self.advance()
            return Call(start, self.here, word, [])
        if word in RESERVED and not (word in RESERVED_FUNCTIONS and following.upper == "("):
            self.fail()
        return self.column_or_call()

    def column_or_call(self) -> Expression:
        """name | t.name | s.t.name | t.* | f(…) | s.f(…)"""
        start = self.here
        parts = [self.advance().text]
        while self.accept("."):
            if self.accept("*"):
                return Star(start, self.here, tuple(parts))
            parts.append(self.name_after_dot())
        if len(parts) > 3:
            self.fail()
        if self.at("(") and len(parts) <= 2 and self.tokens[self.here - 1].kind is Kind.WORD:
            return self.call(start, parts)
        if self.at("->", "->>"):
            self.advance()
            column = ColumnName(start, self.here - 1, tuple(parts))
            if self.token.kind is not Kind.STRING:
                self.fail()
            return self._close(start, "JSON", [column, self._string()])
        return ColumnName(start, self.here, tuple(parts))

    def call(self, start: int, parts: list[str]) -> Expression:
        raise NotImplementedError


_NEGATABLE = frozenset(("IN", "BETWEEN", "LIKE", "REGEXP", "RLIKE"))
SPECIAL_WORDS = frozenset(("CASE", "CAST", "CONVERT", "EXISTS", "MATCH", "INTERVAL", "DEFAULT", "ROW"))
