"""The order and equality of values as MySQL has them, and the answers to SHOW without TxGuard's internals.

Owns `KeyReader`: rows as shards answer them -> comparable and hashable keys. NULL comes first; numbers compare as
numbers, dates as their text, strings by the weights of their collation that the shards answered beside them.
Sans-IO. Source: MySQL 8.0 manual, "Comparison Functions and Operators", "WEIGHT_STRING()", "Collation Pad Attributes".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import total_ordering
from typing import Any, Protocol

from proxy.errors import NotSupported
from proxy.sql.merge_spec import Key
from proxy.sql.plan import ShowFilter
from proxy.wire.columns import ColumnDefinition
from proxy.wire.field_types import DATE_TYPES, INTEGER_WIDTHS, TIME_TYPES, FieldType

Row = Sequence[bytes | None]
Comparable = Any
"""int, Decimal, float, bytes, PaddedWeight: of one key's values all are of one type."""

DECIMAL_TYPES = frozenset((FieldType.DECIMAL, FieldType.NEWDECIMAL))
DOUBLE_TYPES = frozenset((FieldType.FLOAT, FieldType.DOUBLE))
_UNORDERED = frozenset((FieldType.JSON, FieldType.GEOMETRY, FieldType.VECTOR, FieldType.BIT))
MAX_SPACE_BYTES = 3
"""A longer weight of one space has several levels, which cannot be padded one by one."""


@total_ordering
class PaddedWeight:
    """A weight string of a PAD SPACE collation: compares as if the shorter were filled up with spaces."""

    __slots__ = ("_space", "_weight")

    def __init__(self, weight: bytes, space: bytes) -> None:
        size = len(space)
        if size > MAX_SPACE_BYTES:
            raise NotSupported("sorting or grouping over several shards by a collation of several levels")
        end = len(weight)
        while end >= size and weight[end - size : end] == space:
            end -= size
        self._weight = weight[:end]
        self._space = space

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PaddedWeight) and self._weight == other._weight

    def __lt__(self, other: PaddedWeight) -> bool:
        size = max(len(self._weight), len(other._weight))
        return self._filled(size) < other._filled(size)

    def __hash__(self) -> int:
        return hash(self._weight)

    def _filled(self, size: int) -> bytes:
        return self._weight + self._space * ((size - len(self._weight)) // len(self._space))


@total_ordering
class Descending:
    """Turns an order round."""

    __slots__ = ("_value",)

    def __init__(self, value: Comparable) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Descending) and bool(self._value == other._value)

    def __lt__(self, other: Descending) -> bool:
        return bool(other._value < self._value)

    __hash__ = None  # type: ignore[assignment]


def parse_number(column: ColumnDefinition) -> Callable[[bytes], Comparable] | None:
    """How a numeric column's text is read; None for a column that is none."""
    if column.type in INTEGER_WIDTHS:
        return int
    if column.type in DECIMAL_TYPES:
        return lambda text: Decimal(text.decode())
    if column.type in DOUBLE_TYPES:
        return float
    return None


def parse_time(text: bytes) -> int:
    """[-]HHH:MM:SS[.ffffff] in microseconds."""
    sign = -1 if text.startswith(b"-") else 1
    hours, minutes, seconds = text.lstrip(b"-").split(b":")
    whole, _, fraction = seconds.partition(b".")
    total = (int(hours) * 60 + int(minutes)) * 60 + int(whole)
    return sign * (total * 1_000_000 + int(fraction.ljust(6, b"0") or b"0"))


def _text(text: bytes) -> bytes:
    return text


class KeyReader:
    """Reads one key off rows whose columns are `columns`."""

    __slots__ = ("_convert", "_space", "_value", "_weight", "descending")

    def __init__(self, key: Key, columns: Sequence[ColumnDefinition]) -> None:
        self.descending = key.descending
        self._convert: Callable[[bytes], Comparable] | None = None
        self._value, self._weight, self._space = 0, -1, -1
        if key.value is not None:
            column = columns[key.value]
            self._value = key.value
            if key.weight is None or not _is_text(column):
                self._convert = _conversion(column)
                return
        assert key.weight is not None and key.space is not None
        self._weight, self._space = key.weight, key.space

    def __call__(self, row: Row) -> Comparable | None:
        """The value of one row: comparable with those of other rows, and hashable; None for NULL."""
        if self._convert is not None:
            text = row[self._value]
            return None if text is None else self._convert(text)
        weight = row[self._weight]
        if weight is None:
            return None
        space = row[self._space]
        return PaddedWeight(weight, space) if space else weight

    def for_order(self, row: Row) -> tuple[Comparable, ...]:
        """The same for sorting: NULL before everything, behind it when descending."""
        value = self(row)
        if self.descending:
            return (1,) if value is None else (0, Descending(value))
        return (0,) if value is None else (1, value)


