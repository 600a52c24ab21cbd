"""SQL text with holes: what a plan sends where the client's own text will not do.

The text between the holes is cut from the client's statement, never made anew from a syntax tree, so nothing of
it can get lost. A literal is a hole too, because the plan is shared by statements that differ in their literals.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from proxy.errors import NotSupported
from proxy.routing.tables import Table
from proxy.sql.operands import Literal, Operand, Parameter, Scalar, resolve
from tso.types import ShardName
from txguard.engine.patch import TooNew


class SessionKind(enum.Enum):
    """Whose value the session knows and a shard does not."""

    LAST_INSERT_ID = "LAST_INSERT_ID()"
    ROW_COUNT = "ROW_COUNT()"
    FOUND_ROWS = "FOUND_ROWS()"
    CONNECTION_ID = "CONNECTION_ID()"
    USER = "USER()"
    CURRENT_USER = "CURRENT_USER()"
    DATABASE = "DATABASE()"
    """A shard's connection keeps the last session's database when this one has none."""
    SYSTEM_VARIABLE = "@@"
    USER_VARIABLE = "@"


@dataclass(frozen=True, slots=True)
class SessionValue:
    """A hole that the session fills with an SQL literal.

    SYSTEM_VARIABLE: `name` in lower case without scope, `text` as written: the session answers `text` itself for
    a variable that the shards hold. USER_VARIABLE: `name` in lower case without @; NULL when never set.
    """

    kind: SessionKind
    name: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class TableSource:
    """[R3] A reference to a managed table: `text` as written, or the patched derived table when X is not empty."""

    table: Table
    alias: str
    text: str


@dataclass(frozen=True, slots=True)
class LimitSum:
    """The count of a pushed-down LIMIT: rows skipped plus rows wanted, because any shard may hold all of them."""

    offset: Operand
    count: Operand


@dataclass(frozen=True, slots=True)
class Generated:
    """Where an INSERT's row takes its AUTO_INCREMENT value: `own` is the client's operand, None when it gave none."""

    own: Operand | None


@dataclass(frozen=True, slots=True)
class AwayRows:
    """What other shards than the first know of the single tables that live there, to stand beside what it knows.

    `questions`: the SELECT for each of those shards. `tables`: those tables' names; rows of others are left out.
    """

    questions: tuple[tuple[ShardName, str], ...]
    tables: frozenset[str]


@dataclass(frozen=True, slots=True)
class Nowait:
    """[S-again] `waiting` as the client wrote it; `at_once` in the form that fails rather than waits."""

    waiting: str
    at_once: str


Part = str | Literal | Parameter | SessionValue | TableSource | LimitSum | Generated | AwayRows | Nowait
"""A `Literal` or `Parameter` part is its raw text (the sign, if any, stands in the text before it)."""


@dataclass(frozen=True, slots=True)
class Bindings:
    """What fills the holes in one execution.

    `literals`: the raw texts of `Planned.literals`. `parameters`: bound parameters as SQL literals. `session`:
    gives an SQL literal. `too_new`: X of [R3]. `generated`: the row's AUTO_INCREMENT value, when it needs one.
    `away`: the rows that were asked for, as UNION ALL SELECT …. `at_once`: the form that does not wait.
    """

    literals: Sequence[str] = ()
    parameters: Sequence[str] = ()
    session: Callable[[SessionValue], str] | None = None
    too_new: TooNew = ()
    generated: int | None = None
    away: Mapping[AwayRows, str] = field(default_factory=dict)
    at_once: bool = False


PatchedSource = Callable[[Table, TooNew, str], str]
"""[R3] (table, X, alias) -> derived table with its alias; see `proxy.sql.patch`."""


@dataclass(frozen=True, slots=True)
class Template:
    parts: tuple[Part, ...]

    def render(self, bindings: Bindings, patched: PatchedSource | None = None) -> str:
        """The text of one execution. `patched` is needed where `bindings.too_new` is not empty."""
        return "".join(
            part if isinstance(part, str) else _fill(part, bindings, patched) for part in self.parts
        )

    @property
    def away(self) -> tuple[AwayRows, ...]:
        return tuple(part for part in self.parts if isinstance(part, AwayRows))

    @property
    def session_values(self) -> tuple[SessionValue, ...]:
        return tuple(part for part in self.parts if isinstance(part, SessionValue))


def _fill(part: Part, bindings: Bindings, patched: PatchedSource | None) -> str:
    match part:
        case str():
            return part
        case Literal(index):
            return bindings.literals[index]
        case Parameter(index):
            return bindings.parameters[index]
        case TableSource(table, alias, text):
            if not bindings.too_new:
                return text
            if patched is None:
                raise ValueError("too-new versions, but nothing to patch them with")
            return patched(table, bindings.too_new, alias)
        case SessionValue():
            if bindings.session is None:
                raise ValueError(f"no session to ask for {part.kind.value}{part.name}")
            return bindings.session(part)
        case LimitSum(offset, count):
            return str(min(limit_value(offset, bindings) + limit_value(count, bindings), 2**64 - 1))
        case AwayRows():
            return bindings.away[part]
        case Nowait(waiting, at_once):
            return at_once if bindings.at_once else waiting
        case Generated(own):
            return _generated(own, bindings)


def limit_value(operand: Operand, bindings: Bindings) -> int:
    """A LIMIT's number, whether it is a literal or a parameter given as an SQL literal."""
    if isinstance(operand, Parameter):
        return limit_number(bindings.parameters[operand.index].strip("'"))
    return limit_number(resolve(operand, bindings.literals, ()))


def limit_number(value: Scalar) -> int:
    """The value of a LIMIT: a number or, as some drivers bind all numbers, a string or a double."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0 or number != number.to_integral_value():
        raise NotSupported("a LIMIT that is not a whole number")
    return int(number)


def _generated(own: Operand | None, bindings: Bindings) -> str:
    if bindings.generated is not None:
        return str(bindings.generated)
    match own:
        case Literal(index, negated):
            return ("-" if negated else "") + bindings.literals[index]
        case Parameter(index):
            return bindings.parameters[index]
        case _:
            return "NULL"
