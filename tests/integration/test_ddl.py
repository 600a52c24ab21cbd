"""Data definition on three real shards: what it makes, what it refuses, and what a crash leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from proxy.ddl.errors import (
    DatabaseExists,
    DuplicateIndex,
    NoSuchDatabase,
    NoSuchIndex,
    NotAdoptable,
    ReferencedTable,
    SystemDatabase,
    UnknownTable,
)
from proxy.ddl.hints import Hint
from proxy.errors import NoSuchTable, NotSupported, TableExists, UnknownDatabase
from proxy.routing.catalog import TRUNCATING_TS, Catalog
from proxy.routing.tables import TableKind
from proxy.sql.plan import DdlKind
from tests.integration.catalog_bench import Bench, open_bench, pristine
from txguard.engine.managed import history_name
from txguard.engine.shard import ShardError
from txguard.errors import NotManageable, ShardDown

ACCOUNTS = (
    "CREATE TABLE accounts (id INT NOT NULL, owner VARCHAR(20), balance DECIMAL(10,2), PRIMARY KEY (id))"
)


@pytest.fixture(scope="module")
def servers(shard_servers) -> Iterator[Sequence[object]]:
    with pristine(shard_servers) as servers:
        yield servers


@pytest.fixture
async def bench(servers) -> AsyncIterator[Bench]:
    configured = {("shop", "configured"): Hint(TableKind.REFERENCE)}
    async with open_bench(servers, configured) as bench:
        await bench.create_database()
        yield bench


async def test_a_table_is_sharded_by_the_first_column_of_its_primary_key_and_versioned_everywhere(
    bench: Bench,
) -> None:
    await bench.create("CREATE TABLE t (b INT, a VARCHAR(9), PRIMARY KEY (a, b))")
    table = bench.catalog.require("shop", "t")
    assert (table.kind, table.shard_key, table.primary_key) == (TableKind.SHARDED, "a", ("a", "b"))
    assert [column.name for column in table.columns] == ["b", "a"]
    assert table.managed
    assert table.created_ts > 0
    for shard in bench.shards:
        triggers = "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'shop'"
        assert len(await bench.names(shard, triggers)) == 5
        assert history_name("shop", "t") in await bench.tables_on(shard, "_txguard")
        assert "_txg_ts" in await bench.names(shard, "SHOW COLUMNS FROM shop.t")


async def test_hints_come_from_the_statement_then_the_comment_then_the_configuration(bench: Bench) -> None:
    await bench.create(
        "CREATE TABLE a (x INT, y INT, PRIMARY KEY (x, y)) COMMENT='txguard: shard_key=y; mine'"
    )
    await bench.create("CREATE TABLE b (x INT PRIMARY KEY) COMMENT 'txguard: reference'")
    await bench.create("CREATE TABLE c (x INT PRIMARY KEY) COMMENT='txguard: single, home = s3'")
    await bench.create("CREATE TABLE configured (x INT PRIMARY KEY)")
    await bench.create(
        "CREATE TABLE d (x INT PRIMARY KEY) COMMENT='txguard: reference'", hints=[("kind", "single")]
    )
    kinds = {table.name: table.kind for table in bench.catalog.tables("shop")}
    assert bench.catalog.require("shop", "a").shard_key == "y"
    assert bench.catalog.require("shop", "c").home == "s3"
    assert [await bench.tables_on(shard) >= {"c"} for shard in bench.shards] == [False, False, True]
    assert kinds == {
        "a": TableKind.SHARDED,
        "b": TableKind.REFERENCE,
        "c": TableKind.SINGLE,
        "configured": TableKind.REFERENCE,
        "d": TableKind.SINGLE,
    }


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        (
            "CREATE TABLE t (id INT PRIMARY KEY, mail VARCHAR(9), UNIQUE KEY m (mail))",
            NotSupported,
            "unique key `m`",
        ),
        ("CREATE TABLE t (id VARCHAR(99), PRIMARY KEY (id(10)))", NotSupported, "prefix"),
        ("CREATE TABLE t (id DOUBLE PRIMARY KEY)", NotSupported, "type double"),
        ("CREATE TABLE t (id TIMESTAMP PRIMARY KEY)", NotSupported, "type timestamp"),
        ("CREATE TABLE t (id ENUM('a','b') PRIMARY KEY)", NotSupported, "type enum"),
        (
            "CREATE TABLE t (id VARCHAR(9) COLLATE utf8mb4_spanish2_ci PRIMARY KEY)",
            NotSupported,
            "utf8mb4_spanish2_ci",
        ),
        ("CREATE TABLE t (id INT PRIMARY KEY) ENGINE=MyISAM", NotManageable, "MyISAM"),
        (
            "CREATE TABLE t (id INT PRIMARY KEY, x INT) COMMENT='txguard: shard_key=x'",
            NotSupported,
            "not in the primary",
        ),
        ("CREATE TABLE t (id INT) COMMENT='txguard: reference'", NotManageable, "no primary key"),
        ("CREATE TABLE t (id INT PRIMARY KEY, _txg_ts INT)", NotManageable, "_txg_ts"),
        (
            "CREATE TABLE t (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES t (id))",
            NotSupported,
            "foreign key",
        ),
        (
            "CREATE TABLE t (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES accounts (id) ON DELETE CASCADE)",
            NotManageable,
            "CASCADE",
        ),
        ("CREATE TABLE t (id INT PRIMARY KEY, id INT)", ShardError, "Duplicate column"),
        ("CREATE TABLE t (PRIMARY KEY (id)) SELECT 1 AS id", NotSupported, "SELECT"),
    ],
)
async def test_what_is_refused_leaves_nothing(
    bench: Bench, text: str, error: type[Exception], says: str
) -> None:
    await bench.create(ACCOUNTS)
    with pytest.raises(error, match=says):
        await bench.create(text)
    assert bench.catalog.table("shop", "t") is None
    for shard in bench.shards:
        assert await bench.tables_on(shard) == {"accounts"}
    assert await bench.sql("s1", "SELECT * FROM _txguard.ddl_intent") == []


async def test_references_between_tables_that_live_together_are_made(bench: Bench) -> None:
    await bench.create(ACCOUNTS)
    await bench.create("CREATE TABLE kinds (k INT PRIMARY KEY) COMMENT='txguard: reference'")
    await bench.create(
        "CREATE TABLE entries (account INT, n INT, k INT, PRIMARY KEY (account, n),"
        " FOREIGN KEY (account) REFERENCES accounts (id), FOREIGN KEY (k) REFERENCES kinds (k))"
    )
    assert bench.catalog.require("shop", "entries").shard_key == "account"
    with pytest.raises(NotSupported, match="could be on different shards"):
        await bench.create(
            "CREATE TABLE notes (k INT PRIMARY KEY, a INT, FOREIGN KEY (a) REFERENCES accounts (id))"
        )
    with pytest.raises(ReferencedTable, match="truncate"):
        await bench.run(DdlKind.TRUNCATE_TABLE, "TRUNCATE accounts", "accounts")
    with pytest.raises(ReferencedTable, match="drop"):
        await bench.run(DdlKind.DROP_TABLE, "DROP TABLE accounts", "accounts")
    await bench.run(DdlKind.DROP_TABLE, "DROP TABLE accounts, entries", "accounts", "entries")
    assert {table.name for table in bench.catalog.tables()} == {"kinds"}


async def test_a_table_without_a_primary_key_is_single_and_says_so(bench: Bench) -> None:
    result = await bench.create("CREATE TABLE log (line TEXT)")
    table = bench.catalog.require("shop", "log")
    assert (table.kind, table.managed) == (TableKind.SINGLE, False)
    assert "no primary key" in result.warnings[0].message
    assert sum([("log" in await bench.tables_on(shard)) for shard in bench.shards]) == 1


async def test_names_that_are_taken(bench: Bench) -> None:
    await bench.create(ACCOUNTS)
    with pytest.raises(TableExists, match=r"^Table 'accounts' already exists$"):
        await bench.create(ACCOUNTS)
    result = await bench.create(ACCOUNTS, conditional=True)
    assert result.warnings[0][:2] == ("Note", 1050)
    await bench.sql("s2", "CREATE TABLE shop.stray (id INT PRIMARY KEY)")
    with pytest.raises(TableExists, match=r"ADOPT TABLE shop\.stray"):
        await bench.create("CREATE TABLE stray (id INT PRIMARY KEY)")
    with pytest.raises(UnknownDatabase):
        await bench.run(DdlKind.CREATE_TABLE, "CREATE TABLE x.y (id INT PRIMARY KEY)", "x.y")
    with pytest.raises(SystemDatabase):
        await bench.run(DdlKind.CREATE_TABLE, "CREATE TABLE mysql.y (id INT PRIMARY KEY)", "mysql.y")


async def test_a_copy_of_a_versioned_table_is_one_too(bench: Bench) -> None:
    await bench.create(ACCOUNTS)
    await bench.run(DdlKind.CREATE_TABLE, "CREATE TABLE depot LIKE shop.accounts", "depot")
    table = bench.catalog.require("shop", "depot")
    assert [column.name for column in table.columns] == ["id", "owner", "balance"]
    assert "_txg_ts" in await bench.names("s2", "SHOW COLUMNS FROM shop.depot")


async def test_drop_is_all_or_nothing(bench: Bench) -> None:
    await bench.create(ACCOUNTS)
    with pytest.raises(UnknownTable, match=r"'shop\.nothing'"):
        await bench.run(DdlKind.DROP_TABLE, "", "accounts", "nothing")
    assert bench.catalog.table("shop", "accounts") is not None
    result = await bench.run(DdlKind.DROP_TABLE, "", "accounts", "nothing", conditional=True)
    assert [warning.errno for warning in result.warnings] == [1051]
    assert bench.catalog.table("shop", "accounts") is None
    for shard in bench.shards:
        assert await bench.tables_on(shard) == set()
        assert history_name("shop", "accounts") not in await bench.tables_on(shard, "_txguard")


async def test_truncate_empties_every_shard_and_shuts_out_older_snapshots(bench: Bench) -> None:
    await bench.create(ACCOUNTS)
    before = bench.catalog.require("shop", "accounts")
    history = f"_txguard.{history_name('shop', 'accounts')}"
    await bench.everywhere(
        "SET @txg_start_ts = 7, @txg_floor = 1", "INSERT INTO shop.accounts (id) VALUES (1)"
    )
    await bench.everywhere("SET @txg_start_ts = 9, @txg_floor = 1", "UPDATE shop.accounts SET balance = 3")
    assert (await bench.sql("s1", f"SELECT COUNT(*) > 0 FROM {history}"))[0] == (1,)
    snapshot = await bench.workshop.now()
    await bench.run(DdlKind.TRUNCATE_TABLE, "TRUNCATE accounts", "accounts")
    after = bench.catalog.require("shop", "accounts")
    assert before.created_ts < snapshot < after.created_ts < TRUNCATING_TS
    assert (
        await bench.everywhere(f"SELECT (SELECT COUNT(*) FROM shop.accounts) + COUNT(*) FROM {history}")
        == [[(0,)]] * 3
    )
    with pytest.raises(NoSuchTable):
        await bench.run(DdlKind.TRUNCATE_TABLE, "TRUNCATE nothing", "nothing")


async def test_databases(bench: Bench) -> None:
    with pytest.raises(DatabaseExists):
        await bench.create_database("shop")
    await bench.sql("s2", "CREATE DATABASE depot")
    assert "depot" not in bench.catalog.schemas
    await bench.create_database("depot", "CREATE DATABASE depot CHARACTER SET latin1")
    assert "depot" in bench.catalog.schemas
    await bench.run(DdlKind.CREATE_TABLE, "CREATE TABLE depot.t (id INT PRIMARY KEY)", "depot.t")
    dropped = await bench.run(DdlKind.DROP_DATABASE, "DROP DATABASE depot", database="depot")
    assert dropped.affected_rows == 1
    assert "depot" not in bench.catalog.schemas
    assert history_name("depot", "t") not in await bench.tables_on("s3", "_txguard")
    with pytest.raises(NoSuchDatabase):
        await bench.run(DdlKind.DROP_DATABASE, "DROP DATABASE depot", database="depot")
    note = await bench.run(DdlKind.DROP_DATABASE, "", database="depot", conditional=True)
    assert note.warnings[0][:2] == ("Note", 1008)
    with pytest.raises(SystemDatabase):
        await bench.run(DdlKind.DROP_DATABASE, "", database="_txguard")
    await bench.sql("s1", "CREATE TABLE shop.stray (id INT)")
    with pytest.raises(NotSupported, match="stray"):
        await bench.run(DdlKind.DROP_DATABASE, "", database="shop")


async def test_indexes(bench: Bench) -> None:
    await bench.create(ACCOUNTS)
    await bench.run(DdlKind.CREATE_INDEX, "CREATE INDEX `by owner` ON accounts (owner)", "accounts")
    with pytest.raises(DuplicateIndex):
        await bench.run(DdlKind.CREATE_INDEX, "CREATE INDEX `by owner` ON accounts (owner)", "accounts")
    with pytest.raises(NotSupported, match="unique key `u`"):
        await bench.run(DdlKind.CREATE_INDEX, "CREATE UNIQUE INDEX u ON accounts (owner)", "accounts")
    await bench.run(DdlKind.CREATE_INDEX, "CREATE UNIQUE INDEX v ON accounts (owner, id)", "accounts")
    assert bench.catalog.require("shop", "accounts").unique_keys == (("owner", "id"),)
    keys = "SELECT DISTINCT INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'shop'"
    for shard in bench.shards:
        assert await bench.names(shard, keys) == {"PRIMARY", "by owner", "v"}
    await bench.run(DdlKind.DROP_INDEX, "DROP INDEX V ON accounts", "accounts")
    assert bench.catalog.require("shop", "accounts").unique_keys == ()
    with pytest.raises(NoSuchIndex):
        await bench.run(DdlKind.DROP_INDEX, "DROP INDEX v ON accounts", "accounts")


async def test_an_index_that_fails_on_one_shard_is_taken_off_the_others(bench: Bench) -> None:
    await bench.create("CREATE TABLE t (id INT PRIMARY KEY, x INT) COMMENT='txguard: reference'")
    row = "INSERT INTO shop.t (id, x) VALUES"
    await bench.sql("s3", "SET @txg_start_ts = 7, @txg_floor = 1", f"{row} (1, 1), (2, 1)")
    with pytest.raises(ShardError) as raised:
        await bench.run(DdlKind.CREATE_INDEX, "CREATE UNIQUE INDEX u ON t (x)", "t")
    assert raised.value.errno == 1062
    keys = "SELECT DISTINCT INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'shop'"
    for shard in bench.shards:
        assert await bench.names(shard, keys) == {"PRIMARY"}


async def test_a_table_with_rows_is_adopted_where_it_is(bench: Bench) -> None:
    await bench.sql(
        "s2", "CREATE TABLE shop.old (id INT PRIMARY KEY, x INT)", "INSERT INTO shop.old VALUES (1, 2)"
    )
    await bench.store.load()
    with pytest.raises(NoSuchTable, match=r"exists on s2: adopt it with: ADOPT TABLE shop\.old"):
        bench.catalog.require("shop", "old")
    await bench.run(DdlKind.ADOPT_TABLE, "ADOPT TABLE old", "old")
    table = bench.catalog.require("shop", "old")
    assert (table.kind, table.home, table.managed) == (TableKind.SINGLE, "s2", True)
    assert await bench.sql("s2", "SELECT id, x, _txg_ts FROM shop.old") == [(1, 2, 0)]
    with pytest.raises(NotAdoptable):
        await bench.run(DdlKind.ADOPT_TABLE, "ADOPT TABLE old", "old")


class Crash(BaseException):
    """Ends the process, as far as data definition can tell: nothing is cleaned up."""


@pytest.mark.parametrize("place", ["_spread", "_publish"])
async def test_a_create_that_was_cut_off_is_undone(bench: Bench, monkeypatch, place: str) -> None:
    async def crash(*arguments: object) -> None:
        raise Crash

    monkeypatch.setattr(f"proxy.ddl.create_table.{place}", crash)
    with pytest.raises(Crash):
        await bench.create(ACCOUNTS)
    monkeypatch.undo()
    assert any([await bench.tables_on(shard) for shard in bench.shards])
    bench.restart()
    await bench.store.load()
    assert bench.catalog.table("shop", "accounts") is None
    await bench.ddl.start()
    for shard in bench.shards:
        assert await bench.tables_on(shard) == set()
        assert history_name("shop", "accounts") not in await bench.tables_on(shard, "_txguard")
    await bench.create(ACCOUNTS)


async def test_a_table_that_has_rows_is_not_dropped_by_recovery(bench: Bench, monkeypatch) -> None:
    async def crash(*arguments: object) -> None:
        raise Crash

    monkeypatch.setattr("proxy.ddl.create_table._spread", crash)
    with pytest.raises(Crash):
        await bench.create(
            "CREATE TABLE t (id INT PRIMARY KEY) COMMENT='txguard: single, home=s1'",
            hints=[("home", "s1"), ("kind", "single")],
        )
    await bench.sql("s1", "INSERT INTO shop.t VALUES (1)")
    await bench.ddl.start()
    assert await bench.sql("s1", "SELECT * FROM shop.t") == [(1,)]


@pytest.mark.parametrize("kind", [DdlKind.DROP_TABLE, DdlKind.TRUNCATE_TABLE])
async def test_a_drop_or_truncate_that_was_cut_off_is_completed(
    bench: Bench, monkeypatch, kind: DdlKind
) -> None:
    await bench.create(ACCOUNTS)
    await bench.everywhere(
        "SET @txg_start_ts = 7, @txg_floor = 1", "INSERT INTO shop.accounts (id) VALUES (1)"
    )

    async def crash(*arguments: object) -> None:
        raise Crash

    name = "finish_drop" if kind is DdlKind.DROP_TABLE else "finish_truncate"
    monkeypatch.setattr(f"proxy.ddl.drop_table.{name}", crash)
    with pytest.raises(Crash):
        await bench.run(kind, "", "accounts")
    monkeypatch.undo()
    table = bench.catalog.table("shop", "accounts")
    assert table is None or table.created_ts == TRUNCATING_TS
    bench.restart()
    await bench.store.load()
    await bench.ddl.start()
    table = bench.catalog.table("shop", "accounts")
    if kind is DdlKind.DROP_TABLE:
        assert table is None
        assert [await bench.tables_on(shard) for shard in bench.shards] == [set()] * 3
    else:
        assert table is not None
        assert table.created_ts < TRUNCATING_TS
        assert await bench.everywhere("SELECT COUNT(*) FROM shop.accounts") == [[(0,)]] * 3


async def test_an_open_transaction_holds_a_drop_up_for_a_bounded_time(bench: Bench) -> None:
    await bench.create(ACCOUNTS)
    shard = next(iter(bench.shards.values()))
    async with shard.connection() as reader:
        await reader.run(["START TRANSACTION", "SELECT * FROM shop.accounts"], 5)
        with pytest.raises(ShardError) as raised:
            await bench.run(DdlKind.DROP_TABLE, "", "accounts")
        assert raised.value.errno == 1205
        assert bench.catalog.table("shop", "accounts") is None
        await reader.run(["ROLLBACK"], 5)
    await bench.create(ACCOUNTS)
    assert bench.catalog.table("shop", "accounts") is not None


async def test_data_definition_needs_every_shard(bench: Bench, monkeypatch) -> None:
    await bench.create(ACCOUNTS)
    dsn = bench.shards["s3"]._dsn  # type: ignore[index]
    bench.shards["s3"].close()  # type: ignore[index]
    monkeypatch.setattr(bench.shards["s3"], "_dsn", type(dsn)(host=dsn.host, port=1))  # type: ignore[index]
    with pytest.raises(ShardDown, match="shard s3"):
        await bench.run(DdlKind.DROP_TABLE, "", "accounts")
    monkeypatch.undo()
    assert bench.catalog.table("shop", "accounts") is not None


@pytest.mark.parametrize("arrived", [True, False])
async def test_a_create_whose_last_answer_was_lost_is_kept_if_it_was_made(
    bench: Bench, monkeypatch, arrived: bool
) -> None:
    """The catalog's change either was made or was not; the table must be there exactly when it was."""
    change = bench.store.change

    async def lose(changes: Sequence[str]) -> Catalog:
        if arrived:
            await change(changes)
        raise ShardDown("the connection broke")

    monkeypatch.setattr(bench.store, "change", lose)
    with pytest.raises(ShardDown):
        await bench.create(ACCOUNTS)
    monkeypatch.undo()
    await bench.store.load()
    for shard in bench.shards:
        assert await bench.tables_on(shard) == ({"accounts"} if arrived else set())
    assert (bench.catalog.table("shop", "accounts") is not None) is arrived


async def test_what_open_transactions_held_up_is_completed_when_they_end(bench: Bench) -> None:
    await bench.create(ACCOUNTS)
    await bench.sql(
        "s1", "SET @txg_start_ts = 7, @txg_floor = 1", "INSERT INTO shop.accounts (id) VALUES (1)"
    )
    async with next(iter(bench.shards.values())).connection() as reader:
        await reader.run(["START TRANSACTION", "SELECT * FROM shop.accounts"], 5)
        with pytest.raises(ShardError):
            await bench.run(DdlKind.TRUNCATE_TABLE, "TRUNCATE accounts", "accounts")
        assert bench.catalog.require("shop", "accounts").created_ts == TRUNCATING_TS
        await reader.run(["ROLLBACK"], 5)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        watcher = group.create_task(bench.ddl.watch(0.05))
        while bench.catalog.require("shop", "accounts").created_ts == TRUNCATING_TS:
            await asyncio.sleep(0.05)
        watcher.cancel()
    assert await bench.sql("s1", "SELECT COUNT(*) FROM shop.accounts") == [(0,)]
