"""What the names in GROUP BY, HAVING and ORDER BY of a scattered SELECT mean: select items, positions, columns.

ORDER BY looks among the select list's aliases first, GROUP BY and HAVING among the tables' columns.
Source: MySQL 8.0 manual, "SELECT Statement" (on column and alias references).
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.errors import NotSupported
from proxy.sql.lexer import Tokens
from proxy.sql.scope import Block
from proxy.sql.syntax import ColumnName, Expression, Select, Star, Value, walk


@dataclass(slots=True)
class ItemNames:
    tokens: Tokens
    select: Select
    block: Block
    text_dependent: bool = False
    """A position was used: the plan is right for this statement's own literals only (ORDER BY 1)."""

    def visible(self, index: int) -> int | None:
        """The row index of an item, unless a star before it stands for a number of columns."""
        before = self.select.items[: index + 1]
        return None if any(isinstance(item.expression, Star) for item in before) else index

    def target(
        self, expression: Expression, *, columns_first: bool = False, allow_other: bool = True
    ) -> tuple[Expression, int | None] | None:
        """The expression an ORDER BY (or GROUP BY: `columns_first`) item means, and its visible index.

        None: a constant, which orders nothing.
        """
        if isinstance(expression, Value):
            return self._ordinal(expression)
        named = self.item_named(expression)
        own_column = isinstance(expression, ColumnName) and self.block.resolve(expression) is not None
        if named is not None and not (columns_first and own_column):
            return self.select.items[named].expression, self.visible(named)
        for index, item in enumerate(self.select.items):
            if self.same(item.expression, expression):
                return item.expression, self.visible(index)
        if not allow_other and not self._covered_by_star(expression):
            raise NotSupported("SELECT DISTINCT … ORDER BY what is not selected, over several shards")
        if not isinstance(expression, ColumnName):
            self._refuse_aliases_inside(expression)
        return expression, None

    def _ordinal(self, value: Value) -> tuple[Expression, int | None] | None:
        self.text_dependent = True
        text = self.tokens.sql[self.tokens.tokens[value.start].start : self.tokens.tokens[value.end - 1].end]
        if not value.number or not text.isdigit():
            return None
        index = int(text) - 1
        if not 0 <= index < len(self.select.items) or self.visible(index) is None:
            raise NotSupported(f"position {text} in ORDER BY or GROUP BY beside *, over several shards")
        return self.select.items[index].expression, index

    def item_named(self, expression: Expression) -> int | None:
        if not isinstance(expression, ColumnName) or len(expression.parts) != 1:
            return None
        name = expression.name.lower()
        found = [
            index
            for index, item in enumerate(self.select.items)
            if item.alias is not None and item.alias.lower() == name
        ]
        if len(found) > 1:
            raise NotSupported(f"the alias {expression.name}, which is given twice, over several shards")
        return found[0] if found else None

    def same(self, one: Expression, other: Expression) -> bool:
        """The same column, or the same text."""
        if isinstance(one, ColumnName) and isinstance(other, ColumnName):
            found = self.block.resolve(one)
            if found is None:
                return [part.lower() for part in one.parts] == [part.lower() for part in other.parts]
            return found == self.block.resolve(other)
        texts = [self.tokens.tokens[node.start : node.end] for node in (one, other)]
        if any(token.ordinal >= 0 for text in texts for token in text):
            return False
        return [t.upper or t.text for t in texts[0]] == [t.upper or t.text for t in texts[1]]

    def _covered_by_star(self, expression: Expression) -> bool:
        return isinstance(expression, ColumnName) and any(
            isinstance(item.expression, Star) and not item.expression.qualifier for item in self.select.items
        )

    def _refuse_aliases_inside(self, expression: Expression) -> None:
        for node in walk(expression):
            named = self.item_named(node)
            if named is not None and not self.same(self.select.items[named].expression, node):
                raise NotSupported(
                    f"an expression over the alias {self.select.items[named].alias}, over several shards"
                )
