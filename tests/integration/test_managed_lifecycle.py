"""Making a table a managed one and an ordinary one again: adoption, refusals, and a crash at every step."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence

import pytest

from tests.integration.managed_sessions import OneShard, dump_query
from txguard.engine.install import install
from txguard.engine.managed import ManagedTable, describe, list_managed, manage, unmanage
from txguard.engine.shard import Connection, Rows
from txguard.engine.triggers import REFUSED_ERRNO
from txguard.errors import NotManageable

PLAIN = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9))"


class Schema:
    """A database of one test's own."""

    def __init__(self, shard: OneShard, name: str) -> None:
        self.shard, self.name = shard, name

    async def run(self, *statements: str) -> list[Sequence[Sequence[object]]]:
        return [list(rows) for rows in await self.shard.run(f"USE {self.name}", *statements)][1:]

    async def manage(self, table: str = "t") -> ManagedTable:
        async with self.shard.shard.connection() as connection:
            return await manage(connection, self.name, table)

    async def unmanage(self, table: str = "t") -> None:
        async with self.shard.shard.connection() as connection:
            await unmanage(connection, self.name, table)

    async def definition(self) -> str:
        [[(_, text)]] = await self.run("SHOW CREATE TABLE t")
        return str(text)

    async def triggers(self) -> list[tuple[object, ...]]:
        [rows] = await self.run(
            "SELECT TRIGGER_NAME, ACTION_STATEMENT, CREATED, SQL_MODE FROM information_schema.TRIGGERS "
            f"WHERE TRIGGER_SCHEMA = '{self.name}' ORDER BY 1"
        )
        return [tuple(row) for row in rows]

    async def histories(self) -> list[str]:
        [rows] = await self.run(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = '_txguard' AND TABLE_NAME LIKE 'h%'"
        )
        return [str(row[0]) for row in rows]


@pytest.fixture
async def schema(shard_servers) -> AsyncIterator[Schema]:
    server = shard_servers[0]
    shard = OneShard.at(server.host, server.port, server.user, server.password)
    name = f"l_{uuid.uuid4().hex[:12]}"
    await shard.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    async with shard.shard.connection() as connection:
        await install(connection)
    yield Schema(shard, name)
    shard.close()
    await shard.run("SET foreign_key_checks = 0", f"DROP DATABASE {name}", "DROP DATABASE _txguard")
    shard.close()


async def test_adopts_a_table_with_its_rows(schema: Schema) -> None:
    await schema.run(PLAIN, "INSERT INTO t VALUES (1, 'old'), (2, 'older')")
    table = await schema.manage()
    assert [tuple(row) for row in (await schema.run(dump_query(table)))[0]] == [
        ("1", "6F6C64", 0),
        ("2", "6F6C646572", 0),
    ]
    assert await schema.run("SELECT * FROM t") == [[(1, "old"), (2, "older")]], "the writer does not show"
    async with schema.shard.shard.connection() as connection:
        assert await list_managed(connection) == [table]
        assert await describe(connection, schema.name, "t") == table


async def test_managing_again_changes_nothing(schema: Schema) -> None:
    await schema.run(PLAIN)
    first = await schema.manage()
    await schema.shard.commit_one(schema.name, "INSERT INTO t VALUES (1, 'x')")
    triggers = await schema.triggers()
    assert len(triggers) == 5
    assert await schema.manage() == first
    assert await schema.triggers() == triggers, "not even created anew"
    assert len((await schema.run(f"SELECT * FROM {first.history}"))[0]) == 1


async def test_unmanage_leaves_the_plain_table(schema: Schema) -> None:
    await schema.run(PLAIN)
    before = await schema.definition()
    table = await schema.manage()
    await schema.shard.commit_one(schema.name, "INSERT INTO t VALUES (1, 'x')")
    await schema.unmanage()
    assert await schema.definition() == before
    assert await schema.triggers() == []
    assert table.history_name not in await schema.histories()
    await schema.run("UPDATE t SET v = 'y'")
    await schema.unmanage()
    async with schema.shard.shard.connection() as connection:
        assert await list_managed(connection) == []


async def test_an_altered_table_is_refused_until_it_is_unmanaged(schema: Schema) -> None:
    await schema.run(PLAIN)
    await schema.manage()
    await schema.run("CREATE UNIQUE INDEX u ON t (v)")
    assert (await schema.manage()).constrained == ("id", "v"), "an index does not matter to history"
    await schema.run("ALTER TABLE t ADD COLUMN w INT")
    with pytest.raises(NotManageable, match="was altered"):
        await schema.manage()
    await schema.unmanage()
    assert "w" in (await schema.manage()).column_names


