"""The catalog on three real shards: laying out, loading, repairing copies, and AUTO_INCREMENT's counters."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from proxy.errors import AutoIncrementFailed, ConfigError, NoSuchTable
from proxy.routing import asked
from proxy.routing.catalog_rows import StoredCatalog, delete_table, put_table, read_stored, rewrite_statements
from proxy.routing.catalog_store import CatalogChanged, CatalogStore
from proxy.routing.slots import SLOTS
from proxy.routing.tables import TableKind
from proxy.sql.plan import DdlKind
from tests.integration.catalog_bench import Bench, open_bench, pristine
from tso.types import ShardName
from txguard.engine.aiomysql_shard import AiomysqlShard, Dsn
from txguard.errors import ShardDown

S1, S2, S3 = (ShardName(name) for name in ("s1", "s2", "s3"))
ACCOUNTS = "CREATE TABLE accounts (id INT AUTO_INCREMENT PRIMARY KEY, owner VARCHAR(20)) AUTO_INCREMENT = 100"


@pytest.fixture(scope="module")
def servers(shard_servers) -> Iterator[Sequence[object]]:
    with pristine(shard_servers) as servers:
        yield servers


@pytest.fixture
async def bench(servers) -> AsyncIterator[Bench]:
    async with open_bench(servers) as bench:
        yield bench


async def copies(bench: Bench) -> list[StoredCatalog]:
    found = []
    for shard in bench.shards.values():
        async with shard.connection() as connection:
            found.append(await read_stored(connection, 10))
    return found


class Unplugged:
    """A shard that cannot be reached while it stands in for the real one."""

    def __init__(self, bench: Bench, name: ShardName) -> None:
        self._bench, self._name, self._shard = bench, name, bench.shards[name]

    def __enter__(self) -> None:
        self._bench.shards[self._name] = AiomysqlShard(self._name, Dsn(port=1))

    def __exit__(self, *exception: object) -> None:
        self._bench.shards[self._name] = self._shard


async def test_the_first_load_lays_the_slots_out_alike_on_every_shard(bench: Bench) -> None:
    assert bench.catalog.version == 1
    assert bench.catalog.all_shards == (S1, S2, S3)
    first, second, third = await copies(bench)
    assert first == second == third
    assert sum(piece.last - piece.first + 1 for piece in first.slots) == SLOTS


async def test_the_first_load_needs_every_shard(bench: Bench) -> None:
    await bench.clean()
    bench.restart()
    with Unplugged(bench, S2), pytest.raises(ShardDown, match="s2"):
        await bench.store.load()
    await bench.store.load()


async def test_another_set_of_shards_is_refused(bench: Bench) -> None:
    fewer = CatalogStore({name: bench.shards[name] for name in (S1, S2)})
    with pytest.raises(ConfigError, match="s1, s2, s3"):
        await fewer.load()


async def test_a_table_is_read_back_as_it_was_defined(bench: Bench) -> None:
    await bench.create_database()
    await bench.create(
        "CREATE TABLE all_kinds (a VARCHAR(9) CHARACTER SET latin1 NOT NULL DEFAULT 'it''s', b INT UNSIGNED DEFAULT 5,"
        " c DECIMAL(5,2), d DATETIME DEFAULT CURRENT_TIMESTAMP, e INT AS (b + 1) VIRTUAL, f BIGINT AUTO_INCREMENT,"
        " PRIMARY KEY (a, f), UNIQUE KEY u (a, b), KEY (f))"
    )
    bench.restart()
    await bench.store.load()
    table = bench.catalog.require("shop", "all_kinds")
    assert [column.name for column in table.columns] == ["a", "b", "c", "d", "e", "f"]
    a, b, c, d, e, f = table.columns
    assert (a.type_name, a.collation, a.nullable, a.default) == (
        "varchar",
        "latin1_swedish_ci",
        False,
        "'it''s'",
    )
    assert (b.unsigned, b.default, c.default, c.nullable) == (True, "5", None, True)
    assert (d.default or "").upper().startswith("CURRENT_TIMESTAMP")
    assert [column.generated for column in table.columns] == [False, False, False, False, True, False]
    assert (f.auto_increment, e.auto_increment) == (True, False)
    assert (table.primary_key, table.unique_keys, table.shard_key) == (("a", "f"), (("a", "b"),), "a")
    assert bench.catalog.place_nowait(table, "MÜLLER", strict=True) is None
    assert bench.catalog.lookup_nowait(table, "Smith ") == bench.catalog.lookup_nowait(table, "SMITH")
    placed = await asked.place(bench.catalog, table, "MÜLLER", strict=True)
    assert (
        await asked.lookup(bench.catalog, table, "MÜLLER ")
        == await asked.lookup(bench.catalog, table, "müller")
        == (placed,)
    )


async def test_another_process_sees_a_change_when_it_refreshes(bench: Bench) -> None:
    other = CatalogStore(bench.shards)
    await other.load()
    await bench.create_database()
    await bench.create(ACCOUNTS)
    assert other.current.table("shop", "accounts") is None
    await other.refresh()
    table = other.current.table("shop", "accounts")
    assert table is not None
    assert await other.refresh() is other.current
    assert other.current.table("shop", "accounts") is table
    await bench.run(DdlKind.CREATE_INDEX, "CREATE INDEX i ON accounts (owner)", "accounts")
    await other.refresh()
    assert other.current.table("shop", "accounts") is not table


async def test_a_table_that_did_not_change_keeps_its_identity(bench: Bench) -> None:
    await bench.create_database()
    await bench.create(ACCOUNTS)
    before = bench.catalog.require("shop", "accounts")
    await bench.create("CREATE TABLE other (id INT PRIMARY KEY)")
    assert bench.catalog.require("shop", "accounts") is before
    assert bench.store.unchanged([before])
    await bench.run(DdlKind.TRUNCATE_TABLE, "TRUNCATE accounts", "accounts")
    assert not bench.store.unchanged([before])


async def test_a_change_by_two_at_once_is_made_by_one(bench: Bench) -> None:
    other = CatalogStore(bench.shards)
    await other.load()
    await bench.store.change([])
    with pytest.raises(CatalogChanged):
        await other.change([delete_table(("shop", "accounts"))])
    await other.load()
    await other.change([])


async def test_an_old_copy_is_brought_up_to_date(bench: Bench) -> None:
    await bench.create_database()
    old = (await copies(bench))[1]
    await bench.create(ACCOUNTS)
    await bench.sql("s2", *rewrite_statements(old))
    assert len({copy.version for copy in await copies(bench)}) == 2
    bench.restart()
    await bench.store.load()
    first, second, third = await copies(bench)
    assert first == second == third
    assert bench.catalog.table("shop", "accounts") is not None


async def test_with_the_authority_down_a_copy_serves(bench: Bench) -> None:
    await bench.create_database()
    await bench.create(ACCOUNTS)
    version = bench.catalog.version
    bench.restart()
    with Unplugged(bench, S1):
        await bench.store.load()
        assert bench.catalog.version == version
        table = bench.catalog.require("shop", "accounts")
        assert bench.catalog.lookup_nowait(table, 5) is not None
        assert await bench.store.refresh() is bench.catalog
        with pytest.raises(ShardDown):
            await bench.store.change([])


async def test_a_single_table_whose_shard_is_down_comes_back_with_it(bench: Bench) -> None:
    await bench.create_database()
    await bench.create("CREATE TABLE alone (id INT PRIMARY KEY) COMMENT='txguard: single, home=s2'")
    bench.restart()
    with Unplugged(bench, S2):
        await bench.store.load()
        with pytest.raises(ShardDown, match=r"shop\.alone"):
            bench.catalog.require("shop", "alone")
    await bench.store.refresh()
    assert bench.catalog.require("shop", "alone").kind is TableKind.SINGLE


async def test_a_table_that_was_dropped_behind_our_back_is_not_there(bench: Bench) -> None:
    await bench.create_database()
    await bench.create(ACCOUNTS)
    await bench.everywhere("DROP TABLE shop.accounts")
    bench.restart()
    await bench.store.load()
    with pytest.raises(NoSuchTable):
        bench.catalog.require("shop", "accounts")


async def test_rows_with_any_name_survive_storage(bench: Bench) -> None:
    await bench.create_database()
    await bench.create(
        "CREATE TABLE `a'b\\c é` (id INT PRIMARY KEY) COMMENT='txguard: reference'", name="a'b\\c é"
    )
    row = bench.store.rows["shop", "a'b\\c é"]
    await bench.store.change([put_table(dataclasses.replace(row, created_ts=2**64 - 1))])
    bench.restart()
    await bench.store.load()
    assert bench.catalog.require("shop", "a'b\\c é").created_ts == 2**64 - 1


async def test_auto_increment_over_real_counters(bench: Bench) -> None:
    await bench.create_database()
    await bench.create(ACCOUNTS)
    table = bench.catalog.require("shop", "accounts")
    assert await bench.sequences.allocate(table, 2) == 100
    assert bench.sequences.allocate_nowait(table, 1) == 102
    await bench.sequences.note_explicit(table, 5_000)
    assert await bench.sequences.allocate(table, 1) == 5_001
    bench.restart()
    await bench.store.load()
    assert await bench.sequences.allocate(table, 1) > 5_001
    await bench.run(DdlKind.TRUNCATE_TABLE, "TRUNCATE accounts", "accounts")
    assert await bench.sequences.allocate(bench.catalog.require("shop", "accounts"), 1) == 1
    await bench.sequences.note_explicit(table, 2**64 - 1)
    await bench.everywhere("DELETE FROM _txguard.sequence")
    with pytest.raises(AutoIncrementFailed):
        await bench.sequences.allocate(bench.catalog.require("shop", "accounts"), 10**6)


async def test_two_processes_never_give_the_same_value(bench: Bench) -> None:
    await bench.create_database()
    await bench.create(ACCOUNTS)
    table = bench.catalog.require("shop", "accounts")
    first = bench.sequences
    bench.restart()
    await bench.store.load()
    second = bench.sequences

    async def take(sequences: object) -> list[int]:
        return [await sequences.allocate(table, 7) for _ in range(400)]  # type: ignore[attr-defined]

    one, other = await asyncio.gather(take(first), take(second))
    values = {first + offset for first in one + other for offset in range(7)}
    assert len(values) == 800 * 7
