"""CREATE, DROP, TRUNCATE and ADOPT, as far as planning must know them; what they define is read off the servers.

A comment in the statement may say where a table's rows go: `/* txguard: shard_key=customer_id */`,
`/* txguard: reference */`, `/* txguard: single, home=shard1 */`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from proxy.errors import NoDatabaseSelected
from proxy.sql.cursor import Cursor
from proxy.sql.cutting import cut, template
from proxy.sql.hint_pairs import hint_pairs
from proxy.sql.lexer import Kind, Tokens
from proxy.sql.plan import DdlKind, DdlPlan, TableName
from proxy.sql.scope import INTERNAL_PREFIX, refuse_internal_schema
from proxy.sql.template import Bindings

_HINT = re.compile(r"/\*\s*txguard:(.*)\*/", re.DOTALL | re.IGNORECASE)
_ELSEWHERE = frozenset(
    """VIEW PROCEDURE FUNCTION TRIGGER EVENT USER ROLE SERVER TABLESPACE SEQUENCE AGGREGATE DEFINER ALGORITHM SQL
    LOGFILE UNDO RESOURCE SPATIAL PACKAGE TEMPORARY PREPARE OR ONLINE OFFLINE""".split()
)


class DdlParser(Cursor):
    def __init__(self, tokens: Tokens, database: str | None) -> None:
        super().__init__(tokens)
        self.database = database

    def plan(self) -> DdlPlan:
        verb = self.advance().upper
        if verb == "TRUNCATE":
            self.accept("TABLE")
            table = self._table()
            self.expect_end()
            return self._plan(DdlKind.TRUNCATE_TABLE, (table,), False)
        if verb == "ADOPT":
            self.expect("TABLE")
            table = self._table()
            self.expect_end()
            return self._plan(DdlKind.ADOPT_TABLE, (table,), False)
        if self.at("TABLE", "TABLES"):
            self.advance()
            return self._create_table() if verb == "CREATE" else self._drop_table()
        if self.accept("DATABASE", "SCHEMA"):
            return self._database(DdlKind.CREATE_DATABASE if verb == "CREATE" else DdlKind.DROP_DATABASE)
        if self.at("INDEX") or (self.at("UNIQUE", "FULLTEXT") and self.peek().upper == "INDEX"):
            return self._index(DdlKind.CREATE_INDEX if verb == "CREATE" else DdlKind.DROP_INDEX)
        if self.token.upper in _ELSEWHERE:
            self.refuse(f"{verb} {self.token.upper}")
        self.fail()

    def _create_table(self) -> DdlPlan:
        conditional = self.accept_sequence("IF", "NOT", "EXISTS")
        table = self._table()
        if self.at("LIKE") or self.at_sequence("(", "LIKE"):
            self.refuse("CREATE TABLE … LIKE")
        for token in self.tokens[self.here :]:
            if token.upper in ("SELECT", "VERSIONING"):
                self.refuse(f"CREATE TABLE … {token.upper}")
            if token.text.lower().startswith(INTERNAL_PREFIX):
                self.refuse(f"the name {token.text}, one of TxGuard's own")
        plan = self._plan(DdlKind.CREATE_TABLE, (table,), conditional)
        return replace(plan, references=tuple(self._referenced()))

    def _referenced(self) -> Iterator[str]:
        """The databases behind REFERENCES; where none is named it is the table's own."""
        for place in range(self.here, len(self.tokens) - 1):
            if self.tokens[place].kind is Kind.WORD and self.tokens[place].upper == "REFERENCES":
                self.here = place + 1
                schema, _ = self.qualified_name()
                if schema is not None:
                    refuse_internal_schema(schema)
                    yield schema

    def _drop_table(self) -> DdlPlan:
        conditional = self.accept_sequence("IF", "EXISTS")
        tables = [self._table()]
        while self.accept(","):
            tables.append(self._table())
        self.accept("RESTRICT", "CASCADE")
        self.expect_end()
        return self._plan(DdlKind.DROP_TABLE, tuple(tables), conditional)

    def _database(self, kind: DdlKind) -> DdlPlan:
        condition = ("IF", "NOT", "EXISTS") if kind is DdlKind.CREATE_DATABASE else ("IF", "EXISTS")
        conditional = self.accept_sequence(*condition)
        name = self.name()
        refuse_internal_schema(name)
        if kind is DdlKind.DROP_DATABASE:
            self.expect_end()
        return self._plan(kind, (), conditional, name)

    def _index(self, kind: DdlKind) -> DdlPlan:
        self.accept("UNIQUE", "FULLTEXT")
        self.expect("INDEX")
        conditional = self.accept_sequence("IF", "NOT", "EXISTS") or self.accept_sequence("IF", "EXISTS")
        self.name()
        if self.accept("USING"):
            self.advance()
        self.expect("ON")
        return self._plan(kind, (self._table(),), conditional)

    def _table(self) -> TableName:
        schema, name = self.qualified_name()
        if schema is None:
            schema = self.database
        if schema is None:
            raise NoDatabaseSelected("No database selected")
        refuse_internal_schema(schema)
        return TableName(schema, name)

    def _plan(
        self, kind: DdlKind, tables: tuple[TableName, ...], conditional: bool, database: str | None = None
    ) -> DdlPlan:
        last = len(self.tokens) - 1
        while last > 0 and self.tokens[last - 1].upper == ";":
            last -= 1
        bindings = Bindings(literals=self.cut.literals)
        text = template(cut(self.cut, 0, last)).render(bindings)
        return DdlPlan(kind, text, tables, database, conditional, _hints(self.cut.comments))


def _hints(comments: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """What the comments say of the table."""
    found = (_HINT.fullmatch(comment) for comment in comments)
    return tuple(pair for match in found if match is not None for pair in hint_pairs(match[1]))