async def test_outdated_triggers_are_replaced(schema: Schema) -> None:
    await schema.run(PLAIN)
    table = await schema.manage()
    wanted = [row[:2] for row in await schema.triggers()]
    name = table.trigger_name("bu")
    await schema.run(
        f"DROP TRIGGER {name}", f"CREATE TRIGGER {name} BEFORE UPDATE ON t FOR EACH ROW SET @old = 1"
    )
    await schema.manage()
    assert [row[:2] for row in await schema.triggers()] == wanted


async def test_triggers_do_not_depend_on_the_session_that_made_them(schema: Schema) -> None:
    await schema.run(PLAIN)
    async with schema.shard.shard.connection() as connection:
        await connection.run(["SET SESSION sql_mode = 'ANSI,TRADITIONAL'"], 5)
        await manage(connection, schema.name, "t")
        [mode] = await connection.run(["SELECT @@SESSION.sql_mode"], 5)
        assert "ANSI" in str(mode.rows[0][0])
        await connection.run(["SET SESSION sql_mode = DEFAULT"], 5)
    modes = {row[3] for row in await schema.triggers()}
    assert len(modes) == 1
    assert "ANSI" not in str(modes)


class CrashingConnection:
    """Passes packets on until it has run `left` of them, then is gone."""

    def __init__(self, connection: Connection, left: int) -> None:
        self._connection, self._left = connection, left

    @property
    def thread_id(self) -> int:
        return self._connection.thread_id

    @property
    def closed(self) -> bool:
        return self._connection.closed

    async def run(self, statements: Sequence[str], timeout_s: float | None) -> list[Rows]:
        """One statement at a time, so that a crash can come between any two."""
        answers = []
        for statement in statements:
            if self._left == 0:
                raise InterruptedError
            self._left -= 1
            answers += await self._connection.run([statement], timeout_s)
        return answers

    def abort(self) -> None:
        self._connection.abort()


async def _crashes(schema: Schema, work: object, steps: int) -> bool:
    connection = await schema.shard.shard.acquire(5)
    try:
        await work(CrashingConnection(connection, steps), schema.name, "t")  # type: ignore[operator]
    except InterruptedError:
        return True
    finally:
        connection.abort()
        schema.shard.shard.release(connection)
    return False


async def test_manage_goes_on_after_a_crash_at_any_step(schema: Schema) -> None:
    await schema.run(PLAIN, "INSERT INTO t VALUES (1, 'x')")
    steps = 0
    while await _crashes(schema, manage, steps):
        table = await schema.manage()
        await schema.shard.commit_one(schema.name, "UPDATE t SET v = 'y'", "UPDATE t SET v = 'x'")
        assert len((await schema.run(f"SELECT * FROM {table.history}"))[0]) == 1
        await schema.unmanage()
        assert "_txg_ts" not in await schema.definition()
        steps += 1
    assert steps > 10


async def test_unmanage_goes_on_after_a_crash_at_any_step(schema: Schema) -> None:
    await schema.run(PLAIN)
    plain = await schema.definition()
    await schema.manage()
    steps = 0
    while await _crashes(schema, unmanage, steps):
        if steps % 2:
            await schema.manage()
            await schema.shard.commit_one(schema.name, "INSERT INTO t VALUES (1, 'x')", "DELETE FROM t")
        await schema.unmanage()
        assert await schema.definition() == plain
        await schema.manage()
        steps += 1
    assert steps > 5


async def test_a_history_left_by_a_dropped_table_is_thrown_away(schema: Schema) -> None:
    await schema.run(PLAIN)
    await schema.manage()
    await schema.shard.commit_one(schema.name, "INSERT INTO t VALUES (1, 'x')")
    await schema.run("DROP TABLE t", "CREATE TABLE t (a DATE, b INT, PRIMARY KEY (b, a))")
    table = await schema.manage()
    assert await schema.run(f"SELECT * FROM {table.history}") == [[]]
    await schema.shard.commit_one(schema.name, "INSERT INTO t VALUES ('2024-01-01', 1)")
    assert len((await schema.run(f"SELECT * FROM {table.history}"))[0]) == 1


