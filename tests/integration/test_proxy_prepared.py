"""Prepared statements of the binary protocol through the proxy: passed on, split, merged, and what can go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection

from proxy.wire.field_types import FieldType
from proxy.wire.responses import OkPacket
from proxy.wire.temporal import MysqlDateTime, MysqlTime
from tests.integration.binary_client import BinaryClient, Statement
from tests.integration.conftest import Cluster

ROWS = 20


@pytest.fixture
def connection(proxy_cluster: Cluster, database: str) -> Iterator[Connection[Any]]:
    with proxy_cluster.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE thing (id INT PRIMARY KEY, big BIGINT UNSIGNED, price DECIMAL(12,3), ratio DOUBLE,"
            " single FLOAT, name VARCHAR(40), data BLOB, day DATE, at DATETIME(3), span TIME, flag BIT(4), year YEAR)"
        )
        for number in range(ROWS):
            cursor.execute(
                "INSERT INTO thing VALUES (%s, 18446744073709551615, 12.345, 0.5, 1.25, 'näme', X'00ff27',"
                " '2024-02-29', '2024-02-29 01:02:03.004', '-100:00:01', b'1010', 1999)",
                (number,),
            )
        yield connection


@pytest.fixture
def client(connection: Connection[Any]) -> BinaryClient:
    return BinaryClient(connection)


ROW = [
    18446744073709551615,
    b"12.345",
    0.5,
    1.25,
    "näme".encode(),
    b"\x00\xff'",
    MysqlDateTime(2024, 2, 29),
    MysqlDateTime(2024, 2, 29, 1, 2, 3, 4000),
    MysqlTime(True, 100, 0, 1),
    b"\x0a",
    1999,
]
"""What every row has behind its id."""


def query(client: BinaryClient, sql: str, *values: Any) -> list[list[Any]]:
    answer = client.execute(client.prepare(sql), values)
    assert isinstance(answer, list)
    return answer


def change(client: BinaryClient, sql: str, *values: Any) -> OkPacket:
    answer = client.execute(client.prepare(sql), values)
    assert isinstance(answer, OkPacket)
    return answer


def test_a_prepare_tells_parameters_and_columns(client: BinaryClient) -> None:
    statement = client.prepare("SELECT id, price AS p FROM thing WHERE id = ? AND name = ?")
    assert len(statement.parameters) == 2
    assert [column.name for column in statement.columns] == [b"id", b"p"]
    assert client.prepare("UPDATE thing SET name = ? WHERE id = ?").columns == []


def test_parameters_are_told_as_the_server_tells_them(
    proxy_cluster: Cluster, client: BinaryClient, database: str
) -> None:
    """MySQL's driver for Java binds a number as unsigned only where the parameter is."""
    with proxy_cluster.connect_shard(0, database) as shard:
        server = BinaryClient(shard)
        for sql in (
            "INSERT INTO thing (id, big, day) VALUES (?, ?, ?)",
            "SELECT id FROM thing WHERE big < ?",
        ):
            assert client.prepare(sql).parameters == server.prepare(sql).parameters


@pytest.mark.parametrize("where", ["WHERE id = ?", "WHERE id + 0 = ?"])
@pytest.mark.parametrize("begin", [False, True])
def test_every_type_comes_back_the_same_from_one_shard_and_from_a_merge(
    connection: Connection[Any], client: BinaryClient, where: str, begin: bool
) -> None:
    if begin:
        connection.begin()
    statement = client.prepare(f"SELECT * FROM thing {where}")
    for number in (3, 4, 5, 6):
        assert client.execute(statement, [number]) == [[number, *ROW]]
    assert client.execute(statement, [ROWS]) == []


def test_merged_results_in_order(client: BinaryClient) -> None:
    assert query(client, "SELECT id FROM thing WHERE id > ? ORDER BY id DESC LIMIT ?", 5, 3) == [
        [19],
        [18],
        [17],
    ]
    assert query(client, "SELECT COUNT(*), SUM(price) FROM thing WHERE name = ?", "näme".encode()) == [
        [20, b"246.900"]
    ]


