"""[R3] The patched form: the WHERE reaches both halves, and the columns stay what they were."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from tests.integration.managed_sessions import OneShard
from txguard.engine.aiomysql_shard import AiomysqlConnection
from txguard.engine.install import install
from txguard.engine.managed import ManagedTable, manage
from txguard.engine.patch import NewerThan, changes_type, patched_source

ROWS = 2000
TABLE = """CREATE TABLE t (
  id INT PRIMARY KEY, k INT, c CHAR(5) COLLATE utf8mb4_bin, v VARCHAR(9) CHARACTER SET latin1 COLLATE latin1_german2_ci,
  x TEXT, b BLOB, d DECIMAL(12,3), f DOUBLE, ts TIMESTAMP(2) NULL, dt DATETIME, tm TIME(1), y YEAR, bits BIT(9),
  j JSON, bn BINARY(3), big BIGINT UNSIGNED, KEY (k))"""


@pytest.fixture
async def table(shard_servers) -> AsyncIterator[tuple[OneShard, ManagedTable, list[int]]]:
    """A table with a long history, of which two transactions have just changed every tenth row, and those two."""
    server = shard_servers[0]
    shard = OneShard.at(server.host, server.port, server.user, server.password)
    schema = f"p_{uuid.uuid4().hex[:12]}"
    await shard.run(
        f"CREATE DATABASE {schema} CHARACTER SET utf8mb4",
        f"USE {schema}",
        TABLE,
        "INSERT INTO t (id, k) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
        "SELECT i, i FROM n UNION ALL SELECT i + 1000, i FROM n",
    )
    async with shard.shard.connection() as connection:
        await install(connection)
        managed = await manage(connection, schema, "t")
    await shard.commit_one(schema, "UPDATE t SET k = k + 1")
    writers = [
        await shard.commit_one(schema, f"UPDATE t SET k = k + 5000 WHERE id % 20 = {rest}")
        for rest in (0, 10)
    ]
    yield shard, managed, [writer.start_ts for writer in writers]
    shard.close()
    await shard.run(f"DROP DATABASE {schema}", "DROP DATABASE _txguard")
    shard.close()


async def rows_read(connection: AiomysqlConnection, query: str) -> int:
    status = "SHOW SESSION STATUS LIKE 'Handler_read%'"
    before, _, after = await connection.run([status, query, status], 30)
    return sum(int(row[1] or 0) for row in after.rows) - sum(int(row[1] or 0) for row in before.rows)


@pytest.mark.parametrize("form", ["list", "subquery"])
@pytest.mark.parametrize("where", ["id = 20", "id BETWEEN 20 AND 29", "k = 22", "id IN (20, 21, 22)"])
async def test_the_where_reaches_both_halves(
    table: tuple[OneShard, ManagedTable, list[int]], where: str, form: str
) -> None:
    shard, managed, writers = table
    columns = managed.column_names
    too_new = writers if form == "list" else NewerThan(writers[0])
    source = patched_source(managed.schema, "t", columns, too_new, "t")
    async with shard.shard.connection() as connection:
        await connection.run([f"ANALYZE TABLE {managed.source}, {managed.history}"], 30)
        read = await rows_read(connection, f"SELECT * FROM {source} WHERE {where}")
        everything = await rows_read(connection, f"SELECT * FROM {source}")
    assert everything > ROWS
    changed = ROWS // 10  # a condition that is not on the key looks through the writers' history
    on_the_key = where.startswith("id") and form == "list"
    assert read < (60 if on_the_key else changed + 60)


async def test_names_types_and_collations_stay(table: tuple[OneShard, ManagedTable, list[int]]) -> None:
    shard, managed, writers = table
    columns = managed.column_names
    source = patched_source(managed.schema, "t", columns, writers, "t")
    shape = (
        "SELECT COLUMN_NAME, IF(DATA_TYPE LIKE '%text', 'text', COLUMN_TYPE), COLLATION_NAME "
        "FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{}' "
        "AND COLUMN_NAME <> '_txg_ts' ORDER BY ORDINAL_POSITION"
    )
    *_, direct, through = await shard.run(
        f"USE {managed.schema}",
        f"CREATE TABLE u AS SELECT * FROM {source} WHERE FALSE",
        shape.format("t"),
        shape.format("u"),
    )
    assert through == direct


@pytest.mark.parametrize("column_type", ["ENUM('b','a')", "SET('b','a')", "INT(6) ZEROFILL"])
async def test_types_that_do_not_stay_are_named(
    table: tuple[OneShard, ManagedTable, list[int]], column_type: str
) -> None:
    """Should a server ever keep them, `changes_type` may let them pass."""
    shard, managed, _ = table
    query = (
        "SELECT COLUMN_TYPE FROM information_schema.COLUMNS "
        f"WHERE TABLE_SCHEMA = '{managed.schema}' AND COLUMN_NAME = 'e'"
    )
    *_, types = await shard.run(
        f"USE {managed.schema}",
        f"CREATE TABLE one (e {column_type})",
        "CREATE TABLE two AS SELECT e FROM one UNION ALL SELECT e FROM one",
        f"{query} ORDER BY TABLE_NAME",
    )
    [(direct,), (through,)] = types
    assert direct != through
    assert changes_type(column_type.partition("(")[0], str(direct))
