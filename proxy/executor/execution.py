"""One run of a planned statement: its text, its values, and how it becomes what a shard is sent.

Owns `Execution`. Text is UTF-8 with surrogate escapes, whatever the client's character set: every byte that
the client sent reaches the shard unchanged. Only values that routing looks at are decoded in the client's own set.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from proxy.backend.statements import PreparedStatement, Statement, TextStatement
from proxy.errors import NotSupported
from proxy.executor.parameters import key_values, parameter_literals
from proxy.routing.values import KeyValue
from proxy.sql.operands import Literal, Operand, Parameter, Scalar, resolve
from proxy.sql.patch import patched_table
from proxy.sql.plan import Planned, QueryPlan
from proxy.sql.template import AwayRows, Bindings, PatchedSource, SessionValue, Template
from proxy.wire.statements import ExecuteRequest, make_execute
from txguard.engine.patch import TooNew

_NOTHING: Mapping[AwayRows, str] = {}


class BoundStatement(NamedTuple):
    """A COM_STMT_EXECUTE: the statement as it was prepared, and what was bound."""

    sql: bytes
    payload: bytes
    request: ExecuteRequest
    long_data: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """How the session's settings have values read: `codec` is Python's name of character_set_client."""

    codec: str = "utf-8"
    strict: bool = True
    """sql_mode STRICT_TRANS_TABLES or STRICT_ALL_TABLES: what does not fit a column is refused, not changed."""
    no_auto_value_on_zero: bool = False


class Execution:
    """`session` fills the holes that only the session can."""

    __slots__ = ("_key_values", "_parameters", "away", "bound", "planned", "reading", "session")

    def __init__(
        self,
        planned: Planned,
        session: Callable[[SessionValue], str],
        reading: Reading,
        bound: BoundStatement | None = None,
    ) -> None:
        self.planned = planned
        self.session = session
        self.reading = reading
        self.bound = bound
        self.away: Mapping[AwayRows, str] = _NOTHING
        """What other shards answered for `QueryPlan.away`."""
        self._parameters: Sequence[str] | None = None
        self._key_values: Sequence[KeyValue] | None = None

    @property
    def binary(self) -> bool:
        """Whether the client wants binary rows."""
        return self.bound is not None

    @property
    def asks_binary(self) -> bool:
        """Whether the shards answer in binary also where they run another text: as text, a FLOAT has six digits."""
        plan = self.planned.plan
        return (
            self.bound is not None
            and isinstance(plan, QueryPlan)
            and plan.returns_rows
            and any(column.type_name == "float" for table in plan.tables for column in table.columns)
        )

    @property
    def parameters(self) -> Sequence[str]:
        """The bound parameters as SQL literals."""
        if self._parameters is None:
            request = self.bound.request if self.bound is not None else None
            self._parameters = (
                [] if request is None else parameter_literals(request.values, request.param_types)
            )
        return self._parameters

    @property
    def key_parameters(self) -> Sequence[KeyValue]:
        """The bound parameters as routing takes them."""
        if self._key_values is None:
            request = self.bound.request if self.bound is not None else None
            self._key_values = (
                [] if request is None else key_values(request.values, request.param_types, self.reading.codec)
            )
        return self._key_values

    # ------------------------------------------------------------ values

    def key(self, operand: Operand) -> KeyValue:
        """An operand's value as routing compares it."""
        if isinstance(operand, Parameter):
            return self.key_parameters[operand.index]
        value = resolve(operand, self.planned.literals)
        if isinstance(value, str) and self.reading.codec != "utf-8":
            return value.encode("utf-8", "surrogateescape").decode(self.reading.codec, "surrogateescape")
        return value

    def scalar(self, operand: Operand) -> Scalar:
        """An operand's value as the merge needs it: LIMIT counts, HAVING numbers."""
        if isinstance(operand, Parameter):
            value = self.key_parameters[operand.index]
            if isinstance(value, datetime.date | datetime.timedelta):
                raise NotSupported("a date where a number is expected")
            return value
        return resolve(operand, self.planned.literals)

    def literal(self, operand: Operand) -> str:
        if isinstance(operand, Parameter):
            return self.parameters[operand.index]
        if isinstance(operand, Literal):
            return ("-" if operand.negated else "") + self.planned.literals[operand.index]
        return "NULL" if operand.value is None else str(operand.value)

    # ------------------------------------------------------------ what a shard is sent

    def original(self, *, stream: bool = True, limit_bytes: int | None = None) -> Statement:
        """The statement as the client wrote it."""
        bound = self.bound
        if bound is None:
            return TextStatement(self.planned.sql.encode("utf-8", "surrogateescape"), stream, limit_bytes)
        request = bound.request
        return PreparedStatement(
            bound.sql,
            bound.payload,
            len(request.values),
            request.param_types,
            bound.long_data,
            stream,
            limit_bytes,
        )

    def rendered(
        self,
        template: Template,
        *,
        too_new: TooNew = (),
        patched: PatchedSource = patched_table,
        at_once: bool = False,
        stream: bool = True,
        limit_bytes: int | None = None,
    ) -> Statement:
        """A template with its holes filled."""
        text = self.text(template, too_new=too_new, patched=patched, at_once=at_once)
        sql = text.encode("utf-8", "surrogateescape")
        if self.asks_binary:
            return PreparedStatement(sql, make_execute(0, ()), 0, b"", (), stream, limit_bytes)
        return TextStatement(sql, stream, limit_bytes)

    def text(
        self,
        template: Template,
        *,
        too_new: TooNew = (),
        patched: PatchedSource = patched_table,
        generated: int | None = None,
        at_once: bool = False,
    ) -> str:
        bindings = Bindings(
            literals=self.planned.literals,
            parameters=self.parameters,
            session=self.session,
            too_new=too_new,
            generated=generated,
            away=self.away,
            at_once=at_once,
        )
        return template.render(bindings, patched)
