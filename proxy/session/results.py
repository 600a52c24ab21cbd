"""Results that the proxy makes itself: SELECT @@x, SHOW VARIABLES, SHOW TXGUARD …

Owns the small table type and its two encodings. A column is a number when all its values are, otherwise text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proxy.wire.binary_rows import make_binary_row
from proxy.wire.columns import ColumnDefinition, integer_column, text_column
from proxy.wire.field_types import FieldType
from proxy.wire.lenenc import lenenc_bytes

Cell = int | float | str | bytes | None


@dataclass(frozen=True, slots=True)
class LocalResult:
    names: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @classmethod
    def of(cls, names: Sequence[str], rows: Iterable[Sequence[Cell]]) -> LocalResult:
        return cls(tuple(names), tuple(tuple(row) for row in rows))

    def columns(self) -> list[ColumnDefinition]:
        return [self._column(position, name) for position, name in enumerate(self.names)]

    def _column(self, position: int, name: str) -> ColumnDefinition:
        cells = [row[position] for row in self.rows if row[position] is not None]
        if cells and all(isinstance(cell, int) for cell in cells):
            return integer_column(name, unsigned=all(isinstance(c, int) and c >= 0 for c in cells))
        longest = max((len(cell_text(cell) or b"") for cell in cells), default=0)
        return text_column(name, column_length=max(longest * 4, 64))

    def text_rows(self) -> list[bytes]:
        return [b"".join(_text_cell(cell) for cell in row) for row in self.rows]

    def binary_rows(self) -> list[bytes]:
        columns = self.columns()
        return [
            make_binary_row(columns, [self._bound(cell, c) for cell, c in zip(row, columns, strict=True)])
            for row in self.rows
        ]

    @staticmethod
    def _bound(cell: Cell, column: ColumnDefinition) -> int | bytes | None:
        return cell if isinstance(cell, int) and column.type == FieldType.LONGLONG else cell_text(cell)


def cell_text(cell: Cell) -> bytes | None:
    if cell is None or isinstance(cell, bytes):
        return cell
    return str(cell).encode("utf-8", "surrogateescape")


def _text_cell(cell: Cell) -> bytes:
    text = cell_text(cell)
    return b"\xfb" if text is None else lenenc_bytes(text)
