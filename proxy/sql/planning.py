"""What planning one statement carries along, and what the plans of all kinds of statements have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from proxy.errors import NotSupported
from proxy.routing.tables import Table
from proxy.sql.again import find_nowait, may_look_up
from proxy.sql.as_of import CLAUSE, find_as_of
from proxy.sql.cutting import Holes, cut, template
from proxy.sql.functions import CHANGING, CLOCK
from proxy.sql.holes import find_session_values, find_sources, keep_names
from proxy.sql.lexer import Tokens
from proxy.sql.scope import Block, Schemas, ScopeBuilder
from proxy.sql.syntax import Call, Expression, Select, walk
from proxy.sql.template import SessionValue, Template


@dataclass(slots=True)
class Planning:
    """`text_dependent` afterwards: the plan is right for this statement's own literals only (ORDER BY 1).

    `again`: [S-again] it may look up by a unique secondary key, and has a form that does not wait.
    """

    tokens: Tokens
    schemas: Schemas
    database: str | None
    text_dependent: bool = False
    holes: Holes = field(default_factory=Holes)
    session_values: tuple[SessionValue, ...] = ()
    as_of: Template | None = None
    again: bool = False

    def scope(self) -> ScopeBuilder:
        return ScopeBuilder(self.schemas, self.database)

    def find_holes(self, blocks: Sequence[Block], *, consistent_read: bool) -> bool:
        """Session values and replaced tables; whether the form of [R3] can be made."""
        for block in blocks:
            if isinstance(block.node, Select) and any(item.alias_is_string for item in block.node.items):
                self.text_dependent = True
        self.as_of = find_as_of(blocks, self.tokens)
        if self.as_of is not None and not consistent_read:
            raise NotSupported(f"{CLAUSE} in a statement that writes or locks")
        self.session_values = find_session_values(blocks, self.tokens, self.holes)
        patchable = find_sources(
            blocks, self.tokens, self.holes, self.schemas, consistent_read=consistent_read
        )
        self.again = may_look_up(blocks) and find_nowait(blocks, self.tokens, self.holes)
        self.text_dependent |= keep_names(blocks, self.tokens, self.holes)
        return patchable

    def template(self, start: int, end: int) -> Template:
        return template(cut(self.tokens, start, end, self.holes, tail=True))


def tables_of(blocks: Iterable[Block]) -> tuple[Table, ...]:
    """Every table of the catalog in the blocks, once."""
    found = [source.table for block in blocks for source in block.sources if source.table is not None]
    return tuple(dict.fromkeys(found))


def roots_of(blocks: Iterable[Block]) -> list[Expression]:
    return [root for block in blocks for root in block.roots]


def refuse_information_schema(blocks: Iterable[Block]) -> None:
    """In a statement that writes: each shard would write what it knows itself."""
    if any(source.information_schema for block in blocks for source in block.sources):
        raise NotSupported("information_schema in a statement that writes")


def refuse_unequal(expressions: Iterable[Expression]) -> None:
    """A write of reference tables must come to the same on every shard."""
    for root in expressions:
        for node in walk(root):
            if isinstance(node, Call) and node.name in CHANGING | CLOCK:
                raise NotSupported(f"{node.name}() in a write to a reference table (give the value)")
