"""Where the rows of an INSERT go, which ids they get, and what each shard is sent."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from proxy.backend.statements import PreparedStatement, TextStatement
from proxy.errors import NotSupported
from proxy.executor.execution import BoundStatement, Execution, Reading
from proxy.executor.figures import Figures
from proxy.executor.inserts import Insert
from proxy.routing.catalog import Catalog, CatalogContents
from proxy.routing.slots import SlotMap
from proxy.routing.tables import Table
from proxy.sql.plan import InsertPlan
from proxy.wire.field_types import FieldType
from proxy.wire.statements import ExecuteRequest, make_execute
from tests.unit.proxy.routing.routing_fakes import SHARDS, weights_with
from tests.unit.proxy.sql.planner_catalog import SCHEMAS, plan, session_text
from tso.types import ShardName


@dataclass
class FakeSequences:
    next: int = 1
    explicit: list[int] = field(default_factory=list)

    def allocate_nowait(self, table: Table, count: int) -> int | None:
        return None

    async def allocate(self, table: Table, count: int) -> int:
        first, self.next = self.next, self.next + count
        return first

    async def note_explicit(self, table: Table, value: int) -> None:
        self.explicit.append(value)


def catalog() -> Catalog:
    numeric = tuple(table for name, table in SCHEMAS.tables.items() if name != "words")
    contents = CatalogContents(1, SlotMap.lay_out(SHARDS), frozenset(("app",)), numeric)
    return Catalog(contents, weights_with())


async def prepare(
    sql: str, *, bound: BoundStatement | None = None, sequences: FakeSequences | None = None, **reading: bool
) -> Insert:
    planned = plan(sql, prepared=True)
    assert isinstance(planned.plan, InsertPlan)
    execution = Execution(planned, session_text, Reading(**reading), bound)  # type: ignore[arg-type]
    insert = Insert(planned.plan, execution, catalog(), sequences or FakeSequences(), 1000)  # type: ignore[arg-type]
    await insert.prepare()
    return insert


def sent(insert: Insert) -> dict[ShardName, str]:
    statements = {shard: insert._statement(shard) for shard in insert.shards}
    return {shard: one.sql.decode() for shard, one in statements.items()}


async def test_rows_are_split_by_their_key_and_keep_their_text() -> None:
    insert = await prepare(
        "INSERT INTO users (id, name) VALUES (1, 'it''s'), (2, 'b'), (3, 'c'), (40, 'd'), (55, 'e')"
    )
    texts = sent(insert)
    assert len(texts) > 1
    assert all(text.startswith("INSERT INTO users (`id`, `name`) VALUES ") for text in texts.values())
    assert sorted("".join(texts.values()).count(f"'{letter}'") for letter in "bcde") == [1, 1, 1, 1]
    table = SCHEMAS.tables["users"]
    for shard, text in texts.items():
        for number in (1, 2, 3, 40, 55):
            assert (f"({number}, " in text) is (catalog().lookup_nowait(table, number) == (shard,))


async def test_rows_of_one_shard_go_as_the_client_wrote_them() -> None:
    insert = await prepare("insert  into users (id) /* mine */ values (7)")
    assert list(sent(insert).values()) == ["insert  into users (id) /* mine */ values (7)"]
    assert insert.native


async def test_generated_ids_are_in_order_and_route_their_rows() -> None:
    sequences = FakeSequences(next=100)
    insert = await prepare("INSERT INTO counted (v) VALUES ('a'), ('b'), ('c'), ('d')", sequences=sequences)
    assert insert.first_generated == 100
    table = SCHEMAS.tables["counted"]
    for shard, text in sent(insert).items():
        for offset, letter in enumerate("abcd"):
            here = catalog().lookup_nowait(table, 100 + offset) == (shard,)
            assert (f"'{letter}'" in text and f"{100 + offset}" in text) is here


async def test_explicit_ids_move_the_sequence_on() -> None:
    sequences = FakeSequences(next=5)
    insert = await prepare(
        "INSERT INTO counted VALUES (50, 'a'), (NULL, 'b'), (0, 'c'), (70, 'd')", sequences=sequences
    )
    assert sequences.explicit == [70]
    assert insert.first_generated == 5
    assert sequences.next == 7


async def test_zero_is_a_value_under_its_sql_mode() -> None:
    insert = await prepare("INSERT INTO counted VALUES (0, 'c')", no_auto_value_on_zero=True)
    assert insert.first_generated is None


async def test_a_reference_table_gets_the_same_on_all_shards() -> None:
    insert = await prepare("INSERT INTO countries (id, name, made) VALUES (1, 'x', '2024-01-01')")
    assert insert.shards == SHARDS
    assert len(set(sent(insert).values())) == 1
    assert insert._figures([Figures(1), Figures(1), Figures(1)]).affected_rows == 1


async def test_a_single_table_keeps_its_text() -> None:
    insert = await prepare("INSERT INTO settings VALUES (1, 2)")
    assert sent(insert) == {ShardName("s2"): "INSERT INTO settings VALUES (1, 2)"}


async def test_the_figures_of_a_split_insert() -> None:
    insert = await prepare("INSERT INTO counted (v) VALUES ('a'), ('b'), ('c'), ('d')")
    parts = [Figures(1, 1), *[Figures(1, 9)] * (len(insert.shards) - 1)]
    figures = insert._figures(parts)
    assert figures.last_insert_id == 1
    if len(insert.shards) > 1:
        assert figures.info == b"Records: 4  Duplicates: 0  Warnings: 0"


async def test_nothing_inserted_means_no_last_insert_id() -> None:
    insert = await prepare("INSERT IGNORE INTO counted (v) VALUES ('a')")
    assert insert._figures([Figures(0, 1)]).last_insert_id == 0


async def test_a_row_that_was_updated_instead_tells_the_shard_s_id() -> None:
    insert = await prepare("INSERT INTO counted (v) VALUES ('a') ON DUPLICATE KEY UPDATE v = 'b'")
    assert insert._figures([Figures(2, 33)]).last_insert_id == 33
    assert insert._figures([Figures(1, 33)]).last_insert_id == 1


def bound(sql: str, *values: object) -> BoundStatement:
    types = b"".join(
        bytes((FieldType.VAR_STRING if isinstance(v, bytes) else FieldType.LONGLONG, 0)) for v in values
    )
    request = ExecuteRequest(1, 0, types, values)  # type: ignore[arg-type]
    return BoundStatement(sql.encode(), make_execute(1, values), request)  # type: ignore[arg-type]


async def test_parameters_become_literals_where_the_rows_are_split() -> None:
    sql = "INSERT INTO users (id, name) VALUES (?, ?), (?, ?), (?, ?), (?, ?)"
    insert = await prepare(sql, bound=bound(sql, 1, b"a'", 2, b"b\\", 40, b"c", 55, b"d"))
    texts = "".join(sent(insert).values())
    assert not insert.native
    assert "(1, 'a''')" in texts
    assert "(2, 'b\\\\')" in texts
    assert "?" not in texts


async def test_a_prepared_insert_into_one_shard_stays_prepared() -> None:
    sql = "INSERT INTO users (id, name) VALUES (?, ?)"
    insert = await prepare(sql, bound=bound(sql, 1, b"a"))
    statement = insert._statement(insert.shards[0])
    assert isinstance(statement, PreparedStatement)
    assert insert.native


async def test_a_prepared_insert_that_generates_its_id_runs_as_text() -> None:
    sql = "INSERT INTO counted (v) VALUES (?)"
    insert = await prepare(sql, bound=bound(sql, b"a"))
    assert isinstance(insert._statement(insert.shards[0]), TextStatement)
    assert not insert.native


@pytest.mark.parametrize("returning", [" RETURNING id"])
async def test_ignored_rows_cannot_be_told_apart_when_they_return(returning: str) -> None:
    values = ", ".join(f"({number})" for number in range(60))
    await prepare(f"INSERT INTO users (id) VALUES {values}{returning}")
    with pytest.raises(NotSupported, match="INSERT IGNORE … RETURNING"):
        await prepare(f"INSERT IGNORE INTO users (id) VALUES {values}{returning}")
