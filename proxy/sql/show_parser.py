"""SHOW, DESCRIBE and EXPLAIN: which shard can answer, and what of the answer must not be seen.

Source: MySQL 8.0 manual, "SHOW Statements", "DESCRIBE Statement", "EXPLAIN Statement".
"""

from __future__ import annotations

from itertools import pairwise

from proxy.errors import NoDatabaseSelected
from proxy.routing.tables import Table
from proxy.sql.changes import ChangeParser
from proxy.sql.lexer import Kind, Tokens
from proxy.sql.plan import (
    AdminShowPlan,
    AdminTopic,
    AllShards,
    FirstShard,
    OneShard,
    Plan,
    Route,
    ShowFilter,
    ShowPlan,
    ShowProcesslistPlan,
    ShowVariablesPlan,
    ShowWarningsPlan,
    VariableScope,
)
from proxy.sql.scope import Schemas, ScopeBuilder, refuse_internal_schema
from proxy.sql.syntax import Delete, Insert, Query, Update

_SCOPES = {"SESSION": VariableScope.SESSION, "LOCAL": VariableScope.SESSION, "GLOBAL": VariableScope.GLOBAL}
_OF_THE_SERVER = (
    ("COLLATION",),
    ("CHARACTER", "SET"),
    ("CHARSET",),
    ("ENGINES",),
    ("STORAGE", "ENGINES"),
    ("PLUGINS",),
    ("PRIVILEGES",),
    ("STATUS",),
    ("PROCEDURE", "STATUS"),
    ("FUNCTION", "STATUS"),
)
"""What every shard answers alike (doctor checks that they are set up alike)."""
_IN_CONDITIONS = frozenset(
    """AND OR XOR NOT IN LIKE RLIKE REGEXP BETWEEN IS LOWER UPPER LCASE UCASE CONCAT LEFT RIGHT SUBSTRING SUBSTR TRIM
    LENGTH CHAR_LENGTH IF IFNULL COALESCE DATABASE SCHEMA""".split()
)
"""What may stand before a parenthesis in SHOW … WHERE."""
_EXPLAINED = ("SELECT", "WITH", "INSERT", "REPLACE", "UPDATE", "DELETE", "(")