def test_types_are_bound_once_and_remembered(client: BinaryClient) -> None:
    statement = client.prepare("SELECT id FROM thing WHERE id = ?")
    assert client.execute(statement, [1]) == [[1]]
    assert client.execute(statement, [2], types=[(FieldType.LONGLONG, False)], bind=False) == [[2]]


def test_values_reach_the_table_as_they_are(client: BinaryClient) -> None:
    values = [100, 2**64 - 1, b"99999.125", 1e-3, 2.5, b"quote ' back \\ \xc3\xa4", bytes(range(256))]
    values += [
        MysqlDateTime(1999, 12, 31),
        MysqlDateTime(2024, 1, 2, 3, 4, 5, 678000),
        MysqlTime(False, 30, 1, 2),
    ]
    types = [(t, t == FieldType.LONGLONG) for t in (8, 8, 246, 5, 5, 253, 252, 10, 12, 11)]
    insert = client.prepare(
        "INSERT INTO thing (id, big, price, ratio, single, name, data, day, at, span) VALUES (?,?,?,?,?,?,?,?,?,?)"
    )
    for number in (100, 101, 102):
        answer = client.execute(insert, [number, *values[1:]], types=types)
        assert isinstance(answer, OkPacket)
        assert answer.affected_rows == 1
    read = "SELECT big, price, ratio, single, name, data, day, at, span FROM thing WHERE id = ?"
    assert query(client, read, 101) == [values[1:]]
    assert query(client, read.replace("id = ?", "id + 0 = ?"), 102) == [values[1:]]


def test_a_split_insert_takes_its_parameters_along(client: BinaryClient) -> None:
    rows = ", ".join(["(?, ?, ?)"] * 30)
    values = [value for n in range(200, 230) for value in (n, b"it's \\ me", b"\x00\xff" * n)]
    types = [
        (t, False) for _ in range(30) for t in (FieldType.LONGLONG, FieldType.VAR_STRING, FieldType.BLOB)
    ]
    insert = client.prepare(f"INSERT INTO thing (id, name, data) VALUES {rows}")
    answer = client.execute(insert, values, types=types)
    assert isinstance(answer, OkPacket)
    assert answer.affected_rows == 30
    assert query(client, "SELECT name, data FROM thing WHERE id = ?", 217) == [
        [b"it's \\ me", b"\x00\xff" * 217]
    ]


def test_null_parameters(client: BinaryClient) -> None:
    assert change(client, "UPDATE thing SET name = ? WHERE id = ?", None, 3).affected_rows == 1
    assert query(client, "SELECT name FROM thing WHERE id = ?", 3) == [[None]]
    assert query(client, "SELECT id FROM thing WHERE id = ?", None) == []
    assert query(client, "SELECT COUNT(*) FROM thing WHERE name IS NULL AND id < ?", 50) == [[1]]


def test_generated_ids_are_told(connection: Connection[Any], client: BinaryClient) -> None:
    change(client, "CREATE TABLE item (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(10))")
    insert = client.prepare("INSERT INTO item (name) VALUES (?)")
    answers = [client.execute(insert, [b"x"]) for _ in range(3)]
    assert [answer.last_insert_id for answer in answers if isinstance(answer, OkPacket)] == [1, 2, 3]


def test_long_data_is_sent_in_pieces(client: BinaryClient) -> None:
    update = client.prepare("UPDATE thing SET data = ? WHERE id = ?")
    for piece in (b"ab" * 1000, b"", b"\x00'\\"):
        client.long_data(update, 0, piece)
    types = [(int(FieldType.BLOB), False), (int(FieldType.LONGLONG), False)]
    answer = client.execute(update, [None, 7], types=types)
    assert isinstance(answer, OkPacket)
    assert query(client, "SELECT data FROM thing WHERE id = ?", 7) == [[b"ab" * 1000 + b"\x00'\\"]]
    client.long_data(update, 0, b"forgotten")
    client.reset(update)
    client.execute(update, [None, 8])
    assert query(client, "SELECT data FROM thing WHERE id = ?", 8) == [[None]]


