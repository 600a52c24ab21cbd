"""Statements through the whole proxy: DDL, routed and split writes, generated ids, merged reads, warnings, errors."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection
from pymysql.constants import CLIENT

from tests.integration.conftest import Cluster


@pytest.fixture
def client(proxy_cluster: Cluster, database: str) -> Iterator[Connection[Any]]:
    with proxy_cluster.connect(database) as connection:
        yield connection


def run(connection: Connection[Any], sql: str, *arguments: object) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments or None)
        return tuple(cursor.fetchall())


def change(connection: Connection[Any], sql: str, *arguments: object) -> tuple[int, int]:
    """Affected rows and last insert id."""
    with connection.cursor() as cursor:
        affected = cursor.execute(sql, arguments or None)
        return affected, cursor.lastrowid or 0


def spread(cluster: Cluster, database: str, table: str) -> list[int]:
    """How many rows each shard has."""
    counts = []
    for number in range(len(cluster.servers)):
        with cluster.connect_shard(number, database) as shard:
            counts.append(run(shard, f"SELECT COUNT(*) FROM {table}")[0][0])
    return counts


def make_accounts(connection: Connection[Any], rows: int = 30) -> None:
    run(
        connection,
        "CREATE TABLE account (id INT PRIMARY KEY, owner VARCHAR(20), balance DECIMAL(10,2) NOT NULL)",
    )
    values = ", ".join(f"({n}, 'o{n % 3}', {n}.50)" for n in range(rows))
    assert change(connection, f"INSERT INTO account VALUES {values}") == (rows, 0)


def test_rows_go_to_their_shards_and_come_back_as_one_table(
    proxy_cluster: Cluster, client: Connection[Any], database: str
) -> None:
    make_accounts(client, 300)
    counts = spread(proxy_cluster, database, "account")
    assert sum(counts) == 300
    assert min(counts) > 0
    assert run(client, "SELECT COUNT(*), SUM(balance) FROM account") == ((300, Decimal("45000.00")),)
    assert run(client, "SELECT balance FROM account WHERE id = 123") == ((Decimal("123.50"),),)
    assert run(client, "SELECT id FROM account ORDER BY id DESC LIMIT 2, 3") == ((297,), (296,), (295,))
    assert run(client, "SELECT id FROM account WHERE id IN (7, 8, 9) ORDER BY id") == ((7,), (8,), (9,))
    assert run(client, "SELECT owner, COUNT(*) FROM account GROUP BY owner ORDER BY owner") == (
        ("o0", 100),
        ("o1", 100),
        ("o2", 100),
    )


def test_writes_over_all_shards_count_every_row_once(client: Connection[Any]) -> None:
    make_accounts(client)
    assert change(client, "UPDATE account SET balance = balance + 1")[0] == 30
    assert change(client, "UPDATE account SET balance = 0 WHERE id IN (1, 2, 3, 99)")[0] == 3
    assert change(client, "DELETE FROM account WHERE owner = 'o0'")[0] == 10
    assert run(client, "SELECT COUNT(*) FROM account") == ((20,),)


def test_the_words_of_a_split_update_add_up(client: Connection[Any]) -> None:
    make_accounts(client)
    with client.cursor() as cursor:
        cursor.execute("UPDATE account SET balance = 5 WHERE id < 10 OR id = 5")
        assert b"Rows matched: 10  Changed: 10  Warnings: 0" in (client._result.message or b"")  # type: ignore[attr-defined]


def test_a_failing_row_on_one_shard_undoes_the_insert_on_all(client: Connection[Any]) -> None:
    make_accounts(client)
    with pytest.raises(pymysql.err.IntegrityError) as caught:
        change(client, "INSERT INTO account VALUES " + ", ".join(f"({n}, 'x', 0)" for n in range(29, 60)))
    assert caught.value.args[0] == 1062
    assert run(client, "SELECT COUNT(*) FROM account") == ((30,),)


def test_a_failing_statement_leaves_the_transaction_as_it_was(client: Connection[Any]) -> None:
    make_accounts(client)
    run(client, "BEGIN")
    run(client, "INSERT INTO account VALUES (100, 'mine', 1), (101, 'mine', 1), (102, 'mine', 1)")
    with pytest.raises(pymysql.err.IntegrityError):
        change(client, "INSERT INTO account VALUES " + ", ".join(f"({n}, 'x', 0)" for n in range(29, 60)))
    run(client, "COMMIT")
    assert run(client, "SELECT COUNT(*), SUM(owner = 'mine') FROM account") == ((33, Decimal(3)),)


def test_generated_ids_are_unique_over_the_shards(client: Connection[Any]) -> None:
    run(client, "CREATE TABLE item (id BIGINT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(10))")
    affected, first = change(client, "INSERT INTO item (name) VALUES ('a'), ('b'), (%s)", "c")
    assert (affected, first) == (3, 1)
    assert run(client, "SELECT LAST_INSERT_ID()") == ((1,),)
    assert change(client, "INSERT INTO item VALUES (NULL, 'd')") == (1, 4)
    assert change(client, "INSERT INTO item VALUES (0, 'e')") == (1, 5)
    assert change(client, "INSERT INTO item VALUES (1000, 'own')")[0] == 1
    assert run(client, "SELECT LAST_INSERT_ID()") == ((5,),)
    assert change(client, "INSERT INTO item (name) VALUES ('f')") == (1, 1001)
    assert run(client, "SELECT id FROM item ORDER BY id") == tuple((n,) for n in (1, 2, 3, 4, 5, 1000, 1001))
    assert run(client, "SELECT name FROM item WHERE id = LAST_INSERT_ID()") == (("f",),)


def test_no_auto_value_on_zero_keeps_the_zero(client: Connection[Any]) -> None:
    run(client, "CREATE TABLE item (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(10))")
    run(client, "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'")
    run(client, "INSERT INTO item VALUES (0, 'zero')")
    assert run(client, "SELECT id FROM item") == ((0,),)


def test_insert_on_duplicate_key_and_replace(client: Connection[Any]) -> None:
    make_accounts(client)
    upsert = (
        "INSERT INTO account VALUES (5, 'n', 1) ON DUPLICATE KEY UPDATE balance = balance + VALUES(balance)"
    )
    assert change(client, upsert)[0] == 2
    assert run(client, "SELECT balance FROM account WHERE id = 5") == ((Decimal("6.50"),),)
    assert change(client, "REPLACE INTO account VALUES (5, 'r', 9), (900, 'r', 9)")[0] == 3
    assert change(client, "INSERT IGNORE INTO account VALUES (5, 'i', 0), (901, 'i', 0)")[0] == 1


@pytest.mark.mariadb_only
def test_a_split_insert_returns_its_rows_in_order(client: Connection[Any]) -> None:
    run(client, "CREATE TABLE item (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(10))")
    values = ", ".join(f"('n{n}')" for n in range(20))
    returned = run(client, f"INSERT INTO item (name) VALUES {values} RETURNING id, name")
    assert returned == tuple((n + 1, f"n{n}") for n in range(20))
    with pytest.raises(pymysql.err.NotSupportedError):
        run(client, f"INSERT IGNORE INTO item (name) VALUES {values} RETURNING id")
    assert run(client, "SELECT COUNT(*) FROM item") == ((20,),)


def test_reference_tables_are_on_every_shard_and_counted_once(
    proxy_cluster: Cluster, client: Connection[Any], database: str
) -> None:
    make_accounts(client)
    run(client, "CREATE TABLE word (id INT PRIMARY KEY, text VARCHAR(10)) COMMENT = 'txguard: reference'")
    assert change(client, "INSERT INTO word VALUES (1, 'one'), (2, 'two')")[0] == 2
    assert spread(proxy_cluster, database, "word") == [2, 2, 2]
    assert change(client, "UPDATE word SET text = 'uno' WHERE id = 1")[0] == 1
    joined = "SELECT account.id, word.text FROM account JOIN word ON word.id = account.id ORDER BY account.id"
    assert run(client, joined) == ((1, "uno"), (2, "two"))


def test_single_tables_keep_their_own_ids(client: Connection[Any]) -> None:
    run(
        client,
        "CREATE TABLE log (id INT PRIMARY KEY AUTO_INCREMENT, t VARCHAR(9)) COMMENT = 'txguard: single'",
    )
    assert change(client, "INSERT INTO log (t) VALUES ('a'), ('b')") == (2, 1)
    assert run(client, "SELECT id, t FROM log ORDER BY id") == ((1, "a"), (2, "b"))


def test_a_table_without_a_primary_key_stays_on_one_shard(client: Connection[Any]) -> None:
    make_accounts(client)
    run(client, "CREATE TABLE heap (a INT)")
    assert change(client, "INSERT INTO heap VALUES (1), (2)")[0] == 2
    run(client, "BEGIN")
    run(client, "INSERT INTO heap VALUES (3)")
    with pytest.raises(pymysql.err.NotSupportedError, match=r"without a primary key \(.*\.heap\)"):
        change(client, "UPDATE account SET balance = 0")
    run(client, "ROLLBACK")
    assert run(client, "SELECT a FROM heap ORDER BY a") == ((1,), (2,))


def test_strings_are_routed_as_their_collation_has_them(client: Connection[Any]) -> None:
    run(client, "CREATE TABLE person (name VARCHAR(20) PRIMARY KEY, age INT) COLLATE utf8mb4_general_ci")
    for name in ("Anna", "Émile", "Zoë", "o'hara", "back\\slash", "日本"):
        change(client, "INSERT INTO person VALUES (%s, 1)", name)
    for asked, stored in (
        ("ANNA", "Anna"),
        ("emile", "Émile"),
        ("ZOE", "Zoë"),
        ("日本", "日本"),
        ("O'HARA", "o'hara"),
    ):
        assert run(client, "SELECT name FROM person WHERE name = %s", asked) == ((stored,),)
    assert run(client, "SELECT name FROM person WHERE name = %s", "back\\slash") == (("back\\slash",),)


def test_binary_data_comes_back_byte_for_byte(client: Connection[Any]) -> None:
    run(client, "CREATE TABLE blobs (id INT PRIMARY KEY, data BLOB)")
    data = bytes(range(256)) * 3
    for number in range(5):
        change(client, "INSERT INTO blobs VALUES (%s, %s)", number, data)
    assert run(client, "SELECT data FROM blobs WHERE id = 3") == ((data,),)
    assert run(client, "SELECT COUNT(*) FROM blobs WHERE data = %s", data) == ((5,),)


def test_a_large_answer_is_streamed_whole(client: Connection[Any]) -> None:
    run(client, "CREATE TABLE big (id INT PRIMARY KEY, text LONGTEXT)")
    text = "x" * 1_000_000
    for number in range(6):
        change(client, "INSERT INTO big VALUES (%s, %s)", number, f"{number}{text}")
    assert [len(row[0]) for row in run(client, "SELECT text FROM big")] == [1_000_001] * 6
    assert run(client, "SELECT REPEAT('y', 5000000)") == (("y" * 5_000_000,),)
    run(client, "BEGIN")
    run(client, "UPDATE big SET text = CONCAT('!', text) WHERE id = 1")
    assert [len(row[0]) for row in run(client, "SELECT text FROM big WHERE id = 1")] == [1_000_002]
    assert run(client, "SELECT SUM(LENGTH(text)) FROM big") == ((Decimal(6_000_007),),)
    run(client, "ROLLBACK")


def test_warnings_can_be_asked_for(client: Connection[Any]) -> None:
    run(client, "CREATE TABLE t (id INT PRIMARY KEY, short VARCHAR(2))")
    run(client, "SET sql_mode = ''")
    assert change(client, "INSERT INTO t VALUES (1, 'long'), (2, 'long'), (3, 'longer')")[0] == 3
    assert len(run(client, "SHOW WARNINGS")) == 3
    assert run(client, "SELECT @@warning_count") == ((3,),)
    assert run(client, "SHOW WARNINGS LIMIT 1")[0][:2] == ("Warning", 1265)
    run(client, "SELECT short FROM t WHERE id = 1")
    assert run(client, "SHOW WARNINGS") == ()
    assert run(client, "SELECT CAST('1x' AS SIGNED)") == ((1,),)
    assert run(client, "SHOW WARNINGS")[0][1] == 1292
    with pytest.raises(pymysql.err.ProgrammingError):
        run(client, "SELECT * FROM missing")
    assert run(client, "SHOW ERRORS")[0][:2] == ("Error", 1146)


def test_the_internals_do_not_show(client: Connection[Any], database: str) -> None:
    make_accounts(client)
    assert run(client, "SHOW TABLES") == (("account",),)
    assert [row[0] for row in run(client, "SHOW COLUMNS FROM account")] == ["id", "owner", "balance"]
    assert [row[0] for row in run(client, "DESCRIBE account")] == ["id", "owner", "balance"]
    assert "_txg" not in run(client, "SHOW CREATE TABLE account")[0][1]
    assert run(client, "SHOW TRIGGERS") == ()
    assert ("_txguard",) not in run(client, "SHOW DATABASES")
    assert len(run(client, "SELECT * FROM account WHERE id = 1")[0]) == 3
    columns = (
        "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s ORDER BY ORDINAL_POSITION"
    )
    assert run(client, columns, database) == (("id",), ("owner",), ("balance",))
    with pytest.raises(pymysql.err.MySQLError):
        run(client, "SELECT * FROM _txguard.txn")


def test_multi_statements_each_have_their_result_and_stop_at_the_first_error(
    proxy_cluster: Cluster, database: str
) -> None:
    with (
        proxy_cluster.connect(database, client_flag=CLIENT.MULTI_STATEMENTS) as connection,
        connection.cursor() as cursor,
    ):
        make_accounts(connection)
        cursor.execute(
            "SELECT 1; UPDATE account SET balance = 1 WHERE id < 3; SELECT ';' AS c; SELECT COUNT(*) FROM account"
        )
        assert cursor.fetchall() == ((1,),)
        assert cursor.nextset()
        assert cursor.rowcount == 3
        assert cursor.nextset()
        assert cursor.fetchall() == ((";",),)
        assert cursor.nextset()
        assert cursor.fetchall() == ((30,),)
        assert not cursor.nextset()
        cursor.execute("DELETE FROM account WHERE id = 1; SELECT * FROM missing; DELETE FROM account")
        with pytest.raises(pymysql.err.ProgrammingError):
            cursor.nextset()
        cursor.execute("SELECT COUNT(*) FROM account;")
        assert cursor.fetchall() == ((29,),)


def test_several_statements_are_refused_where_they_were_not_negotiated(client: Connection[Any]) -> None:
    make_accounts(client)
    with pytest.raises(pymysql.err.ProgrammingError) as caught:
        run(client, "SELECT 1; DELETE FROM account")
    assert caught.value.args[0] == 1064
    assert run(client, "SELECT COUNT(*) FROM account") == ((30,),)


@pytest.mark.parametrize(
    ("sql", "errno"),
    [
        ("SELEC 1", 1064),
        ("SELECT * FROM missing", 1146),
        ("SELECT nothing FROM account WHERE id = 1", 1054),
        ("SELECT nothing FROM account", 1054),
        ("INSERT INTO account VALUES (1)", 1136),
        ("INSERT INTO account VALUES (1, 'x', 'no number')", 1366),
        ("USE nowhere", 1049),
        ("LOCK TABLES account WRITE", 1235),
        ("CREATE TABLE account (id INT PRIMARY KEY)", 1050),
        ("DROP TABLE missing", 1051),
        ("KILL 999999", 1094),
        ("", 1065),
        ("ALTER TABLE account ADD COLUMN x INT", 1235),
    ],
)
def test_errors_have_the_numbers_that_mysql_gives_them(client: Connection[Any], sql: str, errno: int) -> None:
    make_accounts(client)
    with pytest.raises(pymysql.err.MySQLError) as caught:
        run(client, sql)
    assert caught.value.args[0] == errno
    assert run(client, "SELECT 1") == ((1,),)


def test_a_comment_alone_is_an_empty_query(client: Connection[Any]) -> None:
    with pytest.raises(pymysql.err.MySQLError) as caught:
        run(client, "/* nothing */")
    assert caught.value.args[0] == 1065


def test_truncate_and_drop(client: Connection[Any]) -> None:
    make_accounts(client)
    run(client, "TRUNCATE TABLE account")
    assert run(client, "SELECT COUNT(*) FROM account") == ((0,),)
    run(client, "DROP TABLE account")
    assert run(client, "SHOW TABLES") == ()


def test_information_schema_shows_single_tables_wherever_they_live(
    client: Connection[Any], database: str
) -> None:
    run(client, "CREATE TABLE wide (id INT PRIMARY KEY, v INT, KEY (v))")
    run(client, "CREATE TABLE everywhere (id INT PRIMARY KEY) COMMENT='txguard: reference'")
    for home in ("s1", "s2", "s3"):
        columns = "k INT PRIMARY KEY, w VARCHAR(9), KEY w (w)"
        run(client, f"CREATE TABLE on_{home} ({columns}) COMMENT='txguard: single, home={home}'")
    tables = ["everywhere", "on_s1", "on_s2", "on_s3", "wide"]
    of_this = "table_schema = DATABASE()"
    found = run(
        client, f"SELECT table_name FROM information_schema.tables WHERE {of_this} ORDER BY table_name"
    )
    assert [row[0] for row in found] == tables
    found = run(
        client,
        f"SELECT table_name AS t FROM information_schema.tables WHERE {of_this} ORDER BY t DESC LIMIT %s OFFSET %s",
        2,
        1,
    )
    assert [row[0] for row in found] == ["on_s3", "on_s2"]
    count = "SELECT COUNT(*), COUNT(DISTINCT table_name) FROM information_schema.columns WHERE "
    assert run(client, count + of_this) == ((9, 5),)
    for name in tables:
        engine = f"SELECT engine FROM information_schema.tables WHERE {of_this} AND table_name = '{name}'"
        assert run(client, engine) == (("InnoDB",),)
    found = run(
        client,
        "SELECT DISTINCT index_name, column_name FROM information_schema.statistics "
        f"WHERE {of_this} AND index_name <> 'PRIMARY' ORDER BY index_name",
    )
    assert found == (("v", "v"), ("w", "w"))
    found = run(client, f"SELECT COUNT(*) FROM information_schema.table_constraints WHERE {of_this}")
    assert found == ((5,),)
    found = run(
        client,
        "SELECT t.table_name, t.auto_increment, c.ordinal_position, c.column_key, k.constraint_name "
        "FROM information_schema.tables AS t JOIN information_schema.columns AS c USING (table_schema, table_name) "
        "LEFT JOIN information_schema.key_column_usage AS k USING (table_schema, table_name, column_name) "
        f"WHERE {of_this} AND (t.table_type, c.column_name) = ('BASE TABLE', 'k') ORDER BY t.table_type, t.table_name",
    )
    assert found == tuple((f"on_s{number}", None, 1, "PRI", "PRIMARY") for number in (1, 2, 3))
    union = "SELECT table_name AS t FROM information_schema.tables WHERE table_schema = DATABASE()"
    assert len(run(client, f"{union} UNION ALL {union}")) == 10
    with pytest.raises(pymysql.err.NotSupportedError, match="on_s2"):
        run(client, "SELECT 1 FROM wide WHERE EXISTS (SELECT 1 FROM information_schema.tables)")


def test_information_schema_of_several_shards_keeps_types_and_foreign_letters(
    client: Connection[Any], database: str
) -> None:
    check = "CONSTRAINT positive CHECK (v > 0)"
    run(client, f"CREATE TABLE wide (id INT PRIMARY KEY, v INT, {check.replace('positive', 'of_wide')})")
    comment = "COMMENT='txguard: single, home=s3; zażółć ''x'' 中'"
    run(client, f"CREATE TABLE `Große` (v INT PRIMARY KEY, n DECIMAL(9,2) DEFAULT 1.5, {check}) {comment}")
    for names in ("utf8mb4", "latin1", "binary"):
        run(client, f"SET NAMES {names}")
        row = (
            "SELECT SUM(numeric_precision), MAX(column_default) FROM information_schema.columns "
            "WHERE table_schema = DATABASE() AND data_type = 'decimal' AND table_name LIKE 'Gro%'"
        )
        assert run(client, row)[0][0] == 9
    run(client, "SET NAMES utf8mb4")
    run(client, "SET character_set_results = NULL")
    about = (
        "SELECT table_comment, create_time > '2020-01-01' FROM information_schema.tables "
        "WHERE table_name LIKE 'Gro%'"
    )
    assert run(client, about) == (("txguard: single, home=s3; zażółć 'x' 中", 1),)
    checks = "SELECT constraint_name FROM information_schema.check_constraints WHERE constraint_schema = DATABASE()"
    assert {row[0] for row in run(client, checks)} == {"of_wide", "positive"}
    assert run(client, "SELECT * FROM information_schema.table_privileges") == ()


def test_bare_kinds_in_a_statements_comment(
    proxy_cluster: Cluster, client: Connection[Any], database: str
) -> None:
    run(client, "CREATE TABLE /* txguard: reference */ a (id INT PRIMARY KEY)")
    run(client, "CREATE TABLE b (id INT PRIMARY KEY) /* txguard: single, home=s3 */")
    run(client, "INSERT INTO a VALUES (1), (2)")
    run(client, "INSERT INTO b VALUES (1), (2)")
    assert spread(proxy_cluster, database, "a") == [2, 2, 2]
    with proxy_cluster.connect_shard(2, database) as shard:
        assert run(shard, "SELECT COUNT(*) FROM b") == ((2,),)
    with pytest.raises(pymysql.err.Error, match="means nothing"):
        run(client, "CREATE TABLE /* txguard: refrence */ c (id INT PRIMARY KEY)")


def test_table_status_adds_up_what_the_shards_hold(client: Connection[Any]) -> None:
    run(client, "CREATE TABLE spread (id INT PRIMARY KEY)")
    run(client, "CREATE TABLE whole (id INT PRIMARY KEY) COMMENT='txguard: reference'")
    run(client, "CREATE TABLE alone (id INT PRIMARY KEY) COMMENT='txguard: single, home=s2'")
    with client.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute("SHOW TABLE STATUS")
        found = {row["Name"]: row for row in cursor.fetchall()}
        assert list(found) == ["alone", "spread", "whole"]
        assert {row["Engine"] for row in found.values()} == {"InnoDB"}
        page = found["alone"]["Data_length"]
        assert [found[name]["Data_length"] // page for name in ("spread", "whole")] == [3, 1]
        cursor.execute("SHOW TABLE STATUS LIKE 'alo%'")
        assert [row["Name"] for row in cursor.fetchall()] == ["alone"]
    with pytest.raises(pymysql.err.NotSupportedError, match="WHERE"):
        run(client, "SHOW TABLE STATUS WHERE Rows > 1")
