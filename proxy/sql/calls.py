"""Calls and the other expressions that begin with a word: CASE, CAST, EXISTS, MATCH, functions with words inside.

Source: MySQL 8.0 manual, "Functions and Operators"; sql_yacc.yy (simple_expr, function_call_…).
"""

from __future__ import annotations

from proxy.sql.expressions import UNITS, ExpressionParser
from proxy.sql.lexer import Kind
from proxy.sql.syntax import Call, Expression, Operation, RowValue, Subquery

_INNER_WORDS: dict[str, frozenset[str]] = {
    "TRIM": frozenset(("BOTH", "LEADING", "TRAILING", "FROM")),
    "SUBSTRING": frozenset(("FROM", "FOR")),
    "SUBSTR": frozenset(("FROM", "FOR")),
    "MID": frozenset(("FROM", "FOR")),
    "POSITION": frozenset(("IN",)),
    "EXTRACT": frozenset(("FROM",)),
    "CHAR": frozenset(("USING",)),
    "WEIGHT_STRING": frozenset(("AS",)),
}
"""Functions whose arguments are separated by words as well as by commas."""
_UNIT_FIRST = frozenset(("EXTRACT", "TIMESTAMPADD", "TIMESTAMPDIFF", "GET_FORMAT"))


class CallParser(ExpressionParser):
    def call(self, start: int, parts: list[str]) -> Expression:
        name = parts[-1].upper()
        self.expect("(")
        result = Call(start, -1, name, [], schema=parts[0] if len(parts) == 2 else None)
        if result.schema is None and name in _INNER_WORDS:
            result.arguments = self._arguments_with_words(name)
        elif result.schema is None and name == "GROUP_CONCAT":
            self._group_concat(result)
        else:
            self._arguments(result)
        self.expect(")")
        if self.at("OVER"):
            self._over(result)
        elif self.at_sequence("FROM", "FIRST") or self.at_sequence("RESPECT", "NULLS"):
            self.refuse("window functions with FROM FIRST or RESPECT NULLS")
        result.end = self.here
        return result

    def _arguments(self, result: Call) -> None:
        if self.at(")"):
            return
        if self.accept("DISTINCT"):
            result.distinct = True
        elif self.at("ALL"):
            self.advance()
        if result.name in _UNIT_FIRST and self.token.upper in (UNITS | {"DATE", "TIME", "DATETIME"}):
            self.advance()
            self.expect(",")
        if self.at("*") and self.peek().upper == ")":
            self.advance()
            result.star = True
            return
        result.arguments = self.expressions()

    def _arguments_with_words(self, name: str) -> list[Expression]:
        words = _INNER_WORDS[name]
        arguments: list[Expression] = []
        if name == "EXTRACT" and self.token.upper in UNITS:
            self.advance()
        while not self.at(")"):
            if self.accept(",", *words):
                if name == "CHAR" and self.token.upper and not self.at(","):
                    self.advance()
                elif name == "WEIGHT_STRING" and self.accept("CHAR", "BINARY"):
                    self.skip_parentheses()
                continue
            # The word IN separates the arguments of POSITION, so what stands before it is no whole expression.
            arguments.append(self._bits() if name == "POSITION" and not arguments else self.expression())
            if not self.at(",", ")", *words):
                self.fail()
        return arguments

    def _group_concat(self, result: Call) -> None:
        result.distinct = self.accept("DISTINCT")
        result.arguments = self.expressions()
        if self.accept_sequence("ORDER", "BY"):
            while True:
                result.arguments.append(self.expression())
                self.accept("ASC", "DESC")
                if not self.accept(","):
                    break
        if self.accept("SEPARATOR"):
            if self.token.kind is not Kind.STRING:
                self.fail()
            self.advance()
        if self.accept("LIMIT"):
            result.arguments += self.expressions()

    def _over(self, result: Call) -> None:
        self.expect("OVER")
        result.window = True
        if not self.at("("):
            self.name()
            return
        self.advance()
        if self.at_name() and not self.at("ROWS", "RANGE", "GROUPS"):
            self.name()
        if self.accept_sequence("PARTITION", "BY"):
            result.arguments += self.expressions()
        if self.accept_sequence("ORDER", "BY"):
            while True:
                result.arguments.append(self.expression())
                self.accept("ASC", "DESC")
                if not self.accept(","):
                    break
        depth = 0
        while depth or not self.at(")"):
            if self.token.kind is Kind.END:
                self.fail()
            depth += self.at("(") - self.at(")")
            self.advance()
        self.expect(")")

    # ------------------------------------------------------------ words

    def _read_case(self) -> Expression:
        start = self.here
        self.expect("CASE")
        operands: list[Expression] = []
        if not self.at("WHEN"):
            operands.append(self.expression())
        self.expect("WHEN")
        while True:
            operands.append(self.expression())
            self.expect("THEN")
            operands.append(self.expression())
            if not self.accept("WHEN"):
                break
        if self.accept("ELSE"):
            operands.append(self.expression())
        self.expect("END")
        return Operation(start, self.here, "CASE", operands)

    def _read_cast(self) -> Expression:
        start = self.here
        self.expect("CAST")
        self.expect("(")
        operand = self.expression()
        self.expect("AS")
        self._cast_type()
        self.expect(")")
        return Operation(start, self.here, "CAST", [operand])

    def _read_convert(self) -> Expression:
        start = self.here
        self.expect("CONVERT")
        self.expect("(")
        operand = self.expression()
        if self.accept("USING"):
            if self.token.kind not in (Kind.WORD, Kind.NAME, Kind.STRING):
                self.fail()
            self.advance()
        else:
            self.expect(",")
            self._cast_type()
        self.expect(")")
        return Operation(start, self.here, "CONVERT", [operand])

    def _cast_type(self) -> None:
        """A type's words and its length: CHAR(10) CHARACTER SET utf8mb4, DECIMAL(10,2), SIGNED INTEGER, …"""
        if self.token.kind is not Kind.WORD:
            self.fail()
        while self.token.kind is Kind.WORD:
            if self.at("ARRAY"):
                self.refuse("CAST(… AS … ARRAY)")
            self.advance()
            if self.at("("):
                self.skip_parentheses()

    def _read_exists(self) -> Expression:
        start = self.here
        self.expect("EXISTS")
        opening = self.here
        self.expect("(")
        query = self.subquery()
        self.expect(")")
        return Operation(start, self.here, "EXISTS", [Subquery(opening, self.here, query)])

    def _read_match(self) -> Expression:
        start = self.here
        self.expect("MATCH")
        parenthesised = self.accept("(")
        operands = self.expressions()
        if parenthesised:
            self.expect(")")
        self.expect("AGAINST")
        self.expect("(")
        operands.append(self._bits())
        while self.token.kind is Kind.WORD:
            self.expect("IN", "BOOLEAN", "MODE", "NATURAL", "LANGUAGE", "WITH", "QUERY", "EXPANSION")
        self.expect(")")
        return Operation(start, self.here, "MATCH", operands)

    def _read_interval(self) -> Expression:
        """INTERVAL expr unit + expr, or the function INTERVAL(n, n1, …)."""
        start = self.here
        if not self._at_interval():
            self.advance()
            return self.call(start, ["INTERVAL"])
        interval = self._interval()
        self.expect("+")
        right = self._bits()
        return Operation(start, self.here, "DATE +", [interval, right])

    def _read_default(self) -> Expression:
        """DEFAULT(column); the bare word is read by those who know where it may stand."""
        start = self.here
        self.expect("DEFAULT")
        if not self.at("("):
            self.fail()
        return self.call(start, ["DEFAULT"])

    def _read_row(self) -> Expression:
        start = self.here
        if self.peek().upper != "(":
            return self.column_or_call()
        self.advance()
        self.expect("(")
        items = self.expressions()
        self.expect(")")
        return RowValue(start, self.here, items)
