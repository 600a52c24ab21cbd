"""Bound parameters of a prepared statement as SQL literals, and as the values that routing takes.

The rule: a literal means exactly what the server would have taken the parameter for, whatever bytes it holds. Binary
strings become hexadecimal with an introducer, so that no byte of them is ever read as a quote; texts stay in the
client's character set. Source: MySQL manual, "Literal Values", "Character Set Introducers"; Item_param in
sql/item.cc for which types are binary.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from proxy.errors import NotSupported
from proxy.routing.values import KeyValue
from proxy.wire.binary_values import BinaryValue
from proxy.wire.field_types import FieldType
from proxy.wire.temporal import MysqlDateTime, MysqlTime

_BINARY_TYPES = frozenset(
    (
        FieldType.TINY_BLOB,
        FieldType.MEDIUM_BLOB,
        FieldType.LONG_BLOB,
        FieldType.BLOB,
        FieldType.BIT,
        FieldType.GEOMETRY,
        FieldType.VECTOR,
    )
)
_DECIMAL_TYPES = frozenset((FieldType.DECIMAL, FieldType.NEWDECIMAL))


def parameter_literals(values: Sequence[BinaryValue | None], types: bytes) -> list[str]:
    """SQL text of all parameters. `types`: two bytes for each, as in COM_STMT_EXECUTE."""
    return [parameter_literal(value, types[2 * index]) for index, value in enumerate(values)]


def parameter_literal(value: BinaryValue | None, field_type: int) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _double(value)
    if isinstance(value, MysqlDateTime):
        return _datetime(value, field_type)
    if isinstance(value, MysqlTime):
        return f"TIME'{value.text().decode()}'"
    if field_type in _BINARY_TYPES:
        return f"_binary X'{value.hex()}'"
    if field_type in _DECIMAL_TYPES:
        return _decimal(value)
    return quote_text(value.decode("utf-8", "surrogateescape"))


def quote_text(text: str) -> str:
    r"""A string literal. Valid under every sql_mode that a session can have here (NO_BACKSLASH_ESCAPES is refused)."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''").replace("\0", "\\0") + "'"


def _double(value: float) -> str:
    """With an exponent: without one MySQL would take it for a DECIMAL."""
    if not math.isfinite(value):
        raise NotSupported("a parameter that is not a finite number")
    text = repr(value)
    return text if "e" in text else text + "e0"


def _decimal(text: bytes) -> str:
    """Digits only ever reach the statement: what is not a number is passed as the string that it is."""
    try:
        number = Decimal(text.decode("ascii"))
    except (InvalidOperation, UnicodeDecodeError):
        return quote_text(text.decode("utf-8", "surrogateescape"))
    return f"{number:f}" if number.is_finite() else quote_text(text.decode("ascii"))


def _datetime(value: MysqlDateTime, field_type: int) -> str:
    """A typed literal; zero dates, which typed literals refuse in strict mode, as plain strings."""
    date_only = field_type in (FieldType.DATE, FieldType.NEWDATE)
    text = (value.date_text() if date_only else value.text()).decode()
    if not (value.year and value.month and value.day):
        return f"'{text}'"
    return f"{'DATE' if date_only else 'TIMESTAMP'}'{text}'"


def key_values(values: Sequence[BinaryValue | None], types: bytes, codec: str) -> list[KeyValue]:
    """The parameters as routing compares them: texts decoded by Python's `codec` of the client's character set."""
    return [key_value(value, types[2 * index], codec) for index, value in enumerate(values)]


def key_value(value: BinaryValue | None, field_type: int, codec: str) -> KeyValue:
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, MysqlDateTime):
        return _key_datetime(value, field_type)
    if isinstance(value, MysqlTime):
        span = datetime.timedelta(
            hours=value.hours, minutes=value.minutes, seconds=value.seconds, microseconds=value.microseconds
        )
        return -span if value.negative else span
    if field_type in _BINARY_TYPES:
        return value
    if field_type in _DECIMAL_TYPES:
        try:
            return Decimal(value.decode("ascii"))
        except (InvalidOperation, UnicodeDecodeError):
            return value
    return value.decode(codec, "surrogateescape")


def _key_datetime(value: MysqlDateTime, field_type: int) -> KeyValue:
    """Zero dates and the like have no Python value: as the text that MySQL would show."""
    date_only = field_type in (FieldType.DATE, FieldType.NEWDATE)
    try:
        if date_only:
            return datetime.date(value.year, value.month, value.day)
        return datetime.datetime(
            value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond
        )
    except ValueError:
        return (value.date_text() if date_only else value.text()).decode()