def _is_text(column: ColumnDefinition) -> bool:
    kinds = (FieldType.VARCHAR, FieldType.VAR_STRING, FieldType.STRING, FieldType.ENUM, FieldType.SET)
    blobs = (FieldType.TINY_BLOB, FieldType.MEDIUM_BLOB, FieldType.LONG_BLOB, FieldType.BLOB)
    return column.type in kinds or column.type in blobs


def _conversion(column: ColumnDefinition) -> Callable[[bytes], Comparable]:
    number = parse_number(column)
    if number is not None:
        return number
    if column.type in TIME_TYPES:
        return parse_time
    if column.type in DATE_TYPES or _is_text(column) or column.type == FieldType.NULL:
        return _text
    if column.type in _UNORDERED:
        raise NotSupported(
            f"sorting or grouping by a {FieldType(column.type).name} value over several shards"
        )
    raise NotSupported(f"sorting or grouping by a value of type {column.type} over several shards")


def order_key(keys: Iterable[Key], columns: Sequence[ColumnDefinition]) -> Callable[[Row], Comparable]:
    """The sort key of whole rows."""
    readers = [KeyReader(key, columns).for_order for key in keys]
    if len(readers) == 1:
        return readers[0]
    return lambda row: tuple(reader(row) for reader in readers)


def equality_key(keys: Iterable[Key], columns: Sequence[ColumnDefinition]) -> Callable[[Row], Comparable]:
    """What rows of one group have in common."""
    readers = [KeyReader(key, columns) for key in keys]
    return lambda row: tuple(reader(row) for reader in readers)


# ---------------------------------------------------------------- SHOW


class ResultReply(Protocol):
    """A shard's decoded answer."""

    def columns(self) -> list[ColumnDefinition]: ...

    def rows(self) -> list[list[bytes | None]]: ...


_OWN_LINE = re.compile(rb"\n[^\n]*`_txg_ts`[^\n]*")


def filter_show(
    what: ShowFilter, replies: Sequence[ResultReply]
) -> tuple[list[ColumnDefinition], list[list[bytes | None]]]:
    """The answers to one SHOW as one, without what is TxGuard's own. Several answers: their union, sorted."""
    columns = replies[0].columns()
    rows = replies[0].rows()
    if len(replies) > 1:
        union = {tuple(row): row for reply in replies for row in reply.rows()}
        rows = sorted(union.values(), key=lambda row: row[0] or b"")
    if what is ShowFilter.CREATE_TABLE:
        return columns, [_without_own_column(row) for row in rows]
    return columns, [row for row in rows if not _is_own(what, columns, row)]


def _is_own(what: ShowFilter, columns: Sequence[ColumnDefinition], row: Row) -> bool:
    first = row[0] or b""
    if what is ShowFilter.DATABASES:
        return first == b"_txguard"
    if what is ShowFilter.COLUMNS:
        return first == b"_txg_ts"
    if what in (ShowFilter.TRIGGERS, ShowFilter.TABLES):
        return first.startswith(b"_txg_")
    if what is ShowFilter.INDEXES:
        return any(
            value == b"_txg_ts"
            for column, value in zip(columns, row, strict=True)
            if column.name.lower() == b"column_name"
        )
    return False


def _without_own_column(row: Row) -> list[bytes | None]:
    """SHOW CREATE TABLE: the statement in the second column, less each line that names the column."""
    definition = row[1]
    if definition is None:
        return list(row)
    cleaned = _OWN_LINE.sub(b"", definition).replace(b",\n)", b"\n)")
    return [row[0], cleaned, *row[2:]]
