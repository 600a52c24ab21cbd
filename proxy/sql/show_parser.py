"""SHOW, DESCRIBE and EXPLAIN: which shard can answer, and what of the answer must not be seen.

Source: MySQL 8.0 manual, "SHOW Statements", "DESCRIBE Statement", "EXPLAIN Statement".
"""

from __future__ import annotations

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
    ("EVENTS",),
    ("PROCEDURE", "STATUS"),
    ("FUNCTION", "STATUS"),
)
"""What every shard answers alike (doctor checks that they are set up alike)."""
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
            return ShowVariablesPlan(self.text, scope)
        full = self.at("FULL")
        self.accept("EXTENDED", "FULL")
        self.accept("FULL")
        if self.accept("PROCESSLIST"):
            self.expect_end()
            return ShowProcesslistPlan(full)
        if self.at("DATABASES", "SCHEMAS"):
            return ShowPlan(self.text, FirstShard(), ShowFilter.DATABASES)
        if self.accept("TABLES"):
            self._database_clause()
            return ShowPlan(self.text, AllShards(), ShowFilter.TABLES)
        if self.accept_sequence("TABLE", "STATUS"):
            return self._table_status()
        if self.accept("TRIGGERS"):
            self._database_clause()
            return ShowPlan(self.text, FirstShard(), ShowFilter.TRIGGERS)
        if self.accept("COLUMNS", "FIELDS"):
            return self._of_table(ShowFilter.COLUMNS)
        if self.accept("INDEX", "INDEXES", "KEYS"):
            return self._of_table(ShowFilter.INDEXES)
        if any(self.at_sequence(*words) for words in _OF_THE_SERVER):
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
            refuse_internal_schema(self.name())
            self.expect_end()
            return ShowPlan(self.text, FirstShard(), ShowFilter.NONE)
        if not self.accept("TABLE"):
            self.refuse(f"SHOW CREATE {self.token.text}")
        table = self._table()
        self.expect_end()
        return ShowPlan(self.text, _home(table), ShowFilter.CREATE_TABLE, table)

    def _table_status(self) -> Plan:
        database = self._database_clause()
        if database.lower() == "information_schema":
            return ShowPlan(self.text, FirstShard(), ShowFilter.NONE)
        if self.at("WHERE"):
            self.refuse("SHOW TABLE STATUS … WHERE (LIKE is possible)")
        return ShowPlan(self.text, AllShards(), ShowFilter.TABLE_STATUS, schema=database)

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
        if (schema or self.database or "").lower() == "information_schema":
            return ShowPlan(self.text, FirstShard(), ShowFilter.NONE)
        table = ScopeBuilder(self.schemas, self.database).table(schema, name)
        return ShowPlan(self.text, _home(table), what, table)

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

    def plan_of(self, route: Route) -> ShowPlan:
        return ShowPlan(self.text, route, ShowFilter.EXPLAIN)

    def describe(self) -> Plan:
        """Behind the first words, which `explained` has read."""
        schema, name = self.qualified_name()
        if (schema or self.database or "").lower() == "information_schema":
            return ShowPlan(self.text, FirstShard(), ShowFilter.NONE)
        table = ScopeBuilder(self.schemas, self.database).table(schema, name)
        if self.at_name() or self.token.kind is Kind.STRING:
            self.advance()
        self.expect_end()
        return ShowPlan(self.text, _home(table), ShowFilter.COLUMNS, table)


def _home(table: Table) -> Route:
    return OneShard(table.home) if table.home is not None else FirstShard()
