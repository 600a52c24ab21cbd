"""What drivers and frameworks send beside plain SQL: rare commands, the session's limits and counters, odd literals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection

from proxy.wire.columns import make_column_definition, parse_column_definition
from proxy.wire.commands import Command
from proxy.wire.field_types import FieldType
from proxy.wire.responses import is_eof
from tests.integration.binary_client import BinaryClient
from tests.integration.binary_client import Statement as BinaryStatement
from tests.integration.conftest import Cluster

ROWS = 12


@pytest.fixture
def client(proxy_cluster: Cluster, database: str) -> Iterator[Connection[Any]]:
    with proxy_cluster.connect(database) as connection:
        run(connection, "CREATE TABLE t (id INT PRIMARY KEY, v INT DEFAULT 7, name VARCHAR(9))")
        run(
            connection, f"INSERT INTO t (id, v) VALUES {', '.join(f'({n}, {n})' for n in range(1, ROWS + 1))}"
        )
        yield connection


def run(client: Connection[Any], sql: str, *arguments: Any) -> Sequence[tuple[Any, ...]]:
    with client.cursor() as cursor:
        cursor.execute(sql, arguments or None)
        rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
        return rows


def ids(client: Connection[Any], sql: str) -> list[int]:
    return [row[0] for row in run(client, sql)]


def found(client: Connection[Any]) -> int:
    return int(run(client, "SELECT FOUND_ROWS()")[0][0])


# ---------------------------------------------------------------- sql_select_limit (Statement.setMaxRows)


def test_sql_select_limit(client: Connection[Any]) -> None:
    run(client, "SET sql_select_limit = 3")
    assert ids(client, "SELECT id FROM t ORDER BY id DESC") == [12, 11, 10]
    assert ids(client, "SELECT id FROM t ORDER BY id LIMIT 5") == [1, 2, 3, 4, 5]
    assert ids(client, "SELECT id FROM t WHERE id = 4 FOR UPDATE") == [4]
    assert len(ids(client, "SELECT id FROM t")) == 3
    assert run(client, "SELECT COUNT(*) FROM t") == ((ROWS,),)
    statement = (binary := BinaryClient(client)).prepare("SELECT id FROM t WHERE id > ? ORDER BY id")
    assert binary.execute(statement, [2]) == [[3], [4], [5]]
    run(client, "SET sql_select_limit = DEFAULT")
    assert binary.execute(statement, [2]) == [[number] for number in range(3, ROWS + 1)]
    run(client, "SET sql_select_limit = 0")
    assert ids(client, "SELECT id FROM t WHERE id = 1") == []
    run(client, "SET SQL_SELECT_LIMIT=DEFAULT")
    assert ids(client, "SELECT id FROM t WHERE id = 1") == [1]


# ---------------------------------------------------------------- counters


def test_found_rows_of_every_kind_of_result(client: Connection[Any]) -> None:
    for number in range(3):  # the second and third time by the fast path
        ids(client, f"SELECT id FROM t WHERE id IN (1, 1000{number})")
        assert found(client) == 1
        ids(client, "SELECT id FROM t WHERE id = 1000")
        assert found(client) == 0
    ids(client, "SELECT id FROM t WHERE id > 2")
    assert found(client) == ROWS - 2
    run(client, "SELECT REPEAT('x', 300000) FROM t WHERE id = 1 UNION ALL SELECT 'y' UNION ALL SELECT 'z'")
    assert found(client) == 3
    client.begin()
    ids(client, "SELECT id FROM t WHERE id = 5")
    assert found(client) == 1
    client.rollback()


def test_sql_calc_found_rows_of_one_shard(client: Connection[Any]) -> None:
    run(client, "CREATE TABLE post (id INT PRIMARY KEY, v INT) COMMENT='txguard: single, home=s2'")
    run(client, "INSERT INTO post VALUES (1, 1), (2, 2), (3, 3), (4, 4)")
    for transaction in (False, True):
        if transaction:
            client.begin()
        assert ids(client, "SELECT SQL_CALC_FOUND_ROWS id FROM post WHERE v > 1 ORDER BY id LIMIT 2") == [
            2,
            3,
        ]
        assert found(client) == 3
    with pytest.raises(pymysql.err.NotSupportedError):
        run(client, "SELECT SQL_CALC_FOUND_ROWS id FROM t LIMIT 2")


def test_last_insert_id_is_unsigned(client: Connection[Any]) -> None:
    run(client, "CREATE TABLE made (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, v INT)")
    run(client, "INSERT INTO made (v) VALUES (5)")
    with client.cursor() as cursor:
        cursor.execute("SELECT LAST_INSERT_ID()")
        [field] = cursor._result.fields
        assert field.type_code == FieldType.LONGLONG
        assert field.flags & 32  # UNSIGNED
    assert run(client, "SELECT v FROM made WHERE id = LAST_INSERT_ID()") == ((5,),)


# ---------------------------------------------------------------- statements


def test_do_runs_expressions_and_answers_ok(client: Connection[Any]) -> None:
    with client.cursor() as cursor:
        cursor.execute("DO 1, SLEEP(0), CONNECTION_ID()")
        assert cursor.description is None
        with pytest.raises(pymysql.err.MySQLError) as caught:
            cursor.execute("DO nothing_like_this(1)")
        assert caught.value.args[0] == 1305
        with pytest.raises(pymysql.err.NotSupportedError):
            cursor.execute("DO (SELECT MAX(v) FROM t)")


def test_explain_asks_the_shard_that_has_the_row(client: Connection[Any]) -> None:
    for number in range(1, ROWS + 1):
        shown = str(run(client, f"EXPLAIN SELECT * FROM t WHERE id = {number}"))
        assert "no matching row" not in shown
        assert "Impossible" not in shown
    run(client, "CREATE TABLE alone (id INT PRIMARY KEY) COMMENT='txguard: single, home=s3'")
    assert "alone" in str(run(client, "EXPLAIN SELECT * FROM alone"))


def test_binary_strings_with_an_introducer(client: Connection[Any]) -> None:
    run(client, "CREATE TABLE b (id INT PRIMARY KEY, data BLOB)")
    run(client, "INSERT INTO b VALUES (1, _binary X'00ff'), (2, _binary 0x2700), (3, _binary'a')")
    run(client, "UPDATE b SET data = _binary X'01' WHERE id = 3 AND data = _binary X'61'")
    assert run(client, "SELECT data FROM b ORDER BY id") == ((b"\x00\xff",), (b"'\x00",), (b"\x01",))


def test_set_statement_holds_for_one_statement(client: Connection[Any]) -> None:
    """As MariaDB's driver for Java writes Statement.setQueryTimeout."""
    once = "SET STATEMENT group_concat_max_len = 4, sql_mode = '' FOR"
    names = "SELECT GROUP_CONCAT(c), @@group_concat_max_len FROM (SELECT 'abcdefgh' AS c) AS x"
    assert run(client, f"{once} {names}") == (("abcd", 4),)
    assert run(client, names)[0][0] == "abcdefgh"
    run(client, f"{once} INSERT INTO t (id, v) VALUES (100, 'nonsense')")
    assert run(client, "SELECT v FROM t WHERE id = 100") == ((0,),)
    with pytest.raises(pymysql.err.MySQLError):
        run(client, "INSERT INTO t (id, v) VALUES (101, 'nonsense')")
    with pytest.raises(pymysql.err.MySQLError):
        run(client, f"{once} SELECT nothing FROM t")
    binary = BinaryClient(client)
    statement = binary.prepare(f"{once} SELECT id, v FROM t WHERE id = ?")
    assert [binary.execute(statement, [number]) for number in (2, 3)] == [[[2, 2]], [[3, 3]]]
    client.begin()
    assert ids(client, f"{once} SELECT id FROM t WHERE id = 4 FOR UPDATE") == [4]
    client.rollback()
    assert run(client, names)[0][0] == "abcdefgh"
    for refused in ("SET STATEMENT autocommit = 0 FOR SELECT 1", f"{once} DROP TABLE t"):
        with pytest.raises(pymysql.err.NotSupportedError):
            run(client, refused)