def test_what_the_session_answers_itself_can_be_prepared_too(client: BinaryClient) -> None:
    assert change(client, "SET @x = 5").affected_rows == 0
    assert query(client, "SELECT @x + ?, LAST_INSERT_ID()", 1) == [[6, 0]]
    assert [row[0] for row in query(client, "SHOW TABLES")] == [b"thing"]
    assert len(query(client, "SHOW TXGUARD SHARDS")) == 3
    change(client, "BEGIN")
    change(client, "UPDATE thing SET name = ?", b"rolled back")
    change(client, "ROLLBACK")
    assert query(client, "SELECT COUNT(*) FROM thing WHERE name = ?", b"rolled back") == [[0]]


def test_transactions_over_shards_with_prepared_statements(
    connection: Connection[Any], client: BinaryClient
) -> None:
    update = client.prepare("UPDATE thing SET price = price + ? WHERE id = ?")
    connection.begin()
    for number in range(ROWS):
        client.execute(update, [number, number])
    assert query(client, "SELECT SUM(price) FROM thing") == [[b"436.900"]]
    connection.rollback()
    assert query(client, "SELECT SUM(price) FROM thing") == [[b"246.900"]]


def test_a_statement_outlives_ddl_on_its_table(client: BinaryClient) -> None:
    statement = client.prepare("SELECT COUNT(*) FROM thing WHERE id >= ?")
    assert client.execute(statement, [0]) == [[ROWS]]
    change(client, "TRUNCATE TABLE thing")
    assert client.execute(statement, [0]) == [[0]]
    change(client, "DROP TABLE thing")
    with pytest.raises(pymysql.err.ProgrammingError):
        client.execute(statement, [0])


@pytest.mark.parametrize(
    ("sql", "errno"),
    [("SELEC ?", 1064), ("SELECT * FROM missing WHERE id = ?", 1146), ("SELECT nothing FROM thing", 1054)],
)
def test_a_prepare_that_fails(client: BinaryClient, sql: str, errno: int) -> None:
    with pytest.raises(pymysql.err.MySQLError) as caught:
        client.prepare(sql)
    assert caught.value.args[0] == errno
    assert query(client, "SELECT ?", 1) == [[1]]


def test_unknown_and_closed_ids_are_1243(client: BinaryClient) -> None:
    statement = client.prepare("SELECT ?")
    client.close(statement)
    for unknown in (statement, Statement(12345, [], [])):
        with pytest.raises(pymysql.err.MySQLError) as caught:
            client.execute(unknown, [1])
        assert caught.value.args[0] == 1243
    assert query(client, "SELECT ?", 1) == [[1]]


def test_markers_outside_of_a_prepared_statement_are_a_syntax_error(connection: Connection[Any]) -> None:
    with connection.cursor() as cursor, pytest.raises(pymysql.err.ProgrammingError):
        cursor.execute("SELECT ?")


def test_an_execute_that_ends_early_is_refused(connection: Connection[Any], client: BinaryClient) -> None:
    statement = client.prepare("SELECT id FROM thing WHERE id = ?")
    raw: Any = connection
    raw._execute_command(0x17, statement.statement_id.to_bytes(4, "little") + b"\x00\x01\x00\x00\x00")
    with pytest.raises(pymysql.err.MySQLError):
        client._answer()


def test_information_schema_of_several_shards(
    connection: Connection[Any], client: BinaryClient, database: str
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE away (k INT PRIMARY KEY) COMMENT='txguard: single, home=s3'")
    sql = (
        "SELECT table_name, ordinal_position FROM information_schema.columns WHERE table_schema = ? AND column_name IN "
        "('k', 'price') ORDER BY table_name LIMIT ?"
    )
    assert query(client, sql, database.encode(), 5) == [[b"away", 1], [b"thing", 3]]
