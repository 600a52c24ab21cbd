"""A session's prepared statements: what COM_STMT_PREPARE leaves behind for the executes that follow.

The rule: a statement is planned anew at every execute (from the plan cache), because a DDL may have come between; only
the text, the number of parameters and the types that the client bound last are kept here.
Source: MySQL manual, "Prepared Statements" of the client/server protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.errors import PacketTooLarge
from proxy.executor.execution import BoundStatement
from proxy.session.errors import TooManyStatements, UnknownStatement, WrongParameters
from proxy.wire.statements import bound_types, parse_execute, statement_id_of

MAX_STATEMENTS = 16_382
"""MySQL's max_prepared_stmt_count; here for each session."""

LAST_STATEMENT = 0xFFFF_FFFF
"""MariaDB's: the statement that was prepared last, so that a client can send its execute before it knows the id."""

CURSOR_FLAGS = 5
"""Where a COM_STMT_EXECUTE has them. A cursor that is asked for is not opened: all rows come at once, as the server
may choose to do."""


@dataclass(slots=True)
class Prepared:
    statement_id: int
    sql: bytes
    parameters: int
    types: bytes | None = None
    """Two bytes for each parameter, as bound last."""
    long_data: dict[int, bytearray] = field(default_factory=dict)
    too_much_data: bool = False
    """More was sent than a session may hold; the execute says so."""


class PreparedStatements:
    def __init__(self, max_bytes: int) -> None:
        """`max_bytes` bounds the texts of all statements together, and their long data together."""
        self._statements: dict[int, Prepared] = {}
        self._next_id = 1
        self._last: Prepared | None = None
        self._max_bytes = max_bytes
        self._sql_bytes = self._data_bytes = 0

    def __len__(self) -> int:
        return len(self._statements)

    def add(self, sql: bytes, parameters: int) -> Prepared:
        if len(self._statements) >= MAX_STATEMENTS:
            raise TooManyStatements(MAX_STATEMENTS)
        if self._sql_bytes + len(sql) > self._max_bytes:
            raise TooManyStatements(len(self._statements))
        self._sql_bytes += len(sql)
        prepared = Prepared(self._next_id, sql, parameters)
        self._next_id = self._next_id % (LAST_STATEMENT - 1) + 1
        self._statements[prepared.statement_id] = self._last = prepared
        return prepared

    def forget_last(self) -> None:
        """Another one is being prepared; if it cannot be, there is none."""
        self._last = None

    def get(self, statement_id: int, command: str) -> Prepared:
        """Raises UnknownStatement, which names the command as MySQL does."""
        prepared = self._find(statement_id)
        if prepared is None:
            raise UnknownStatement(statement_id, command)
        return prepared

    def _find(self, statement_id: int) -> Prepared | None:
        return self._last if statement_id == LAST_STATEMENT else self._statements.get(statement_id)

    def close(self, statement_id: int) -> None:
        """An unknown id is passed over: COM_STMT_CLOSE has no answer."""
        closed = self._find(statement_id)
        if closed is not None:
            del self._statements[closed.statement_id]
            if closed is self._last:
                self._last = None
            self._sql_bytes -= len(closed.sql)
            self._forget_long_data(closed)

    def reset(self, statement_id: int) -> None:
        self._forget_long_data(self.get(statement_id, "mysqld_stmt_reset"))

    def clear(self) -> None:
        self._statements.clear()
        self._last = None
        self._sql_bytes = self._data_bytes = 0

    def add_long_data(self, statement_id: int, parameter: int, data: bytes) -> None:
        """Has no answer, so what is wrong with it is said by the execute."""
        prepared = self._find(statement_id)
        if prepared is None or parameter >= prepared.parameters:
            return
        if self._data_bytes + len(data) > self._max_bytes:
            prepared.too_much_data = True
        else:
            self._data_bytes += len(data)
            prepared.long_data.setdefault(parameter, bytearray()).extend(data)

    def _take_long_data(self, prepared: Prepared) -> dict[int, bytes]:
        """Use it up. Raises PacketTooLarge when not all of it was kept."""
        taken = {index: bytes(data) for index, data in prepared.long_data.items()}
        too_much = prepared.too_much_data
        self._forget_long_data(prepared)
        if too_much:
            raise PacketTooLarge("the long data of a session's statements is larger than max_packet_bytes")
        return taken

    def _forget_long_data(self, prepared: Prepared) -> None:
        self._data_bytes -= sum(map(len, prepared.long_data.values()))
        prepared.long_data.clear()
        prepared.too_much_data = False

    def bind(self, payload: bytes) -> tuple[Prepared, BoundStatement]:
        """A COM_STMT_EXECUTE, read. Long data is used up by it."""
        prepared = self.get(statement_id_of(payload), "mysqld_stmt_execute")
        holds_data = prepared.long_data or prepared.too_much_data
        long_data = self._take_long_data(prepared) if holds_data else {}
        if prepared.types is None and bound_types(payload, prepared.parameters) is None:
            raise WrongParameters
        request = parse_execute(payload, prepared.parameters, prepared.types, long_data)
        if request.cursor_flags:
            payload = payload[:CURSOR_FLAGS] + b"\0" + payload[CURSOR_FLAGS + 1 :]
        prepared.types = request.param_types
        return prepared, BoundStatement(prepared.sql, payload, request, tuple(long_data.items()))
