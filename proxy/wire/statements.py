"""Prepared statements: the answer to COM_STMT_PREPARE, and COM_STMT_EXECUTE both ways.

A client sends the types of its parameters with the first execute (`new_params_bound`) and may leave them out
later, so who parses must remember them: `ExecuteRequest.param_types` is what to pass in the next time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from proxy.errors import MalformedPacket
from proxy.wire.binary_rows import is_null, make_null_bitmap
from proxy.wire.binary_values import BinaryValue, make_value, read_value
from proxy.wire.capabilities import Status
from proxy.wire.columns import ColumnDefinition, make_column_definition
from proxy.wire.commands import Command
from proxy.wire.field_types import FieldType
from proxy.wire.lenenc import PayloadReader
from proxy.wire.packets import frame_all
from proxy.wire.responses import EofPacket, make_eof
from proxy.wire.temporal import MysqlDateTime, MysqlTime

EXECUTE_FIXED_BYTES = 10
"""Command, statement id, flags, iteration count: the NULL bitmap comes next."""
UNSIGNED_PARAM = 0x80


class ExecuteRequest(NamedTuple):
    statement_id: int
    cursor_flags: int
    param_types: bytes
    """Two bytes for each parameter: type, and 0x80 where it is unsigned."""
    values: tuple[BinaryValue | None, ...]


def statement_id_of(payload: bytes) -> int:
    """The id in COM_STMT_EXECUTE, _RESET, _CLOSE, _FETCH and _SEND_LONG_DATA."""
    if len(payload) < 5:
        raise MalformedPacket("packet ends before its statement id")
    return int.from_bytes(payload[1:5], "little")


def bound_types(payload: bytes, num_params: int) -> bytes | None:
    """The types that a COM_STMT_EXECUTE brings along; None: it relies on those of an earlier one."""
    if num_params == 0:
        return b""
    flag = EXECUTE_FIXED_BYTES + (num_params + 7) // 8
    if len(payload) <= flag:
        raise MalformedPacket("COM_STMT_EXECUTE ends before its parameters")
    if payload[flag] != 1:
        return None
    types = payload[flag + 1 : flag + 1 + 2 * num_params]
    if len(types) < 2 * num_params:
        raise MalformedPacket("COM_STMT_EXECUTE ends inside its parameter types")
    return types


def parse_execute(
    payload: bytes,
    num_params: int,
    remembered_types: bytes | None,
    long_data: Mapping[int, bytes] | None = None,
) -> ExecuteRequest:
    """Read the bound values. `long_data` holds what COM_STMT_SEND_LONG_DATA has brought, by parameter."""
    reader = PayloadReader(payload, 1)
    statement_id, cursor_flags = reader.integer(4), reader.integer(1)
    reader.take(4)
    if num_params == 0:
        return ExecuteRequest(statement_id, cursor_flags, b"", ())
    bitmap = reader.take((num_params + 7) // 8)
    types = reader.take(2 * num_params) if reader.integer(1) == 1 else remembered_types
    if types is None or len(types) != 2 * num_params:
        raise MalformedPacket("COM_STMT_EXECUTE without parameter types")
    given = long_data or {}
    values: list[BinaryValue | None] = []
    for index in range(num_params):
        if index in given:
            values.append(given[index])
        elif is_null(bitmap, index, 0):
            values.append(None)
        else:
            values.append(read_value(reader, types[2 * index], bool(types[2 * index + 1] & UNSIGNED_PARAM)))
    return ExecuteRequest(statement_id, cursor_flags, types, tuple(values))


def natural_type(value: BinaryValue | None) -> tuple[int, bool]:
    """The type, and whether unsigned, under which a Python value is bound."""
    if value is None:
        return FieldType.NULL, False
    if isinstance(value, int):
        return FieldType.LONGLONG, value >= 1 << 63
    if isinstance(value, float):
        return FieldType.DOUBLE, False
    if isinstance(value, MysqlDateTime):
        return FieldType.DATETIME, False
    return (FieldType.TIME if isinstance(value, MysqlTime) else FieldType.VAR_STRING), False


def make_execute(
    statement_id: int,
    values: Sequence[BinaryValue | None],
    types: Sequence[tuple[int, bool]] | None = None,
    *,
    bind: bool = True,
    cursor_flags: int = 0,
) -> bytes:
    """COM_STMT_EXECUTE. `bind=False` leaves the types out, for a statement that has had them."""
    types = [natural_type(value) for value in values] if types is None else types
    head = bytes((Command.COM_STMT_EXECUTE,)) + statement_id.to_bytes(4, "little") + bytes((cursor_flags,))
    parts = [head, (1).to_bytes(4, "little")]
    if values:
        parts += (make_null_bitmap(values, 0), b"\x01" if bind else b"\x00")
        if bind:
            parts += (bytes((kind, UNSIGNED_PARAM if unsigned else 0)) for kind, unsigned in types)
        parts += (
            make_value(value, kind, unsigned)
            for value, (kind, unsigned) in zip(values, types, strict=True)
            if value is not None
        )
    return b"".join(parts)


def with_types(payload: bytes, num_params: int, types: bytes) -> bytes:
    """A COM_STMT_EXECUTE that relied on remembered types, with the types put in."""
    if num_params == 0 or bound_types(payload, num_params) is not None:
        return payload
    flag = EXECUTE_FIXED_BYTES + (num_params + 7) // 8
    return payload[:flag] + b"\x01" + types + payload[flag + 1 :]


def make_prepare_ok(
    statement_id: int,
    params: Sequence[ColumnDefinition],
    columns: Sequence[ColumnDefinition],
    *,
    status: int = int(Status.AUTOCOMMIT),
    warnings: int = 0,
) -> bytes:
    """The whole answer to COM_STMT_PREPARE, framed and numbered from 1."""
    head = b"\x00" + statement_id.to_bytes(4, "little") + len(columns).to_bytes(2, "little")
    payloads = [head + len(params).to_bytes(2, "little") + b"\x00" + warnings.to_bytes(2, "little")]
    for definitions in (params, columns):
        if definitions:
            payloads += map(make_column_definition, definitions)
            payloads.append(make_eof(EofPacket(status)))
    return frame_all(payloads)[0]
