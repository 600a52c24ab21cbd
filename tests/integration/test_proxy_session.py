"""A session's own matters through the proxy: SET, variables, character sets, databases, accounts, admin commands."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection
from pymysql.constants import CLIENT

from tests.integration.conftest import (
    LIMITED_DATABASE,
    LIMITED_PASSWORD,
    LIMITED_USER,
    LOCK_WAIT_TIMEOUT_S,
    Cluster,
)


@pytest.fixture
def client(proxy_cluster: Cluster, database: str) -> Iterator[Connection[Any]]:
    with proxy_cluster.connect(database) as connection:
        yield connection


def run(connection: Connection[Any], sql: str, *arguments: object) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments or None)
        return tuple(cursor.fetchall())


def errno(connection: Connection[Any], sql: str) -> int:
    with pytest.raises(pymysql.err.MySQLError) as caught:
        run(connection, sql)
    return int(caught.value.args[0])


def value(connection: Connection[Any], expression: str) -> Any:
    return run(connection, f"SELECT {expression}")[0][0]


@pytest.mark.parametrize(
    ("statement", "expression", "expected"),
    [
        ("SET @x = 5", "@x", 5),
        ("SET @x = 'it''s'", "@x", "it's"),
        ("SET @x := 1.50", "@x", Decimal("1.50")),
        ("SET @x = NULL", "@x", None),
        ("SET @x = 2 + 3, @y = 7", "@x + @y", 12),
        (
            "SET @old = @@sql_mode, sql_mode = 'NO_ENGINE_SUBSTITUTION'",
            "@@sql_mode",
            "NO_ENGINE_SUBSTITUTION",
        ),
        ("SET sql_mode = 'TRADITIONAL'", "@@sql_mode LIKE '%NO_ZERO_DATE%'", 1),
        (
            "SET sql_mode = CONCAT('NO_ZERO_DATE', ',NO_ZERO_IN_DATE')",
            "@@sql_mode",
            "NO_ZERO_IN_DATE,NO_ZERO_DATE",
        ),
        ("SET time_zone = '+05:30'", "@@time_zone", "+05:30"),
        ("SET SESSION group_concat_max_len = 5000", "@@group_concat_max_len", 5000),
        ("SET foreign_key_checks = 0", "@@foreign_key_checks", 0),
        ("SET foreign_key_checks = OFF", "@@foreign_key_checks", 0),
        ("SET UNIQUE_CHECKS = 0", "@@unique_checks", 0),
        ("SET innodb_lock_wait_timeout = 7", "@@innodb_lock_wait_timeout", 7),
        ("SET @@SESSION.sql_safe_updates = 1", "@@sql_safe_updates", 1),
        ("SET wait_timeout = 100", "@@wait_timeout", 100),
        ("SET net_write_timeout = 600", "@@SESSION.net_write_timeout", 600),
        ("SET autocommit = 0", "@@autocommit", 0),
        ("SET sql_auto_is_null = 0", "@@sql_auto_is_null", 0),
        ("SET NAMES utf8mb4 COLLATE utf8mb4_bin", "@@collation_connection", "utf8mb4_bin"),
        ("SET NAMES utf8mb4", "@@character_set_client", "utf8mb4"),
        ("SET NAMES 'latin1'", "@@character_set_results", "latin1"),
        ("SET character_set_results = NULL", "@@character_set_results", None),
        ("SET CHARACTER SET utf8mb4", "@@character_set_client", "utf8mb4"),
        ("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "1", 1),
        ("SET SESSION transaction_isolation = 'SERIALIZABLE'", "@@transaction_isolation", "SERIALIZABLE"),
        ("SET innodb_snapshot_isolation = OFF", "@@innodb_snapshot_isolation", 0),
        ("SET last_insert_id = 77", "LAST_INSERT_ID()", 77),
        ("SET timestamp = 1000000000", "UNIX_TIMESTAMP()", 1000000000),
    ],
)
def test_what_is_set_is_seen(
    client: Connection[Any], statement: str, expression: str, expected: object
) -> None:
    run(client, statement)
    assert value(client, expression) == expected


@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("SET nonsense = 1", 1193),
        ("SET GLOBAL max_connections = 5", 1227),
        ("SET @@GLOBAL.sql_mode = ''", 1227),
        ("SET autocommit = 2", 1231),
        ("SET sql_mode = 'NONSENSE'", 1231),
        ("SET time_zone = 'Nowhere/City'", 1298),
        ("SET NAMES nonsense", 1115),
        ("SET NAMES gbk", 1235),
        ("SET NAMES utf8mb4 COLLATE latin1_bin", 1253),
        ("SET NAMES utf8mb4 COLLATE utf8mb4_nonsense_ci", 1273),
        ("SET sql_mode = 'ANSI_QUOTES'", 1235),
        ("SET sql_mode = 'NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES'", 1235),
        ("SET innodb_snapshot_isolation = 2", 1231),
        ("SET transaction_isolation = 'nonsense'", 1231),
        ("SET version = 'x'", 1238),
        ("SET hostname = 'x'", 1238),
        ("SET wait_timeout = 'x'", 1232),
        ("SET low_priority_updates = 1", 1235),
        ("SET sql_log_bin = 0", 1235),
    ],
)
def test_what_cannot_be_set_is_refused_and_changes_nothing(
    client: Connection[Any], statement: str, number: int
) -> None:
    assert errno(client, statement) == number
    assert errno(client, statement.replace("SET ", "SET @x = 1, ", 1)) in (number, 1064)
    assert value(client, "@x") is None


def test_a_variable_goes_back_to_its_default(client: Connection[Any]) -> None:
    before = value(client, "@@sql_mode")
    run(client, "SET sql_mode = ''")
    assert value(client, "@@sql_mode") == ""
    run(client, "SET sql_mode = DEFAULT")
    assert value(client, "@@sql_mode") == before
    run(client, "SET @saved = @@time_zone, time_zone = '+00:00'")
    run(client, "SET time_zone = @saved")
    assert value(client, "@@time_zone = @saved") == 1


def test_one_session_s_settings_are_not_another_s(
    proxy_cluster: Cluster, client: Connection[Any], database: str
) -> None:
    """They share the shards' connections."""
    run(client, "CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMP)")
    run(client, "SET time_zone = '+10:00'")
    run(client, "INSERT INTO t VALUES " + ", ".join(f"({n}, '2024-01-01 10:00:00')" for n in range(12)))
    with proxy_cluster.connect(database) as other:
        run(other, "SET time_zone = '+00:00', sql_mode = ''")
        for number in range(12):
            assert str(run(client, f"SELECT at FROM t WHERE id = {number}")[0][0]) == "2024-01-01 10:00:00"
            assert str(run(other, f"SELECT at FROM t WHERE id = {number}")[0][0]) == "2024-01-01 00:00:00"
        assert value(client, "@@sql_mode") != ""


