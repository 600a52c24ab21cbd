"""What a user who is limited to databases must not reach, and what nobody may: past the planner, to a shard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection

from tests.integration.binary_client import BinaryClient
from tests.integration.conftest import LIMITED_DATABASE, LIMITED_PASSWORD, LIMITED_USER, Cluster


@pytest.fixture
def limited(proxy_cluster: Cluster, database: str) -> Iterator[Connection[Any]]:
    """`database` has a table that this one may not see."""
    with proxy_cluster.connect(database) as root:
        run(root, "CREATE TABLE hidden (id INT PRIMARY KEY, secret VARCHAR(20))")
        run(root, "INSERT INTO hidden VALUES (1, 'abc')")
        run(root, f"CREATE DATABASE IF NOT EXISTS {LIMITED_DATABASE}")
        run(root, f"CREATE TABLE IF NOT EXISTS {LIMITED_DATABASE}.own (id INT PRIMARY KEY, v INT)")
    with proxy_cluster.connect(LIMITED_DATABASE, user=LIMITED_USER, password=LIMITED_PASSWORD) as connection:
        yield connection
    with proxy_cluster.connect(database) as root:
        run(root, f"DROP DATABASE {LIMITED_DATABASE}")


def run(connection: Connection[Any], sql: str) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall())


def errno(connection: Connection[Any], sql: str) -> int:
    with pytest.raises(pymysql.err.MySQLError) as caught:
        run(connection, sql)
    return int(caught.value.args[0])


FIRST = [
    *(
        "SELECT 1",
        "DO 1",
        "SET @a = 1",
        "BEGIN",
        "INSERT INTO own VALUES (9, 9)",
        "EXPLAIN SELECT 1",
        "DESC own",
    ),
    *(
        "SHOW VARIABLES LIKE 'x'",
        "SHOW DATABASES LIKE 'x'",
        "SHOW STATUS LIKE 'x'",
        "SHOW TABLES",
        "SHOW TABLES LIKE 'x'",
    ),
    *("SHOW TABLE STATUS", "SHOW COLUMNS FROM own", "SHOW INDEX FROM own", "SHOW COLLATION", "SHOW ENGINES"),
    *(
        "SHOW TRIGGERS",
        "SHOW EVENTS",
        "SHOW PLUGINS",
        "SHOW PROCEDURE STATUS",
        "SHOW CHARACTER SET",
        "SHOW CREATE TABLE own",
    ),
    *("SHOW COLUMNS FROM information_schema.tables", "DESCRIBE information_schema.tables", "SHOW WARNINGS"),
    *(
        "CREATE TABLE z (id INT PRIMARY KEY)",
        "CREATE INDEX i ON own (v)",
        "DROP INDEX i ON own",
        "ALTER TABLE own ADD INDEX i (v)",
    ),
    *(
        f"CREATE DATABASE {LIMITED_DATABASE}",
        "DROP TABLE own",
        "TRUNCATE TABLE own",
        "SHOW TXGUARD STATUS",
        "USE x",
        "COMMIT",
    ),
]


BETWEEN = ["; ", ";;\n", " /* ; */ ; ", " /*!50000 ; */ "]


def test_nothing_behind_a_semicolon_reaches_a_shard(proxy_cluster: Cluster, limited: Connection[Any]) -> None:
    for first in FIRST:
        for between in BETWEEN:
            assert errno(limited, f"{first}{between}CREATE DATABASE behind") == 1064, first
    for number in range(len(proxy_cluster.servers)):
        with proxy_cluster.connect_shard(number) as shard:
            assert run(shard, "SHOW DATABASES LIKE 'behind'") == ()


LEAKS = "extractvalue(1, concat(0x7e, ({})))"


def test_what_is_shown_can_only_be_filtered(limited: Connection[Any], database: str) -> None:
    secret = f"SELECT secret FROM {database}.hidden LIMIT 1"
    for shown in (
        "VARIABLES",
        "STATUS",
        "DATABASES",
        "TABLES",
        "COLUMNS FROM own",
        "INDEX FROM own",
        "COLLATION",
    ):
        assert errno(limited, f"SHOW {shown} WHERE {LEAKS.format(secret)}") == 1235
        assert errno(limited, f"SHOW {shown} WHERE 'abc' = ({secret})") == 1235
        assert errno(limited, f"SHOW {shown} WHERE EXISTS({secret})") == 1235
        assert errno(limited, f"SHOW {shown} WHERE GET_LOCK('x', 0) = 2") == 1235
        assert errno(limited, f"SHOW {shown} WHERE (@a := 5) = 6") == 1235
    assert errno(limited, "SHOW VARIABLES WHERE LENGTH(LOAD_FILE('/etc/hostname')) > 0") == 1235
    few = (
        "SHOW VARIABLES WHERE Variable_name IN ('autocommit', 'sql_mode') AND LOWER(Value) = 'on' OR (1 = 0)"
    )
    assert run(limited, few) == (("autocommit", "ON"),)
    assert [row[0] for row in run(limited, "SHOW COLUMNS FROM own WHERE Field LIKE 'v%'")] == ["v"]


def test_an_explain_may_do_what_its_statement_may(limited: Connection[Any], database: str) -> None:
    assert errno(limited, f"EXPLAIN SELECT * FROM {database}.hidden WHERE id = 1") == 1044
    assert errno(limited, f"EXPLAIN SELECT (SELECT secret FROM {database}.hidden WHERE id = 1)") == 1044
    assert errno(limited, f"EXPLAIN INSERT INTO {database}.hidden VALUES (1, 'a')") == 1044
    assert errno(limited, f"EXPLAIN DELETE FROM {database}.hidden") == 1044
    assert errno(limited, "EXPLAIN SELECT LOAD_FILE('/etc/hostname')") == 1235
    assert run(limited, "EXPLAIN SELECT * FROM own")


def test_other_databases_are_not_described(limited: Connection[Any], database: str) -> None:
    for sql in (
        f"SHOW TABLES FROM {database}",
        f"SHOW TABLE STATUS FROM {database}",
        f"SHOW TRIGGERS FROM {database}",
        f"SHOW EVENTS FROM {database}",
        f"SHOW CREATE DATABASE {database}",
        f"SHOW CREATE TABLE {database}.hidden",
        f"SHOW COLUMNS FROM hidden FROM {database}",
        f"CREATE TABLE child (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES {database}.hidden (id))",
        f"CREATE TABLE child (id INT PRIMARY KEY REFERENCES {database}.hidden (id))",
    ):
        assert errno(limited, sql) == 1044, sql
    for sql in (f"SELECT secret FROM {database}.hidden WHERE id = ?", f"DELETE FROM {database}.hidden"):
        with pytest.raises(pymysql.err.MySQLError) as caught:
            BinaryClient(limited).prepare(sql)
        assert caught.value.args[0] == 1044


def test_a_statement_that_is_nested_too_deeply_is_no_bug(limited: Connection[Any]) -> None:
    deep = 2_500
    for sql in (
        "SELECT " + "(" * deep + "1" + ")" * deep,
        "SELECT " + "NOT " * 4 * deep + "1",
        "SELECT " + "- " * 4 * deep + "1",
        "SELECT " + "LOWER(" * deep + "1" + ")" * deep,
        "SELECT " + "CASE WHEN 1 THEN " * deep + "1" + " END" * deep,
        "SELECT " + "(SELECT " * deep + "1" + ")" * deep,
        "SELECT * FROM " + "(SELECT * FROM " * deep + "own" + ") x" * deep,
        "SELECT * FROM own WHERE " + " OR ".join(["v = 1"] * deep),
        "SELECT * FROM own WHERE " + " + ".join(["v"] * deep),
    ):
        assert errno(limited, sql) == 1436, sql[:60]
    assert run(limited, "SELECT * FROM own WHERE " + " OR ".join(["v = 1"] * 1_500)) == ()
    assert run(limited, "SELECT 1") == ((1,),)