def test_limits_bound_as_strings_and_doubles(client: Connection[Any]) -> None:
    """As Node's drivers bind numbers."""
    binary = BinaryClient(client)
    text, double = (FieldType.VAR_STRING, False), (FieldType.DOUBLE, False)
    for sql in (
        "SELECT id FROM t WHERE id > ? ORDER BY id LIMIT ?",
        "SELECT id FROM t WHERE id > ? LIMIT 0, ?",
    ):
        for values, kind, count in (([b"1", b"2"], text, 2), ([1.0, 3.0], double, 3)):
            rows = binary.execute(binary.prepare(sql), values, types=[kind, kind])
            assert isinstance(rows, list)
            assert len(rows) == count
    skipping = binary.prepare("SELECT id FROM t WHERE id <> @@autocommit ORDER BY id LIMIT ?, ?")
    assert binary.execute(skipping, [b"2", b"2"], types=[text, text]) == [[4], [5]]
    with pytest.raises(pymysql.err.NotSupportedError):
        binary.execute(skipping, [2.5, 2], types=[double, double])


def test_the_statement_that_was_prepared_last_goes_without_its_id(client: Connection[Any]) -> None:
    """As MariaDB's drivers do, which send the execute before the prepare is answered."""
    last = BinaryStatement(0xFFFF_FFFF, [], [])
    binary = BinaryClient(client)
    binary.prepare("SELECT ? + 0")
    first = binary.prepare("SELECT id FROM t WHERE id = ?")
    assert binary.execute(last, [3]) == [[3]]
    assert binary.execute(first, [4]) == [[4]]
    binary.close(last)
    for broken in (None, "SELEC ?"):
        if broken is not None:
            with pytest.raises(pymysql.err.ProgrammingError):
                binary.prepare(broken)
        with pytest.raises(pymysql.err.MySQLError) as caught:
            binary.execute(last, [1])
        assert caught.value.args[0] == 1243


