"""A client of the binary protocol, which PyMySQL has not: COM_STMT_PREPARE and its relatives over its packets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pymysql.connections import Connection
from pymysql.err import raise_mysql_exception

from proxy.wire.binary_rows import parse_binary_row
from proxy.wire.binary_values import BinaryValue
from proxy.wire.columns import ColumnDefinition, parse_column_definition
from proxy.wire.commands import Command
from proxy.wire.responses import OkPacket, is_eof, is_err, parse_ok
from proxy.wire.statements import make_execute


@dataclass(slots=True)
class Statement:
    statement_id: int
    parameters: list[ColumnDefinition]
    columns: list[ColumnDefinition]


class BinaryClient:
    def __init__(self, connection: Connection[Any]) -> None:
        self._connection: Any = connection

    def prepare(self, sql: str) -> Statement:
        self._connection._execute_command(Command.COM_STMT_PREPARE, sql)
        head = self._packet()
        columns, parameters = int.from_bytes(head[5:7], "little"), int.from_bytes(head[7:9], "little")
        statement_id = int.from_bytes(head[1:5], "little")
        return Statement(statement_id, self._definitions(parameters), self._definitions(columns))

    def execute(
        self,
        statement: Statement,
        values: Sequence[BinaryValue | None] = (),
        *,
        types: Sequence[tuple[int, bool]] | None = None,
        bind: bool = True,
    ) -> list[list[BinaryValue | None]] | OkPacket:
        payload = make_execute(statement.statement_id, values, types, bind=bind)
        self._connection._execute_command(Command.COM_STMT_EXECUTE, payload[1:])
        return self._answer()

    def long_data(self, statement: Statement, parameter: int, data: bytes) -> None:
        head = statement.statement_id.to_bytes(4, "little") + parameter.to_bytes(2, "little")
        self._connection._execute_command(Command.COM_STMT_SEND_LONG_DATA, head + data)

    def reset(self, statement: Statement) -> None:
        self._command(Command.COM_STMT_RESET, statement.statement_id.to_bytes(4, "little"))

    def close(self, statement: Statement) -> None:
        payload = statement.statement_id.to_bytes(4, "little")
        self._connection._execute_command(Command.COM_STMT_CLOSE, payload)

    def _command(self, command: Command, payload: bytes) -> bytes:
        self._connection._execute_command(command, payload)
        return self._packet()

    def _answer(self) -> list[list[BinaryValue | None]] | OkPacket:
        first = self._packet()
        if first[0] == 0:
            return parse_ok(first)
        columns = self._definitions(first[0])
        rows = []
        while not is_eof(packet := self._packet()):
            rows.append(parse_binary_row(packet, columns))
        return rows

    def _definitions(self, count: int) -> list[ColumnDefinition]:
        definitions = [parse_column_definition(self._packet()) for _ in range(count)]
        if count:
            assert is_eof(self._packet())
        return definitions

    def _packet(self) -> bytes:
        from pymysql.protocol import MysqlPacket

        class Raw(MysqlPacket):
            def raise_for_error(self) -> None:
                """Done below, with the connection's state kept."""

        data = bytes(self._connection._read_packet(Raw).get_all_data())
        if is_err(data):
            raise_mysql_exception(data)
        return data
