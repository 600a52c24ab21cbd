"""SHOW without what is TxGuard's own, and the union of several shards' answers."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from proxy.executor.collate import filter_show
from proxy.sql.plan import ShowFilter
from proxy.wire.columns import ColumnDefinition, text_column


@dataclass
class FakeReply:
    names: tuple[str, ...]
    values: list[list[bytes | None]]

    def columns(self) -> list[ColumnDefinition]:
        return [text_column(name) for name in self.names]

    def rows(self) -> list[list[bytes | None]]:
        return [list(row) for row in self.values]


CASES = [
    (ShowFilter.DATABASES, ("Database",), [[b"_txguard"], [b"app"]], [[b"app"]]),
    (ShowFilter.COLUMNS, ("Field", "Type"), [[b"id", b"int"], [b"_txg_ts", b"bigint"]], [[b"id", b"int"]]),
    (ShowFilter.TRIGGERS, ("Trigger",), [[b"_txg_0a_bi"], [b"mine"]], [[b"mine"]]),
    (
        ShowFilter.INDEXES,
        ("Table", "Key_name", "Column_name"),
        [[b"t", b"PRIMARY", b"id"], [b"t", b"k", b"_txg_ts"]],
        [[b"t", b"PRIMARY", b"id"]],
    ),
    (ShowFilter.NONE, ("x",), [[b"_txg_ts"], [None]], [[b"_txg_ts"], [None]]),
]


@pytest.mark.parametrize(("what", "names", "rows", "left"), CASES)
def test_internals_are_left_out(
    what: ShowFilter, names: tuple[str, ...], rows: list[list[bytes | None]], left: list[list[bytes | None]]
) -> None:
    assert filter_show(what, [FakeReply(names, rows)])[1] == left


@pytest.mark.parametrize(
    ("shown", "left"),
    [
        (
            b"CREATE TABLE `t` (\n  `id` int NOT NULL,\n  `_txg_ts` bigint unsigned NOT NULL /*!80023 INVISIBLE */,\n"
            b"  PRIMARY KEY (`id`)\n) ENGINE=InnoDB",
            b"CREATE TABLE `t` (\n  `id` int NOT NULL,\n  PRIMARY KEY (`id`)\n) ENGINE=InnoDB",
        ),
        (
            b"CREATE TABLE `t` (\n  `id` int,\n  `_txg_ts` bigint INVISIBLE\n) ENGINE=InnoDB",
            b"CREATE TABLE `t` (\n  `id` int\n) ENGINE=InnoDB",
        ),
    ],
)
def test_show_create_table_loses_the_columns_line(shown: bytes, left: bytes) -> None:
    _, rows = filter_show(ShowFilter.CREATE_TABLE, [FakeReply(("Table", "Create Table"), [[b"t", shown]])])
    assert rows == [[b"t", left]]


def test_several_answers_are_united_and_sorted() -> None:
    replies = [FakeReply(("Tables",), [[b"b"], [b"d"]]), FakeReply(("Tables",), [[b"a"], [b"b"]])]
    assert filter_show(ShowFilter.TABLES, replies)[1] == [[b"a"], [b"b"], [b"d"]]
