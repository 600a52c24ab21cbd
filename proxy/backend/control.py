"""Decoding the answers to the proxy's own control statements: few, small, and read by the engine."""

from __future__ import annotations

from itertools import islice

from proxy.errors import MalformedPacket
from proxy.wire.capabilities import Status
from proxy.wire.columns import BINARY_COLLATION, ColumnDefinition, parse_column_definition
from proxy.wire.field_types import DATE_TYPES, INTEGER_WIDTHS, TIME_TYPES, FieldType
from proxy.wire.lenenc import read_lenenc_int
from proxy.wire.packets import split_packets
from proxy.wire.responses import is_eof, is_ok, parse_eof
from proxy.wire.text_rows import parse_text_row
from txguard.engine.shard import Rows, Value

_TEXTUAL = frozenset((*DATE_TYPES, *TIME_TYPES, FieldType.DECIMAL, FieldType.NEWDECIMAL, FieldType.JSON))
"""Types whose text is ASCII or UTF-8 although their collation says binary."""


def decode_results(data: bytes | bytearray, start: int, count: int, encoding: str) -> list[Rows]:
    """The first `count` results of an answer in which none of them failed."""
    payloads = split_packets(data, start)
    results: list[Rows] = []
    while len(results) < count:
        first = next(payloads)
        if is_ok(first):
            results.append(Rows((), read_lenenc_int(first, 1)[0]))  # behind the header: the affected rows
            continue
        columns = [
            parse_column_definition(payload) for payload in islice(payloads, read_lenenc_int(first, 0)[0])
        ]
        if not is_eof(next(payloads)):
            raise MalformedPacket("column definitions without an EOF")
        rows: list[list[Value]] = []
        while not is_eof(payload := next(payloads)):
            values = parse_text_row(payload, len(columns))
            rows.append(
                [_value(value, column, encoding) for value, column in zip(values, columns, strict=True)]
            )
        results.append(Rows(rows))
        more = bool(parse_eof(payload).status & Status.MORE_RESULTS_EXISTS)
        if not more and len(results) < count:
            raise MalformedPacket("fewer results than statements")
    return results


def _value(value: bytes | None, column: ColumnDefinition, encoding: str) -> Value:
    """Integers as int, text as str; what is neither stays bytes."""
    if value is None:
        return None
    if column.type in INTEGER_WIDTHS:
        return int(value)
    if column.type in (FieldType.DOUBLE, FieldType.FLOAT):
        return float(value)
    if column.type in _TEXTUAL:
        return value.decode("utf-8")
    if column.character_set == BINARY_COLLATION:
        return value
    return value.decode(encoding, "replace")
