"""Changes and versions from a shard's answers, without a shard."""

from __future__ import annotations

from tso.types import Timestamp
from txguard.engine.changes import Change, changes_of, in_order, versions_of
from txguard.engine.managed_table import Category, ManagedColumn, ManagedTable
from txguard.engine.shard import Rows

COLUMNS = tuple(
    ManagedColumn(name, "int", None, Category.NUMBER, generated=False, auto_increment=False)
    for name in ("id", "n")
)
TABLE = ManagedTable("shop", "t", COLUMNS, ("id",), (), "h")
COMMITS = {Timestamp(start): Timestamp(start + 1) for start in (10, 20, 30, 40)}


def rows(*values: tuple[int | str | None, ...]) -> Rows:
    return Rows(values)


def told(changes: list[Change]) -> list[tuple[int, str, int]]:
    return [(change.start_ts, change.operation, int(change.key[0] or 0)) for change in changes]


def test_what_a_transaction_replaced_and_left_makes_its_change() -> None:
    replaced = rows((10, "I", 1, None), (10, "U", 2, 5), (10, "D", 3, 5), (10, "D", 4, 5), (10, "I", 5, None))
    present, past = rows((10, "", 1, 7), (10, "", 4, 8)), rows((10, "", 2, 6))
    changes = in_order([changes_of(TABLE, COMMITS, replaced, present, past)])
    assert told(changes) == [(10, "insert", 1), (10, "update", 2), (10, "delete", 3), (10, "update", 4)]
    assert changes[1].before == {"id": 2, "n": 5}
    assert changes[1].after == {"id": 2, "n": 6}


def test_two_shards_make_one_stream_and_a_reference_table_one_change() -> None:
    one = changes_of(TABLE, COMMITS, rows((20, "I", 1, None), (10, "D", 9, 1)), rows((20, "", 1, 7)), rows())
    two = changes_of(TABLE, COMMITS, rows((20, "I", 1, None), (30, "D", 2, 1)), rows((20, "", 1, 7)), rows())
    assert told(in_order([one, two])) == [(10, "delete", 9), (20, "insert", 1), (30, "delete", 2)]


def test_versions_end_with_what_is_decided() -> None:
    history = rows((20, 5, "U", 1, 100), (30, 20, "D", 1, 200), (40, 40, "I", 1, None))
    current = rows((40, 1, 300))
    versions = versions_of(TABLE, current, history, COMMITS, Timestamp(40))
    assert [(v.commit_ts, v.operation, v.values and v.values["n"]) for v in versions] == [
        (None, "kept from before", 100),
        (21, "update", 200),
        (31, "delete", None),
    ]
    assert versions_of(TABLE, current, history, COMMITS, Timestamp(41))[-1].values == {"id": 1, "n": 300}
    assert versions_of(TABLE, rows((5, 1, 1)), rows(), {}, Timestamp(40))[0].operation == "kept from before"