@pytest.mark.parametrize("name", ["a`b 'c\\ d" + "e" * 54, "ä" * 50, "select"])
async def test_awkward_names(schema: Schema, name: str) -> None:
    column = "order`by"
    quoted = name.replace("`", "``")
    await schema.run(
        f"CREATE TABLE `{quoted}` (`{column.replace('`', '``')}` INT PRIMARY KEY, `new` INT, `old` INT)"
    )
    table = await schema.manage(name)
    assert (table.name, table.primary_key) == (name, (column,))
    await schema.shard.commit_one(
        schema.name, f"INSERT INTO `{quoted}` VALUES (1, 2, 3)", f"DELETE FROM `{quoted}`"
    )
    await schema.unmanage(name)


CHILD = "CREATE TABLE t (id INT PRIMARY KEY, p INT, CONSTRAINT fk_p FOREIGN KEY (p) REFERENCES p (id) {})"
REFUSED = {
    "no primary key": (["CREATE TABLE t (id INT)"], "no primary key"),
    "prefix": (["CREATE TABLE t (s VARCHAR(50), PRIMARY KEY (s(10)))"], "prefix of s"),
    "cascade": (
        ["CREATE TABLE p (id INT PRIMARY KEY)",
         CHILD.format("ON DELETE CASCADE")],
        "fk_p is ON DELETE CASCADE"),
    "set null": (
        ["CREATE TABLE p (id INT PRIMARY KEY)",
         CHILD.format("ON UPDATE SET NULL")],
        "fk_p is ON UPDATE SET NULL"),
    "trigger": ([PLAIN, "CREATE TRIGGER mine BEFORE INSERT ON t FOR EACH ROW SET @x = 1"], "trigger, mine"),
    "engine": (["CREATE TABLE t (id INT PRIMARY KEY) ENGINE=MyISAM"], "engine is MyISAM"),
    "view": (["CREATE VIEW t AS SELECT 1 AS id"], "it is a view"),
    "column": (["CREATE TABLE t (id INT PRIMARY KEY, _txg_ts INT)"], "column _txg_ts"),
    "missing": ([], "no table"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_refuses(schema: Schema, case: str) -> None:
    statements, reason = REFUSED[case]
    await schema.run(*statements)
    with pytest.raises(NotManageable, match=reason):
        await schema.manage()
    async with schema.shard.shard.connection() as connection:
        assert await list_managed(connection) == []
    assert await schema.histories() == []


async def test_refuses_a_generated_column_in_the_primary_key(schema: Schema) -> None:
    try:
        await schema.run("CREATE TABLE t (a INT, b INT GENERATED ALWAYS AS (a + 1) STORED, PRIMARY KEY (b))")
    except Exception as error:
        pytest.skip(f"the server does not allow it: {error}")
    with pytest.raises(NotManageable, match="b in its primary key is a generated column"):
        await schema.manage()


async def test_foreign_keys_that_only_refuse_are_allowed(schema: Schema) -> None:
    await schema.run(
        "CREATE TABLE p (id INT PRIMARY KEY)",
        "CREATE TABLE t (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p (id) ON DELETE RESTRICT)",
    )
    assert (await schema.manage("t")).constrained == ("id", "p")
    await schema.manage("p")


async def test_nobody_writes_around_the_protocol(schema: Schema) -> None:
    await schema.run(PLAIN)
    table = await schema.manage()
    transaction = await schema.shard.commit_one(schema.name, "INSERT INTO t VALUES (1, 'x')")
    plain = await schema.shard.begin(schema.name)
    await plain.do("SET @txg_start_ts = NULL")
    for verb in ("INSERT", "INSERT IGNORE", "REPLACE"):
        refused = await plain.do(f"{verb} INTO t VALUES (2, 'y')")
        assert refused.error is not None
        assert refused.error.errno == REFUSED_ERRNO
    for statement in (
        "UPDATE t SET v = 'y'",
        "UPDATE IGNORE t SET v = 'y'",
        "DELETE FROM t",
        "DELETE IGNORE FROM t",
    ):
        refused = await plain.do(statement)
        assert refused.error is not None
        assert refused.error.errno == REFUSED_ERRNO
        assert "TxGuard" in refused.error.message
    await plain.do("SET @txg_bypass = 1")
    for statement in (
        "UPDATE t SET v = 'fixed'",
        "INSERT INTO t VALUES (5, 'y')",
        "DELETE FROM t WHERE id = 5",
    ):
        assert (await plain.do(statement)).error is None
    assert await plain.rows(dump_query(table)) == [("1", "6669786564", transaction.start_ts)]
    assert len(await plain.rows(f"SELECT * FROM {table.history}")) == 1, "only the marker of the first insert"
    await plain.rollback()
