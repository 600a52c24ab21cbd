"""SHOW TABLE STATUS of several shards as one answer."""

from __future__ import annotations

from proxy.executor.table_status import merge_table_status
from proxy.wire.columns import ColumnDefinition

NAMES = ("Name", "Rows", "Avg_row_length", "Data_length", "Auto_increment", "Comment")
COLUMNS = [ColumnDefinition(name=name.encode(), type=253) for name in NAMES]


def row(name: bytes, rows: int, average: int, size: int, comment: bytes) -> list[bytes | None]:
    return [name, b"%d" % rows, b"%d" % average, b"%d" % size, None, comment]


def test_parts_add_up_and_what_is_whole_counts_once() -> None:
    first = [row(b"spread", 10, 10, 100, b"x"), row(b"whole", 7, 1, 7, b"y")]
    second = [row(b"alone", 3, 5, 15, b"z"), row(b"spread", 30, 20, 600, b"x"), row(b"whole", 8, 1, 8, b"y")]
    assert merge_table_status(COLUMNS, [first, second], {"whole"}) == [
        row(b"alone", 3, 5, 15, b"z"),
        row(b"spread", 40, 17, 700, b"x"),
        row(b"whole", 7, 1, 7, b"y"),
    ]


def test_unknown_figures_are_passed_over() -> None:
    first: list[list[bytes | None]] = [[b"t", None, None, None, None, b""]]
    second = [row(b"t", 0, 0, 16, b"")]
    assert merge_table_status(COLUMNS, [first, second], set()) == [[b"t", b"0", b"0", b"16", None, b""]]