def test_a_setting_changes_in_the_middle_of_a_transaction(client: Connection[Any]) -> None:
    run(client, "CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMP)")
    run(client, "INSERT INTO t VALUES (1, '2024-01-01 10:00:00')")
    run(client, "SET time_zone = '+00:00'")
    run(client, "UPDATE t SET at = '2024-01-01 00:00:00'")
    run(client, "BEGIN")
    assert str(run(client, "SELECT at FROM t WHERE id = 1")[0][0]) == "2024-01-01 00:00:00"
    run(client, "SET time_zone = '+03:00'")
    assert str(run(client, "SELECT at FROM t WHERE id = 1")[0][0]) == "2024-01-01 03:00:00"
    run(client, "COMMIT")


def test_latin1_text_is_read_and_routed_in_latin1(
    proxy_cluster: Cluster, client: Connection[Any], database: str
) -> None:
    run(client, "CREATE TABLE person (name VARCHAR(20) PRIMARY KEY) COLLATE utf8mb4_general_ci")
    with proxy_cluster.connect(database, charset="latin1") as latin:
        for name in ("Zoë", "Émile", "Åse", "plain"):
            run(latin, "INSERT INTO person VALUES (%s)", name)
            assert run(latin, "SELECT name FROM person WHERE name = %s", name) == ((name,),)
            assert run(client, "SELECT name FROM person WHERE name = %s", name) == ((name,),)


def test_user_variables_stand_for_their_values(client: Connection[Any]) -> None:
    run(client, "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20))")
    run(client, "SET @id = 5, @name = 'x\\\\y''z'")
    run(client, "INSERT INTO t VALUES (5, @name), (6, 'other')")
    assert run(client, "SELECT name FROM t WHERE id = @id") == (("x\\y'z",),)
    assert run(client, "SELECT id FROM t WHERE name = @name") == ((5,),)
    assert run(client, "SELECT @never_set") == ((None,),)


def test_functions_of_the_session(client: Connection[Any], database: str) -> None:
    assert value(client, "DATABASE()") == database
    assert value(client, "USER()").startswith("root@")
    assert value(client, "CONNECTION_ID()") == client.thread_id()
    run(client, "CREATE TABLE t (id INT PRIMARY KEY)")
    run(client, "INSERT INTO t VALUES (1), (2), (3)")
    assert value(client, "ROW_COUNT()") == 3
    run(client, "DELETE FROM t WHERE id = 1")
    assert value(client, "ROW_COUNT()") == 1
    run(client, "SELECT id FROM t ORDER BY id")
    assert value(client, "FOUND_ROWS()") == 2


def test_affected_rows_are_changed_or_found_rows_as_the_client_asked(
    proxy_cluster: Cluster, client: Connection[Any], database: str
) -> None:
    run(client, "CREATE TABLE t (id INT PRIMARY KEY, v INT)")
    run(client, "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3), (4, 4)")
    with (
        proxy_cluster.connect(database, client_flag=CLIENT.FOUND_ROWS) as found,
        found.cursor() as one,
        client.cursor() as two,
    ):
        assert one.execute("UPDATE t SET v = 1") == 4
        assert two.execute("UPDATE t SET v = 1") == 0


