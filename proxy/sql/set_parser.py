"""SET in all its forms. Source: MySQL 8.0 manual, "SET Statements", "SET TRANSACTION Statement"."""

from __future__ import annotations

from proxy.sql.calls import CallParser
from proxy.sql.cutting import Holes, cut, template
from proxy.sql.holes import session_value
from proxy.sql.lexer import Kind
from proxy.sql.operands import Constant, Literal, Scalar, decode_literal, resolve
from proxy.sql.plan import (
    SetItem,
    SetNames,
    SetPlan,
    SetStatementPlan,
    SetTransaction,
    SetUserVariable,
    SetVariable,
    VariableScope,
)
from proxy.sql.scope import check_expression
from proxy.sql.syntax import ColumnName, Expression, Query, Value, walk
from proxy.sql.template import Template

_SCOPES = {
    "SESSION": VariableScope.SESSION,
    "LOCAL": VariableScope.SESSION,
    "GLOBAL": VariableScope.GLOBAL,
    "PERSIST": VariableScope.GLOBAL,
    "PERSIST_ONLY": VariableScope.GLOBAL,
}
_REFUSED = ("PASSWORD", "ROLE", "DEFAULT", "RESOURCE")


class SetParser(CallParser):
    def subquery(self) -> Query:
        self.refuse("a subquery in SET")

    def plan(self) -> SetPlan | SetStatementPlan:
        self.expect("SET")
        if self.at("STATEMENT") and self.peek().upper not in ("=", ":="):
            return self._statement()
        if self.at(*_REFUSED) and (self.at("PASSWORD") or self.peek().upper not in ("=", ":=")):
            self.refuse(f"SET {self.token.upper}")
        items: list[SetItem] = [self._first()]
        while self.accept(","):
            items.append(self._item())
        self.expect_end()
        return SetPlan(tuple(items))

    def _statement(self) -> SetStatementPlan:
        self.expect("STATEMENT")
        items: list[SetItem] = []
        while not items or self.accept(","):
            scope, name = self._variable()
            self._assign()
            items.append(SetVariable(scope, name, *self._value(user=False)))
        statement = self.expect("FOR").end
        return SetStatementPlan(SetPlan(tuple(items)), self.cut.sql[statement:].strip())

    def _first(self) -> SetItem:
        ahead = 1 if self.token.upper in _SCOPES else 0
        if self.peek(ahead).upper == "TRANSACTION" and self.peek(ahead + 1).upper in ("ISOLATION", "READ"):
            scope = _SCOPES[self.advance().upper] if ahead else VariableScope.DEFAULT
            return self._transaction(scope)
        return self._item()

    def _transaction(self, scope: VariableScope) -> SetTransaction:
        self.expect("TRANSACTION")
        isolation, read_only = None, None
        while True:
            if self.accept("ISOLATION"):
                self.expect("LEVEL")
                first = self.expect("READ", "REPEATABLE", "SERIALIZABLE").upper
                second = (
                    "" if first == "SERIALIZABLE" else self.expect("COMMITTED", "UNCOMMITTED", "READ").upper
                )
                isolation = f"{first}-{second}" if second else first
            else:
                self.expect("READ")
                read_only = self.expect("ONLY", "WRITE").upper == "ONLY"
            if not self.accept(","):
                return SetTransaction(scope, isolation, read_only)

    def _item(self) -> SetItem:
        if self.at("NAMES") and self.peek().upper not in ("=", ":="):
            self.advance()
            return self._names(client_only=False)
        if (self.at("CHARACTER") and self.peek().upper == "SET") or (
            self.at("CHARSET") and self.peek().upper not in ("=", ":=")
        ):
            if self.advance().upper == "CHARACTER":
                self.expect("SET")
            return self._names(client_only=True)
        if self.token.kind is Kind.USER_VARIABLE:
            name = self.advance().text
            if name.startswith("txg_"):
                self.refuse(f"the user variable @{name}, a name of TxGuard's own")
            self._assign()
            constant, value, expression, _ = self._value(user=True)
            return SetUserVariable(name, constant, value, expression)
        scope, name = self._variable()
        self._assign()
        constant, value, expression, default = self._value(user=False)
        return SetVariable(scope, name, constant, value, expression, default)

    def _assign(self) -> None:
        self.expect("=", ":=")

    def _names(self, *, client_only: bool) -> SetNames:
        if self.accept("DEFAULT"):
            return SetNames(None, None, client_only)
        character_set = self._charset_name()
        collation = self._charset_name() if self.accept("COLLATE") else None
        return SetNames(character_set, collation, client_only)

    def _charset_name(self) -> str:
        token = self.advance()
        if token.kind is Kind.STRING:
            return str(decode_literal(token.text)).lower()
        if token.kind not in (Kind.WORD, Kind.NAME):
            self.here -= 1
            self.fail()
        return token.text.lower()

    def _variable(self) -> tuple[VariableScope, str]:
        scope = VariableScope.DEFAULT
        token = self.token
        if token.kind is Kind.SYSTEM_VARIABLE:
            self.advance()
            prefix, _, name = token.text.rpartition(".")
            if prefix:
                scope = self._scope(prefix.strip())
            return (scope if prefix else VariableScope.SESSION), name.strip().strip("`").lower()
        if token.upper in _SCOPES and self.peek().kind in (Kind.WORD, Kind.NAME):
            scope = _SCOPES[self.advance().upper]
        name = self.name()
        if self.at("."):
            self.refuse(f"the variable {name}.…")
        return scope, name.lower()

    def _scope(self, prefix: str) -> VariableScope:
        scope = _SCOPES.get(prefix.upper())
        if scope is None:
            self.refuse(f"the variable @@{prefix}.…")
        return scope

    # ------------------------------------------------------------ values

    def _value(self, *, user: bool) -> tuple[bool, Scalar, Template, bool]:
        """(constant, value, expression, default)"""
        start = self.here
        if not user and self.at("DEFAULT") and self.peek().upper != "(":
            self.advance()
            return True, None, template("DEFAULT"), True
        if not user and self.at("ON", "BINARY", "ALL", "ROW", "SYSTEM") and self._ends_after_word():
            word = self.advance().text
            return True, word, template(word), False
        expression = self.expression()
        text = self._template(expression, start)
        if isinstance(expression, Value) and isinstance(expression.operand, (Literal, Constant)):
            if expression.plain:
                return True, resolve(expression.operand, self.cut.literals), text, False
        if not user and isinstance(expression, ColumnName):
            return True, ".".join(expression.parts), text, False
        return False, None, text, False

    def _ends_after_word(self) -> bool:
        return self.peek().upper in (",", ";") or self.peek().kind is Kind.END

    def _template(self, expression: Expression, start: int) -> Template:
        holes = Holes()
        for node in walk(expression):
            check_expression(node)
            value = session_value(node, self.cut)
            if value is not None:
                holes.replace(node.start, node.end, value)
        return template(cut(self.cut, start, self.here, holes))
