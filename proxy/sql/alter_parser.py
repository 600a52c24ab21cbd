"""ALTER TABLE, as far as it is another way to write CREATE INDEX and DROP INDEX: migration tools write it.

One change at a time, because what a crash cut off is finished or undone for one index. DISABLE KEYS and ENABLE KEYS,
which dumps have, do nothing on InnoDB's tables.
"""

from __future__ import annotations

from proxy.sql.cutting import cut, template
from proxy.sql.ddl_parser import DdlParser
from proxy.sql.lexer import Kind
from proxy.sql.operands import quote_name
from proxy.sql.plan import DdlKind, DdlPlan, EmptyPlan, TableName
from proxy.sql.template import Bindings


class AlterParser(DdlParser):
    def alter(self) -> DdlPlan | EmptyPlan:
        self.expect("ALTER")
        self.accept("IGNORE")
        if not self.accept("TABLE"):
            self.refuse(f"the statement ALTER {self.token.text}")
        table = self._table()
        verb = self.advance().upper
        if verb == "ADD":
            return self._add_index(table)
        if verb == "DROP" and self.accept("INDEX", "KEY"):
            return self._drop_index(table)
        if verb in ("DISABLE", "ENABLE") and self.accept("KEYS"):
            self.expect_end()
            return EmptyPlan()
        self.refuse(f"ALTER TABLE … {verb} {self.token.upper}".rstrip())

    def _add_index(self, table: TableName) -> DdlPlan:
        named = self.name() if self.accept("CONSTRAINT") and not self.at("UNIQUE") else None
        kind = f"{self.advance().upper} " if self.at("UNIQUE", "FULLTEXT") else ""
        if not self.accept("INDEX", "KEY") and not kind:
            self.refuse(f"ALTER TABLE … ADD {self.token.upper}".rstrip())
        conditional = self.accept_sequence("IF", "NOT", "EXISTS")
        if not self.at("(", "USING"):
            named = self.name()
        if named is None:
            self.refuse("ALTER TABLE … ADD INDEX without a name")
        using = f" USING {self.advance().text}" if self.accept("USING") else ""
        start = self.here
        self._refuse_more()
        what = template(cut(self.cut, start, self.here)).render(Bindings(literals=self.cut.literals))
        condition = "IF NOT EXISTS " if conditional else ""
        text = f"CREATE {kind}INDEX {condition}{quote_name(named)}{using} ON {_quoted(table)} {what}"
        return DdlPlan(DdlKind.CREATE_INDEX, text, (table,), None, conditional)

    def _drop_index(self, table: TableName) -> DdlPlan:
        conditional = self.accept_sequence("IF", "EXISTS")
        name = self.name()
        self._refuse_more()
        text = f"DROP INDEX {quote_name(name)} ON {_quoted(table)}"
        return DdlPlan(DdlKind.DROP_INDEX, text, (table,), None, conditional)

    def _refuse_more(self) -> None:
        """Go to the end of the statement."""
        depth = 0
        while self.token.kind is not Kind.END and self.token.upper != ";":
            depth += (self.token.upper == "(") - (self.token.upper == ")")
            if depth == 0 and self.at(","):
                self.refuse("several changes in one ALTER TABLE (make each by a statement of its own)")
            self.advance()


def _quoted(table: TableName) -> str:
    return f"{quote_name(table.schema)}.{quote_name(table.name)}"