def test_show_statements(client: Connection[Any], database: str) -> None:
    shown = dict(run(client, "SHOW VARIABLES LIKE 'auto%'"))
    assert shown["autocommit"] == "ON"
    run(client, "SET autocommit = 0, sql_mode = ''")
    assert run(client, "SHOW VARIABLES LIKE 'autocommit'") == (("autocommit", "OFF"),)
    assert run(client, "SHOW SESSION VARIABLES LIKE 'sql_mode'") == (("sql_mode", ""),)
    assert run(client, "SHOW COLLATION LIKE 'utf8mb4_bin'")[0][0] == "utf8mb4_bin"
    assert run(client, "SHOW CHARACTER SET LIKE 'utf8mb4'")[0][0] == "utf8mb4"
    assert any(row[0] == "InnoDB" for row in run(client, "SHOW ENGINES"))
    assert run(client, "SHOW STATUS LIKE 'Uptime'")
    assert any(row[0] == client.thread_id() and row[3] == database for row in run(client, "SHOW PROCESSLIST"))


def test_admin_commands(client: Connection[Any]) -> None:
    status = dict(run(client, "SHOW TXGUARD STATUS"))
    assert int(status["connections"]) >= 1
    assert int(status["queries"]) >= 1
    assert int(status["tso_epoch"]) >= 1
    shards = run(client, "SHOW TXGUARD SHARDS")
    assert [(row[0], row[2]) for row in shards] == [("s1", "up"), ("s2", "up"), ("s3", "up")]
    assert all(row[3] for row in shards)
    run(client, "CREATE TABLE t (id INT PRIMARY KEY)")
    run(client, "BEGIN")
    run(client, "INSERT INTO t VALUES (1), (2), (3), (4), (5), (6)")
    rows = [row for row in run(client, "SHOW TXGUARD TRANSACTIONS") if row[0] == client.thread_id()]
    assert len(rows) == 1
    assert rows[0][2] > 0
    assert rows[0][4] == "active"
    run(client, "ROLLBACK")
    assert not [row for row in run(client, "SHOW TXGUARD TRANSACTIONS") if row[0] == client.thread_id()]
    assert all(row[4] != "orphaned" for row in run(client, "SHOW TXGUARD LOCKS"))


def test_the_configured_lock_wait_holds(client: Connection[Any]) -> None:
    assert value(client, "@@innodb_lock_wait_timeout") == LOCK_WAIT_TIMEOUT_S


def test_an_account_keeps_to_its_databases(
    proxy_cluster: Cluster, client: Connection[Any], database: str
) -> None:
    run(client, "CREATE TABLE secret (id INT PRIMARY KEY)")
    run(client, f"CREATE DATABASE IF NOT EXISTS {LIMITED_DATABASE}")
    try:
        with proxy_cluster.connect(LIMITED_DATABASE, user=LIMITED_USER, password=LIMITED_PASSWORD) as limited:
            run(limited, "CREATE TABLE mine (id INT PRIMARY KEY)")
            run(limited, "INSERT INTO mine VALUES (1)")
            for statement in (
                f"USE {database}",
                f"SELECT * FROM {database}.secret",
                f"SELECT * FROM {database}.secret WHERE id = 1",
                f"INSERT INTO {database}.secret VALUES (1)",
                f"DELETE FROM {database}.secret",
                f"CREATE TABLE {database}.other (id INT PRIMARY KEY)",
                f"DROP TABLE {database}.secret",
                f"DROP DATABASE {database}",
                f"SHOW CREATE TABLE {database}.secret",
            ):
                assert errno(limited, statement) == 1044, statement
            assert errno(limited, f"KILL {client.thread_id()}") == 1095
        with pytest.raises(pymysql.err.MySQLError) as caught:
            proxy_cluster.connect(database, user=LIMITED_USER, password=LIMITED_PASSWORD)
        assert caught.value.args[0] == 1044
    finally:
        run(client, f"DROP DATABASE {LIMITED_DATABASE}")


def test_a_wrong_password_and_an_unknown_database_are_refused_at_login(proxy_cluster: Cluster) -> None:
    with pytest.raises(pymysql.err.OperationalError) as caught:
        proxy_cluster.connect(user=LIMITED_USER, password="wrong")
    assert caught.value.args[0] == 1045
    with pytest.raises(pymysql.err.OperationalError) as caught:
        proxy_cluster.connect("nowhere")
    assert caught.value.args[0] == 1049


def test_a_dropped_database_is_left(client: Connection[Any], database: str) -> None:
    run(client, f"DROP DATABASE {database}")
    assert value(client, "DATABASE()") is None
    assert errno(client, "SHOW TABLES") == 1046
    assert errno(client, "SELECT * FROM t") == 1046


def test_the_database_changes_by_use_and_by_command(
    proxy_cluster: Cluster, client: Connection[Any], database: str
) -> None:
    run(client, "CREATE TABLE t (id INT PRIMARY KEY)")
    with proxy_cluster.connect() as other:
        assert errno(other, "SELECT * FROM t") == 1046
        run(other, f"USE `{database}`")
        assert run(other, "SELECT * FROM t") == ()
    with proxy_cluster.connect() as other:
        other.select_db(database)
        assert run(other, "SELECT * FROM t") == ()
