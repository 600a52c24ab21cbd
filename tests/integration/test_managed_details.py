"""Corners of the triggers that a statement beside its plain twin does not reach."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pymysql
import pytest

from proxy.playground.servers import ServerKind
from tests.integration.managed_sessions import OneShard, dump_query, history_query
from txguard.engine.install import install
from txguard.engine.managed import ManagedTable, manage
from txguard.engine.undo import undo

ROW_IS_REFERENCED = 1451


class Place:
    def __init__(self, shard: OneShard, schema: str) -> None:
        self.shard, self.schema = shard, schema

    async def make(self, *statements: str, managed: Sequence[str] = ("t",)) -> list[ManagedTable]:
        await self.shard.run(f"USE {self.schema}", *statements)
        async with self.shard.shard.connection() as connection:
            return [await manage(connection, self.schema, name) for name in managed]


@pytest.fixture
async def place(shard_servers) -> AsyncIterator[Place]:
    server = shard_servers[0]
    shard = OneShard.at(server.host, server.port, server.user, server.password)
    schema = f"d_{uuid.uuid4().hex[:12]}"
    await shard.run(f"CREATE DATABASE {schema} CHARACTER SET utf8mb4")
    async with shard.shard.connection() as connection:
        await install(connection)
    yield Place(shard, schema)
    shard.close()
    await shard.run("SET foreign_key_checks = 0", f"DROP DATABASE {schema}", "DROP DATABASE _txguard")
    shard.close()


FAMILY = (
    "CREATE TABLE p (id INT PRIMARY KEY, code INT, v INT, /*!80400 UNIQUE */ KEY (code))",  # MySQL demands it
    "CREATE TABLE t (id INT PRIMARY KEY, p INT, code INT, "
    "FOREIGN KEY (p) REFERENCES p (id), FOREIGN KEY (code) REFERENCES p (code))",
    "INSERT INTO p VALUES (1, 10, 0), (2, 20, 0), (3, 30, 0)",
    "INSERT INTO t VALUES (1, 1, 10), (2, 2, 20)",
)
SKIPPING = {
    "delete": ("DELETE IGNORE FROM p", {"p": 1}),
    "update the parent's key": ("UPDATE IGNORE p SET id = id + 10", {"p": 1}),
    "update a referenced column": ("UPDATE IGNORE p SET code = code + 1, v = 7", {"p": 1}),
    "update the child": ("UPDATE IGNORE t SET p = IF(id = 1, 3, 99)", {"t": 1}),
    "update both": (
        "UPDATE IGNORE p JOIN t ON t.p = p.id SET p.code = 5, t.code = IF(t.id = 1, 30, 99)",
        {"t": 1},
    ),
}


@pytest.mark.parametrize("case", SKIPPING)
async def test_rows_that_ignore_skips_over_a_foreign_key_leave_no_history(place: Place, case: str) -> None:
    statement, changed = SKIPPING[case]
    tables = await place.make(*FAMILY, managed=("p", "t"))
    transaction = await place.shard.begin(place.schema)
    before = {table.name: await transaction.rows(dump_query(table)) for table in tables}
    assert (await transaction.do(statement)).error is None
    for table in tables:
        after = await transaction.rows(dump_query(table))
        different = set(before[table.name]) - set(after)
        history = await transaction.rows(history_query(table, transaction.start_ts))
        old = {(*row[2:], row[1]) for row in history if row[0] != "I"}
        assert old == different
        assert len(old) == changed.get(table.name, 0)
    await transaction.commit()
    async with place.shard.shard.connection() as connection:
        await undo(connection, tables, transaction.start_ts)
    for table in tables:
        [rows] = await place.shard.run(dump_query(table))
        assert [tuple(row) for row in rows] == before[table.name]


async def test_undo_restores_parent_and_child_in_any_order(place: Place) -> None:
    tables = await place.make(*FAMILY, managed=("p", "t"))
    [before] = await place.shard.run(dump_query(tables[0]))
    transaction = await place.shard.commit_one(
        place.schema, "DELETE FROM t", "DELETE FROM p", "INSERT INTO p (id) VALUES (1)"
    )
    async with place.shard.shard.connection() as connection:
        await undo(connection, tables, transaction.start_ts)
        [checks] = await connection.run(["SELECT @@foreign_key_checks, @txg_bypass, @@sql_mode <> ''"], 5)
    assert list(checks.rows) == [(1, None, 1)], "the session is as it was"
    assert (await place.shard.run(dump_query(tables[0])))[0] == before
    deleted = await place.shard.begin(place.schema)
    reply = await deleted.do("DELETE FROM p WHERE id = 1")
    assert reply.error is not None
    assert reply.error.errno == ROW_IS_REFERENCED, "the child is back"
    await deleted.rollback()


async def test_undo_restores_rows_that_a_strict_session_could_not_write(place: Place) -> None:
    [table] = await place.make(
        "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'",
        "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, d DATE, z DATE, at TIMESTAMP NULL, e ENUM('a'))",
        "INSERT INTO t VALUES (0, '2024-02-31', '0000-00-00', '0000-00-00', 'no such'), (1, NULL, NULL, NULL, NULL)",
        "SET SESSION sql_mode = 'TRADITIONAL'",
    )
    [before] = await place.shard.run(dump_query(table))
    transaction = await place.shard.commit_one(place.schema, "DELETE FROM t")
    async with place.shard.shard.connection() as connection:
        await connection.run(["SET SESSION sql_mode = 'TRADITIONAL'"], 5)
        await undo(connection, [table], transaction.start_ts)
        await connection.run(["SET SESSION sql_mode = DEFAULT"], 5)
    assert (await place.shard.run(dump_query(table)))[0] == before


async def test_undo_leaves_the_rows_of_others(place: Place) -> None:
    """It has only a marker of this key: it inserted the row and deleted it again."""
    [table] = await place.make("CREATE TABLE t (id INT PRIMARY KEY)")
    transaction = await place.shard.commit_one(place.schema, "INSERT INTO t VALUES (1)", "DELETE FROM t")
    other = await place.shard.commit_one(place.schema, "INSERT INTO t VALUES (1)")
    async with place.shard.shard.connection() as connection:
        await undo(connection, [table], transaction.start_ts)
    assert (await place.shard.run("SELECT 1", dump_query(table)))[1] == (("1", other.start_ts),)


async def test_undo_counts(place: Place) -> None:
    await place.make("CREATE TABLE t (id INT PRIMARY KEY)")
    transaction = await place.shard.commit_one(place.schema, "INSERT INTO t VALUES (1)")
    participants = f"({transaction.start_ts}, {transaction.commit_ts}, 's1,s2')"
    await place.shard.run(
        f"INSERT INTO _txguard.txn_lock (start_ts, commit_ts, participants) VALUES {participants}"
    )
    [[(count,)]] = await place.shard.run("SELECT n FROM _txguard.rollback_counter")
    async with place.shard.shard.connection() as connection:
        await undo(connection, [], transaction.start_ts)
    assert await place.shard.run(
        "SELECT n FROM _txguard.rollback_counter", "SELECT * FROM _txguard.txn_lock"
    ) == [
        ((int(count or 0) + 1,),),
        (),
    ]


TOUCHED = (
    "CREATE TABLE t (id INT PRIMARY KEY, v INT, at DATETIME NULL DEFAULT NULL ON UPDATE CURRENT_TIMESTAMP)"
)


async def test_on_update_current_timestamp(place: Place) -> None:
    [table] = await place.make(TOUCHED, "INSERT INTO t VALUES (1, 1, '2020-01-01')")
    transaction = await place.shard.begin(place.schema)
    await transaction.do("SET timestamp = 1700000000")
    assert (await transaction.do("UPDATE t SET v = 2")).affected_rows == 1
    assert (await transaction.do("UPDATE t SET v = 2")).affected_rows == 0, "own row, nothing changed"
    assert await transaction.rows("SELECT v, at = NOW(), _txg_ts FROM t") == [(2, 1, transaction.start_ts)]
    assert (
        len(await transaction.rows(f"SELECT * FROM {table.history} WHERE v = 1 AND at = '2020-01-01'")) == 1
    )
    await transaction.rollback()

    transaction = await place.shard.begin(place.schema)
    assert (await transaction.do("UPDATE t SET at = NOW()")).affected_rows == 1, "touched on purpose"
    assert await transaction.rows("SELECT _txg_ts FROM t") == [(transaction.start_ts,)]
    await transaction.rollback()


async def test_an_update_that_changes_nothing_of_a_row_with_on_update(
    place: Place, server_kind: ServerKind
) -> None:
    """MariaDB shows the triggers a new time before it knows whether the row changes, so there the row is touched."""
    await place.make(TOUCHED, "INSERT INTO t VALUES (1, 1, '2020-01-01')")
    transaction = await place.shard.begin(place.schema)
    touched = server_kind is ServerKind.MARIADB
    assert (await transaction.do("UPDATE t SET v = 1")).affected_rows == touched
    expected = (not touched, transaction.start_ts if touched else 0)
    assert await transaction.rows("SELECT at = '2020-01-01', _txg_ts FROM t") == [expected]
    await transaction.rollback()


async def test_load_data(place: Place, shard_servers, tmp_path: Path) -> None:
    [table] = await place.make(
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9))", "INSERT INTO t VALUES (1, 'old')"
    )
    rows = tmp_path / "rows.csv"
    rows.write_text("1\tnew\n2\ttwo\n")
    [[(allowed,)]] = await place.shard.run("SELECT @@GLOBAL.local_infile")
    await place.shard.run("SET GLOBAL local_infile = 1")
    server = shard_servers[0]
    connection = pymysql.connect(
        host=server.host, port=server.port, user=server.user, password=server.password, local_infile=True
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET @txg_start_ts = 77, @txg_floor = 1")
            load = "LOAD DATA LOCAL INFILE %s {} INTO TABLE {}"
            cursor.execute(load.format("", table.source), (str(rows),))
            cursor.execute(f"SELECT id, v, _txg_ts FROM {table.source}")
            assert cursor.fetchall() == ((1, "old", 0), (2, "two", 77)), "LOCAL ignores duplicates"
            cursor.execute(load.format("REPLACE", table.source), (str(rows),))
            cursor.execute(f"SELECT id, v, _txg_ts FROM {table.source}")
            assert cursor.fetchall() == ((1, "new", 77), (2, "two", 77))
            cursor.execute(f"SELECT id, _txg_op, v FROM {table.history} ORDER BY id")
            assert cursor.fetchall() == ((1, "D", "old"), (2, "I", None))
            cursor.execute("SET @txg_start_ts = NULL")
            with pytest.raises(pymysql.MySQLError, match="managed by TxGuard"):
                cursor.execute(load.format("", table.source), (str(rows),))
    finally:
        connection.close()
        await place.shard.run(f"SET GLOBAL local_infile = {int(allowed or 0)}")


async def test_found_rows_clients_count_matched_rows(place: Place, shard_servers) -> None:
    [table] = await place.make(
        "CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1), (2, 2)"
    )
    server = shard_servers[0]
    connection = pymysql.connect(
        host=server.host, port=server.port, user=server.user, password=server.password,
        client_flag=pymysql.constants.CLIENT.FOUND_ROWS,
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SET @txg_start_ts = 77, @txg_floor = 1")
        assert cursor.execute(f"UPDATE {table.source} SET v = 1") == 2
        cursor.execute(f"DELETE FROM {table.source} WHERE id = 1")
        assert cursor.execute(f"INSERT INTO {table.source} VALUES (1, 5)") == 1
        cursor.execute(f"SELECT id, _txg_op FROM {table.history} ORDER BY id")
        assert cursor.fetchall() == ((1, "D"), (2, "U"))
    connection.close()


async def test_a_savepoint_takes_history_back_with_the_rows(place: Place) -> None:
    [table] = await place.make("CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1)")
    transaction = await place.shard.begin(place.schema)
    for statement in ("SAVEPOINT s", "UPDATE t SET v = 2", "ROLLBACK TO s"):
        await transaction.do(statement)
    assert await transaction.rows(f"SELECT * FROM {table.history}") == []
    await transaction.do("DELETE FROM t")
    assert len(await transaction.rows(f"SELECT * FROM {table.history}")) == 1
    await transaction.rollback()


async def test_the_look_up_in_txn_takes_no_locks(place: Place, server_kind: ServerKind) -> None:
    """Gap locks there would stall every commit on the shard."""
    await place.make("CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1)")
    await place.shard.commit_one(place.schema, "UPDATE t SET v = 2")
    transaction = await place.shard.begin(place.schema, snapshot=True)
    for statement in (
        "UPDATE t SET v = 3",
        "UPDATE t SET id = 5",
        "DELETE FROM t",
        "INSERT INTO t VALUES (1, 1)",
    ):
        assert (await transaction.do(statement)).error is None
    if server_kind is ServerKind.MYSQL:
        [locks] = await place.shard.run(
            "SELECT * FROM performance_schema.data_locks WHERE OBJECT_SCHEMA = '_txguard' AND OBJECT_NAME = 'txn'"
        )
        assert locks == ()
    # MariaDB shows locks only where somebody waits: a commit must not.
    other = await place.shard.begin(place.schema)
    await other.do("SET innodb_lock_wait_timeout = 1")
    assert (await other.do("INSERT INTO _txguard.txn VALUES (999999, 1, 'C', NULL)")).error is None
    assert (await other.do("INSERT INTO _txguard.txn VALUES (99999999, 1, 'C', NULL)")).error is None
    await other.rollback()
    await transaction.rollback()


SAME_OR_NOT = {
    "float sign of zero": ("FLOAT", "0e0", "-0e0"),
    "double sign of zero": ("DOUBLE", "-0e0", "0e0"),
    "double null": ("DOUBLE", "NULL", "0e0"),
    "decimal digits": ("DECIMAL(9,3)", "1.5", "1.50"),
    "case": ("VARCHAR(9) COLLATE utf8mb4_general_ci", "'a'", "'A'"),
    "accent": ("VARCHAR(9) COLLATE utf8mb4_general_ci", "'a'", "'ä'"),
    "trailing space": ("VARCHAR(9) COLLATE utf8mb4_general_ci", "'a'", "'a '"),
    "trailing space of char": ("CHAR(9) COLLATE utf8mb4_general_ci", "'a'", "'a '"),
    "text": ("TEXT COLLATE utf8mb4_general_ci", "'a'", "'A'"),
    "empty and null": ("VARCHAR(9)", "''", "NULL"),
    "utf16": ("VARCHAR(9) CHARACTER SET utf16", "'a'", "'A'"),
    "binary length": ("VARBINARY(9)", "X'00'", "X'0000'"),
    "padded binary": ("BINARY(2)", "X'41'", "X'4100'"),
    "blob": ("BLOB", "X'00'", "X'01'"),
    "no such member": ("ENUM('', 'a')", "''", "'no such'"),
    "order of members": ("SET('a', 'b')", "'a,b'", "'b,a'"),
    "high bit": ("BIT(64)", "b'0'", "0x8000000000000000"),
    "json number": ("JSON", "'1'", "'1.0'"),
    "json spaces": ("JSON", "'[1, 2]'", "'[1,2]'"),
    "zero timestamp and null": ("TIMESTAMP NULL", "'0000-00-00'", "NULL"),
    "zero date and null": ("DATE", "'0000-00-00'", "NULL"),
    "microsecond": ("DATETIME(6)", "'2024-01-01'", "'2024-01-01 00:00:00.000001'"),
    "negative time": ("TIME", "'-00:00:01'", "'00:00:01'"),
    "point": ("POINT", "ST_GeomFromText('POINT(0 0)')", "ST_GeomFromText('POINT(0 1)')"),
    "same point": ("POINT", "ST_GeomFromText('POINT(0 0)')", "ST_GeomFromText('POINT(0 0)')"),
}


@pytest.mark.parametrize("case", SAME_OR_NOT)
async def test_a_row_changes_exactly_when_the_server_says_so(place: Place, case: str) -> None:
    column_type, old, new = SAME_OR_NOT[case]
    make = "CREATE TABLE {} (id INT PRIMARY KEY, v {}, other INT)"
    fill = "INSERT INTO {} VALUES (1, {}, 0)"
    tables = [
        statement
        for name in ("t", "plain")
        for statement in (make.format(name, column_type), fill.format(name, old))
    ]
    [table] = await place.make("SET SESSION sql_mode = ''", *tables)
    transaction = await place.shard.begin(place.schema)
    await transaction.do("SET SESSION sql_mode = ''")
    [(*before, _)] = await transaction.rows(dump_query(table))
    plain = await transaction.do(f"UPDATE plain SET v = {new}")
    managed = await transaction.do(f"UPDATE t SET v = {new}")
    if case != "json number":  # MySQL with a binary log, or a trigger that looks, says no; without, yes
        assert managed.affected_rows == plain.affected_rows
    [(*row, writer)] = await transaction.rows(dump_query(table))
    assert (row != before) == (writer == transaction.start_ts) == managed.affected_rows
    assert len(await transaction.rows(history_query(table, transaction.start_ts))) == managed.affected_rows
    await transaction.rollback()
