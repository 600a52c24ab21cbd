"""Shard keys: which columns can be one, and the canonical form of their values.

Owns: `KeyCodec`, and `codec_for`, which picks the codec of a column or refuses it. A codec has two uses:

- `lookup(value)`: a value that the column is compared with. What is not certain is Verdict.UNKNOWN: ask every
  shard.
- `insert(value, strict)`: a value that is to be stored. What is not certain raises NotSupported. `strict`:
  the session's sql_mode is strict and the statement has no IGNORE, so the server refuses what does not fit.

Both give the same bytes for values that the column's own equality calls equal; `slot_of` hashes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol

from proxy.errors import NotSupported
from proxy.routing.collations import COLLATIONS, Collation, Weights, WeightTable, find_collation
from proxy.routing.numbers import NumberCodec
from proxy.routing.tables import Column
from proxy.routing.temporal import TemporalCodec
from proxy.routing.text import BinaryCodec, TextCodec
from proxy.routing.values import Canonical, KeyValue

_LENGTH: Final = re.compile(r"(?:var)?(?:char|binary)\(([0-9]+)\)")
_SUPPORTED: Final = "integers, DECIMAL, CHAR, VARCHAR, BINARY, VARBINARY, DATE and DATETIME"


class KeyCodec(Protocol):
    @property
    def column(self) -> str: ...

    @property
    def family(self) -> str:
        """Columns of one family hash equal values alike: their tables can be joined on the shard."""
        ...

    def lookup(self, value: KeyValue) -> Canonical: ...

    def insert(self, value: KeyValue, strict: bool) -> Canonical: ...


def needed_weights(column: Column) -> Collation | None:
    """The collation whose WeightTable `codec_for` needs for this column, if any."""
    collation = find_collation(column.collation) if column.collation is not None else None
    return collation if collation is not None and collation.weights is not Weights.CODE_POINTS else None


def codec_for(column: Column, weights: Mapping[str, WeightTable]) -> KeyCodec:
    """The codec of a shard key column. Raises NotSupported, with what would be supported.

    `weights` are by collation and hold that of `needed_weights(column)`.
    """
    if column.generated:
        raise NotSupported(f"the generated column `{column.name}` as a shard key")
    kind = column.type_name
    number = NumberCodec.for_type(column.name, kind, column.column_type, column.unsigned)
    codec = number or TemporalCodec.for_type(column.name, kind, column.column_type)
    if codec is not None:
        return codec
    length = _LENGTH.match(column.column_type.lower())
    if kind in ("binary", "varbinary") and length is not None:
        return BinaryCodec(column.name, kind == "binary", int(length[1]))
    if kind in ("char", "varchar") and length is not None:
        return _text_codec(column, kind == "char", int(length[1]), weights)
    raise NotSupported(
        f"a shard key of type {column.column_type} (column `{column.name}`; shard keys can be {_SUPPORTED})"
    )


def _text_codec(column: Column, fixed: bool, length: int, weights: Mapping[str, WeightTable]) -> TextCodec:
    collation = find_collation(column.collation or "")
    if collation is None:
        known = ", ".join(sorted(COLLATIONS))
        key = f"a shard key of collation {column.collation}"
        raise NotSupported(f"{key} (column `{column.name}`; shard keys can have {known})")
    table = None if collation.weights is Weights.CODE_POINTS else weights[collation.name]
    return TextCodec(column.name, collation, fixed, length, table)