class ShowParser(ChangeParser):
    def __init__(self, cut: Tokens, schemas: Schemas, database: str | None) -> None:
        super().__init__(cut)
        self.schemas = schemas
        self.database = database

    @property
    def text(self) -> str:
        return self.cut.sql.rstrip().rstrip(";")

    # ------------------------------------------------------------ SHOW

    def show(self) -> Plan:
        self.expect("SHOW")
        if self.accept("TXGUARD"):
            return self._admin()
        if self.at("WARNINGS", "ERRORS", "COUNT"):
            return self._warnings()
        if self.accept("CREATE"):
            return self._create()
        scope = _SCOPES[self.advance().upper] if self.at(*_SCOPES) else VariableScope.DEFAULT
        if self.at("VARIABLES"):
            self.advance()
            self._filter()
            return ShowVariablesPlan(self.text, scope)
        full = self.at("FULL")
        self.accept("EXTENDED", "FULL")
        self.accept("FULL")
        if self.accept("PROCESSLIST"):
            self.expect_end()
            return ShowProcesslistPlan(full)
        if self.accept("DATABASES", "SCHEMAS"):
            self._filter()
            return ShowPlan(self.text, FirstShard(), ShowFilter.DATABASES)
        if self.accept("TABLES"):
            return self._of_database(AllShards(), ShowFilter.TABLES)
        if self.accept_sequence("TABLE", "STATUS"):
            return self._table_status()
        if self.accept("TRIGGERS"):
            return self._of_database(FirstShard(), ShowFilter.TRIGGERS)
        if self.accept("COLUMNS", "FIELDS"):
            return self._of_table(ShowFilter.COLUMNS)
        if self.accept("INDEX", "INDEXES", "KEYS"):
            return self._of_table(ShowFilter.INDEXES)
        if self.accept("EVENTS"):
            return self._of_database(FirstShard(), ShowFilter.NONE)
        if any(self.accept_sequence(*words) for words in _OF_THE_SERVER):
            self._filter()
            return ShowPlan(self.text, FirstShard(), ShowFilter.NONE)
        self.refuse(f"SHOW {self.token.text} {self.peek().text}".rstrip())

    def _admin(self) -> Plan:
        topic = AdminTopic(self.expect(*(topic.value for topic in AdminTopic)).upper)
        start_ts = None
        if topic is AdminTopic.TRANSACTION:
            token = self.advance()
            if token.kind is not Kind.NUMBER or not token.text.isdigit() or int(token.text) >= 2**64:
                self.refuse("SHOW TXGUARD TRANSACTION of anything but a start_ts")
            start_ts = int(token.text)
        self.expect_end()
        return AdminShowPlan(topic, start_ts)

    def _warnings(self) -> Plan:
        count = self.accept("COUNT")
        if count:
            self.expect("(")
            self.expect("*")
            self.expect(")")
        errors_only = self.expect("WARNINGS", "ERRORS").upper == "ERRORS"
        self.limit()
        self.expect_end()
        return ShowWarningsPlan(errors_only, count, self.text)

    def _create(self) -> Plan:
        if self.accept("DATABASE", "SCHEMA"):
            self.accept_sequence("IF", "NOT", "EXISTS")
            schema = self.name()
            refuse_internal_schema(schema)
            self.expect_end()
            return ShowPlan(self.text, FirstShard(), ShowFilter.NONE, schema=schema)
        if not self.accept("TABLE"):
            self.refuse(f"SHOW CREATE {self.token.text}")
        table = self._table()
        self.expect_end()
        return ShowPlan(self.text, _home(table), ShowFilter.CREATE_TABLE, (table,))

    def _table_status(self) -> Plan:
        database = self._database_clause()
        if self.at("WHERE") and database.lower() != "information_schema":
            self.refuse("SHOW TABLE STATUS … WHERE (LIKE is possible)")
        self._filter()
        if database.lower() == "information_schema":
            return ShowPlan(self.text, FirstShard(), ShowFilter.NONE)
        return ShowPlan(self.text, AllShards(), ShowFilter.TABLE_STATUS, schema=database)

    def _of_database(self, route: Route, what: ShowFilter) -> Plan:
        database = self._database_clause()
        self._filter()
        return ShowPlan(self.text, route, what, schema=database)

    def _filter(self) -> None:
        """[LIKE pattern | WHERE condition], over what is shown and nothing else; the text is passed on as it is."""
        if self.accept("LIKE"):
            if self.token.kind is not Kind.STRING:
                self.fail()
            self.advance()
        elif self.accept("WHERE"):
            start = self.here
            self.expression()
            for token, behind in pairwise(self.tokens[start : self.here + 1]):
                called = behind.text == "(" and token.kind in (Kind.WORD, Kind.NAME)
                if called and not (token.kind is Kind.WORD and token.upper in _IN_CONDITIONS):
                    self.refuse(f"{token.text}() in SHOW … WHERE")
                if token.kind is Kind.WORD and token.upper in ("SELECT", "WITH", "TABLE", "VALUES"):
                    self.refuse("a subquery in SHOW … WHERE")
        self.expect_end()

    def _database_clause(self) -> str:
        """The database that is meant."""
        if self.accept("FROM", "IN"):
            database = self.name()
            if database.lower() != "information_schema":
                refuse_internal_schema(database)
            return database
        if self.database is None:
            raise NoDatabaseSelected("No database selected")
        return self.database

    def _of_table(self, what: ShowFilter) -> Plan:
        self.expect("FROM", "IN")
        schema, name = self.qualified_name()
        if self.accept("FROM", "IN"):
            schema = self.name()
        self._filter()
        if (schema or self.database or "").lower() == "information_schema":
            return ShowPlan(self.text, FirstShard(), ShowFilter.NONE)
        table = ScopeBuilder(self.schemas, self.database).table(schema, name)
        return ShowPlan(self.text, _home(table), what, (table,))

    def _table(self) -> Table:
        return ScopeBuilder(self.schemas, self.database).table(*self.qualified_name())

    # ------------------------------------------------------------ DESCRIBE, EXPLAIN

    def explained(self) -> Query | Update | Delete | Insert | None:
        """The statement that is to be explained; None: it is a table that is described."""
        self.expect("DESCRIBE", "DESC", "EXPLAIN")
        if self.at("ANALYZE", "FOR", "INTO"):
            self.refuse(f"EXPLAIN {self.token.upper}")
        self.accept("EXTENDED", "PARTITIONS")
        if self.at("FORMAT") and self.peek().upper == "=":
            self.advance()
            self.advance()
            self.advance()
        return self.statement_query() if self.at(*_EXPLAINED) else None

    def plan_of(self, route: Route, tables: tuple[Table, ...]) -> ShowPlan:
        return ShowPlan(self.text, route, ShowFilter.EXPLAIN, tables)

    def describe(self) -> Plan:
        """Behind the first words, which `explained` has read."""
        schema, name = self.qualified_name()
        if self.at_name() or self.token.kind is Kind.STRING:
            self.advance()
        self.expect_end()
        if (schema or self.database or "").lower() == "information_schema":
            return ShowPlan(self.text, FirstShard(), ShowFilter.NONE)
        table = ScopeBuilder(self.schemas, self.database).table(schema, name)
        return ShowPlan(self.text, _home(table), ShowFilter.COLUMNS, (table,))


def _home(table: Table) -> Route:
    return OneShard(table.home) if table.home is not None else FirstShard()
