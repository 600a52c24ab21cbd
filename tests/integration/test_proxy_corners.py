"""Statements whose answer over several shards once was another than a single server's; expected: the server's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection

from tests.integration.binary_client import BinaryClient
from tests.integration.conftest import Cluster

ROWS = 30


@pytest.fixture
def client(proxy_cluster: Cluster, database: str) -> Iterator[Connection[Any]]:
    with proxy_cluster.connect(database) as connection:
        run(connection, "CREATE TABLE n (id INT PRIMARY KEY, i INT, d DOUBLE)")
        run(connection, "INSERT INTO n VALUES " + ", ".join(f"({n}, {100 - n}, 0)" for n in range(ROWS)))
        yield connection


def run(connection: Connection[Any], sql: str) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall())


def errno(connection: Connection[Any], sql: str) -> int:
    with pytest.raises(pymysql.err.MySQLError) as caught:
        run(connection, sql)
    return int(caught.value.args[0])


@pytest.mark.parametrize(
    "table",
    [
        "(id BIGINT AUTO_INCREMENT PRIMARY KEY, e INT)",
        "(id BIGINT AUTO_INCREMENT PRIMARY KEY, e INT) COMMENT='txguard: reference'",
        "(id BIGINT AUTO_INCREMENT, e INT, PRIMARY KEY (e, id), KEY (id))",
    ],
)
@pytest.mark.parametrize("begin", ["DO 0", "BEGIN"])
def test_ids_that_were_copied_are_not_given_again(client: Connection[Any], table: str, begin: str) -> None:
    run(client, f"CREATE TABLE a {table}")
    run(client, f"CREATE TABLE b {table}")
    run(client, "INSERT INTO a (e) VALUES " + ", ".join(f"({n})" for n in range(500)))
    largest = run(client, "SELECT MAX(id) FROM a")[0][0]
    run(client, begin)
    run(client, "INSERT INTO b SELECT * FROM a")
    run(client, "INSERT INTO b (e) VALUES (-1), (-2)")
    run(client, "COMMIT")
    assert run(client, "SELECT COUNT(DISTINCT id), COUNT(*) FROM b") == ((502, 502),)
    assert run(client, "SELECT MIN(id) FROM b WHERE e < 0")[0][0] > largest


@pytest.mark.parametrize("kind", ["sharded", "reference"])
@pytest.mark.parametrize(
    "how",
    [
        "INSERT IGNORE INTO r (k, email) VALUES {}",
        "INSERT INTO r (k, email) VALUES {} ON DUPLICATE KEY UPDATE n = n + 1",
    ],
)
def test_the_last_insert_id_is_that_of_a_row(client: Connection[Any], kind: str, how: str) -> None:
    comment = "COMMENT='txguard: reference'" if kind == "reference" else ""
    run(
        client,
        "CREATE TABLE r (k INT, id BIGINT AUTO_INCREMENT, email VARCHAR(20), n INT DEFAULT 0, "
        f"PRIMARY KEY (k, id), KEY (id), UNIQUE (k, email)) {comment}",
    )
    run(client, "INSERT INTO r (k, email) VALUES (1, 'a')")
    run(client, how.format("(1, 'a'), (2, 'b'), (3, 'c')"))
    assert run(client, "SELECT email FROM r WHERE id = LAST_INSERT_ID()") == (("b",),)
    last = run(client, "SELECT LAST_INSERT_ID()")
    run(client, how.format("(1, 'a'), (2, 'b')"))
    assert run(client, "SELECT LAST_INSERT_ID()") == last, "no row was inserted"
    run(client, how.format("(1, 'a')"))
    assert run(client, "SELECT LAST_INSERT_ID()") == last
    assert run(client, "SELECT COUNT(*) FROM r") == ((3,),)


def test_a_variable_is_no_position(client: Connection[Any]) -> None:
    run(client, "SET @p = 2")
    assert errno(client, "SELECT id, i FROM n ORDER BY @p, id LIMIT 3") == 1235
    assert errno(client, "SELECT COUNT(*) FROM n GROUP BY @p") == 1235
    assert errno(client, "SELECT id FROM n ORDER BY ROW_COUNT(), id") == 1235
    assert run(client, "SELECT id FROM n ORDER BY @p + 0, id LIMIT 3") == ((0,), (1,), (2,))
    with pytest.raises(pymysql.err.MySQLError) as caught:
        BinaryClient(client).prepare("SELECT COUNT(*) FROM n GROUP BY ?")
    assert caught.value.args[0] == 1235


def test_doubles_in_variables_stay_doubles(client: Connection[Any]) -> None:
    run(client, "SET @d = 0.1e0")
    assert run(client, "SELECT @d * 3") == ((0.30000000000000004,),)
    assert run(client, "SELECT COUNT(*) FROM n WHERE @d * 3 = 0.3e0") == ((0,),)
    run(client, "UPDATE n SET d = @d / 3 WHERE id = 1")
    assert run(client, "SELECT d FROM n WHERE id = 1") == ((0.1 / 3,),)


def test_no_group_is_made_up(client: Connection[Any]) -> None:
    for sql in (
        "SELECT COUNT(*) FROM n HAVING 1 = 0",
        "SELECT MAX(i) FROM n HAVING NULL",
        "SELECT COUNT(*) FROM n WHERE id > 100 GROUP BY NULL",
        "SELECT SUM(i) FROM n WHERE id > 100 GROUP BY ''",
    ):
        assert run(client, sql) == (), sql
    assert run(client, "SELECT COUNT(*), MAX(i) FROM n WHERE id > 100") == ((0, None),)
    assert run(client, "SELECT COUNT(*) FROM n HAVING 1 = 1") == ((ROWS,),)
    assert run(client, "SELECT COUNT(*) FROM n WHERE id > 100 HAVING COUNT(*) = 0") == ((0,),)
    assert run(client, "SELECT COUNT(*) FROM n GROUP BY NULL") == ((ROWS,),)


def test_all_rows_from_an_offset_on(client: Connection[Any]) -> None:
    found = run(client, f"SELECT id FROM n ORDER BY id LIMIT 2, {2**64 - 1}")
    assert found == tuple((n,) for n in range(2, ROWS))


def test_a_result_that_its_type_cannot_hold(client: Connection[Any]) -> None:
    run(client, "CREATE TABLE u (id INT PRIMARY KEY, ub BIGINT UNSIGNED)")
    run(client, "INSERT INTO u VALUES " + ", ".join(f"({n}, {n + 1})" for n in range(9)))
    assert errno(client, "SELECT MIN(ub) - MAX(ub) FROM u") == 1690
    assert errno(client, "SELECT -9223372036854775807 - COUNT(*) FROM u") == 1690
    assert run(client, "SELECT MAX(ub) - MIN(ub) FROM u") == ((8,),)


def test_a_float_is_not_compared_by_its_printed_digits(client: Connection[Any]) -> None:
    run(client, "CREATE TABLE f (id INT PRIMARY KEY, f FLOAT)")
    run(client, "INSERT INTO f VALUES " + ", ".join(f"({n}, 0.1 * {n})" for n in range(40)))
    assert errno(client, "SELECT MAX(f) FROM f HAVING MAX(f) > 3.9") == 1235
    assert run(client, "SELECT MAX(f) FROM f WHERE id < 2") == ((0.1,),)