def test_indexes_by_alter_table(client: Connection[Any]) -> None:
    """As migration tools write them."""
    keys = (
        "SELECT DISTINCT index_name FROM information_schema.statistics "
        "WHERE table_schema = DATABASE() AND table_name = 't' ORDER BY 1"
    )
    run(client, "ALTER TABLE t ADD INDEX `by v` (v, name)")
    run(client, "ALTER TABLE t ADD CONSTRAINT both_of UNIQUE (id, v)")
    assert run(client, keys) == (("both_of",), ("by v",), ("PRIMARY",))
    with pytest.raises(pymysql.err.OperationalError) as caught:
        run(client, "ALTER TABLE t ADD KEY `by v` (name)")
    assert caught.value.args[0] == 1061
    with pytest.raises(pymysql.err.NotSupportedError, match="shard key"):
        run(client, "ALTER TABLE t ADD UNIQUE KEY alone (v)")
    run(client, "ALTER TABLE t DROP INDEX `by v`")
    assert run(client, keys) == (("both_of",), ("PRIMARY",))
    assert ids(client, "SELECT id FROM t WHERE v = 3") == [3]


# ---------------------------------------------------------------- COM_FIELD_LIST


def field_list(client: Connection[Any], table: str, pattern: str = "") -> list[tuple[bytes, int, bytes]]:
    """Name, type, and the default as it stands at the end of the packet."""
    raw: Any = client
    raw._execute_command(Command.COM_FIELD_LIST, table.encode() + b"\0" + pattern.encode())
    fields = []
    while not is_eof(payload := raw._read_packet().get_all_data()):
        column = parse_column_definition(payload)
        fixed = make_column_definition(column)
        fields.append((column.name, column.type, payload[len(fixed) :]))
    return fields


def test_field_list_is_the_servers(proxy_cluster: Cluster, client: Connection[Any], database: str) -> None:
    with proxy_cluster.connect_shard(0) as shard:
        run(shard, "CREATE DATABASE plain")
        try:
            run(shard, "CREATE TABLE plain.t (id INT PRIMARY KEY, v INT DEFAULT 7, name VARCHAR(9))")
            shard.select_db("plain")
            for pattern in ("", "%a%", "V", "none"):
                told = field_list(client, "t", pattern)
                assert [field[:2] for field in told] == [
                    field[:2] for field in field_list(shard, "t", pattern)
                ]
            assert [default for _, _, default in told] == []
            assert [default for _, _, default in field_list(client, "t", "v")] == [b"\x017"]
        finally:
            run(shard, "DROP DATABASE plain")
    run(client, "CREATE TABLE alone (id INT PRIMARY KEY) COMMENT='txguard: single, home=s3'")
    assert [name for name, _, _ in field_list(client, "alone")] == [b"id"]
    with pytest.raises(pymysql.err.ProgrammingError) as caught:
        field_list(client, "missing")
    assert caught.value.args[0] == 1146
    assert run(client, "SELECT 1") == ((1,),)
