"""Reads in the past through the proxy: AS OF TIMESTAMP, READ ONLY AS OF, txguard_snapshot."""

from __future__ import annotations

import datetime
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection

from tests.integration.binary_client import BinaryClient
from tests.integration.conftest import Cluster
from tso.types import Timestamp
from txguard.engine.install import ANY_MARK
from txguard.engine.managed_table import history_name
from txguard.engine.marks import raise_mark

ROWS = 40
UTC = "SET time_zone = '+00:00'"


@pytest.fixture
def one(proxy_cluster: Cluster, database: str) -> Iterator[Connection[Any]]:
    with proxy_cluster.connect(database) as connection:
        run(connection, UTC)
        run(connection, "CREATE TABLE account (id INT PRIMARY KEY, balance INT NOT NULL)")
        run(connection, "INSERT INTO account VALUES " + ", ".join(f"({n}, 10)" for n in range(ROWS)))
        yield connection


@pytest.fixture
def two(proxy_cluster: Cluster, database: str, one: Connection[Any]) -> Iterator[Connection[Any]]:
    with proxy_cluster.connect(database) as connection:
        run(connection, UTC)
        yield connection


def run(connection: Connection[Any], sql: str) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall())


def errno(connection: Connection[Any], sql: str) -> int:
    with pytest.raises(pymysql.err.MySQLError) as caught:
        run(connection, sql)
    return int(caught.value.args[0])


def now(connection: Connection[Any]) -> int:
    """A timestamp of the oracle: above every commit_ts so far, below every later one."""
    run(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
    [(start_ts,)] = run(connection, "SELECT @@txguard_start_ts")
    run(connection, "ROLLBACK")
    return int(start_ts)


def right_now(connection: Connection[Any]) -> int:
    """As `now`, with nothing waited for: commits below it may be under way."""
    run(connection, "BEGIN")
    run(connection, "SAVEPOINT one")
    [(start_ts,)] = run(connection, "SELECT @@txguard_start_ts")
    run(connection, "ROLLBACK")
    return int(start_ts)


def as_text(instant: int) -> str:
    """The millisecond after: still below every commit that comes a millisecond later."""
    seconds = ((instant >> 18) + 1) / 1000
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def pause_until_after(instant: int) -> None:
    """Two whole milliseconds by the clock: the test's own sense of time, not a wait for something to happen."""
    while time.time() * 1000 < (instant >> 18) + 2:
        pass


def test_each_form_reads_one_instant_on_all_shards(one: Connection[Any], two: Connection[Any]) -> None:
    run(one, "CREATE TABLE entry (owner INT, number INT, amount INT, PRIMARY KEY (owner, number))")
    run(one, "INSERT INTO entry VALUES " + ", ".join(f"({n}, 1, {n})" for n in range(9)))
    before = now(one)
    pause_until_after(before)
    text = as_text(before)
    run(one, "UPDATE entry SET number = number + 1, amount = 0")
    run(one, "UPDATE account SET balance = 0 WHERE id < 20")
    run(one, "DELETE FROM account WHERE id >= 20")
    run(one, "INSERT INTO account VALUES (1000, 7)")
    everything = tuple((n, 10) for n in range(ROWS))
    for instant in (f"'{text}'", str(before), f"TIMESTAMP'{text}'", f"'{text}' + INTERVAL 0 SECOND"):
        assert run(two, f"SELECT * FROM account AS OF TIMESTAMP {instant} ORDER BY id") == everything
    point = f"SELECT a.balance FROM account AS a AS OF TIMESTAMP '{text}' WHERE a.id"
    assert run(two, f"{point} = 33") == ((10,),)
    assert run(two, f"{point} = 1000") == ()
    entries = f"SELECT * FROM entry AS OF TIMESTAMP '{text}' ORDER BY owner"
    assert run(two, entries) == tuple((n, 1, n) for n in range(9)), "a changed primary key"
    assert run(two, f"SELECT SUM(balance), COUNT(*) FROM account AS OF TIMESTAMP '{text}'") == ((400, 40),)
    assert run(two, "SELECT SUM(balance), COUNT(*) FROM account") == ((7, 21),)

    run(two, f"START TRANSACTION READ ONLY AS OF TIMESTAMP '{text}'")
    assert run(two, "SELECT * FROM account ORDER BY id") == everything
    assert run(two, "SELECT balance FROM account WHERE id = 33") == ((10,),)
    assert errno(two, "UPDATE account SET balance = 1 WHERE id = 1") == 1792
    assert errno(two, "SELECT * FROM account WHERE id = 1 FOR UPDATE") == 1792
    run(two, "COMMIT")
    assert run(two, "SELECT balance FROM account WHERE id = 33") == ()

    run(two, f"SET txguard_snapshot = '{text}'")
    assert run(two, "SELECT @@txguard_snapshot") == ((text,),)
    assert run(two, "SELECT * FROM account ORDER BY id") == everything
    assert run(two, "SELECT balance FROM account WHERE id = 33") == ((10,),)
    for refused in (
        "UPDATE account SET balance = 1 WHERE id = 1",
        "INSERT INTO account VALUES (5000, 1)",
        "DELETE FROM account",
        "SELECT * FROM account WHERE id = 1 FOR UPDATE",
        "CREATE TABLE other (id INT PRIMARY KEY)",
        "TRUNCATE TABLE account",
    ):
        assert errno(two, refused) == 1792, refused
    run(two, "BEGIN")
    assert run(two, "SELECT SUM(balance) FROM account") == ((400,),)
    assert errno(two, "UPDATE account SET balance = 1 WHERE id = 1") == 1792
    run(two, "COMMIT")
    run(two, "SET txguard_snapshot = ''")
    assert run(two, "SELECT SUM(balance) FROM account") == ((7,),)
    run(two, "UPDATE account SET balance = 8 WHERE id = 1000")


def test_the_past_is_read_beside_an_open_transaction(one: Connection[Any]) -> None:
    before = now(one)
    run(one, "BEGIN")
    run(one, "UPDATE account SET balance = 11 WHERE id = 1")
    assert run(one, f"SELECT balance FROM account AS OF TIMESTAMP {before} WHERE id = 1") == ((10,),)
    assert run(one, "SELECT balance FROM account WHERE id = 1") == ((11,),)
    run(one, "COMMIT")
    assert run(one, f"SELECT balance FROM account AS OF TIMESTAMP {before} WHERE id = 1") == ((10,),)


def test_a_prepared_statement_is_given_the_instant(one: Connection[Any]) -> None:
    before = now(one)
    run(one, "UPDATE account SET balance = 11")
    client = BinaryClient(one)
    point = client.prepare("SELECT balance FROM account AS OF TIMESTAMP ? WHERE id = ?")
    whole = client.prepare("SELECT SUM(balance) FROM account AS OF TIMESTAMP ? LIMIT ?")
    for instant, balance in ((before, 10), (now(one), 11)):
        assert client.execute(point, [instant, 5]) == [[balance]]
        [[total]] = client.execute(whole, [instant, 1])  # type: ignore[misc]
        assert int(total) == balance * ROWS
    run(one, f"SET txguard_snapshot = {before}")
    assert client.execute(client.prepare("SELECT balance FROM account WHERE id = ?"), [5]) == [[10]]
    run(one, "SET txguard_snapshot = ''")


def test_joins_and_subqueries(one: Connection[Any], database: str) -> None:
    run(one, "CREATE TABLE owner (id INT PRIMARY KEY, name VARCHAR(20))")
    run(one, "CREATE TABLE kind (id INT PRIMARY KEY, name VARCHAR(20)) COMMENT='txguard: reference'")
    run(one, "INSERT INTO owner VALUES " + ", ".join(f"({n}, 'n{n}')" for n in range(ROWS)))
    run(one, "INSERT INTO kind VALUES (10, 'ten'), (11, 'eleven')")
    joined = (
        "SELECT o.id, o.name, a.balance, k.name FROM owner o {0} JOIN account a {0} ON a.id = o.id "
        "LEFT JOIN kind k {0} ON k.id = a.balance WHERE o.id < 9 ORDER BY o.id"
    )
    nested = "SELECT name FROM kind {0} WHERE id IN (SELECT id + 5 FROM kind {0}) OR id = 10 ORDER BY name"
    expected = run(one, joined.format("")), run(one, nested.format(""))
    before = now(one)
    run(one, "UPDATE account SET balance = 11 WHERE id < 5")
    run(one, "DELETE FROM owner WHERE id = 2")
    run(one, "UPDATE owner SET name = 'new'")
    run(one, "INSERT INTO kind VALUES (5, 'five')")
    assert expected != (run(one, joined.format("")), run(one, nested.format("")))
    clause = f"AS OF TIMESTAMP {before}"
    assert (run(one, joined.format(clause)), run(one, nested.format(clause))) == expected
    assert errno(one, f"SELECT 1 FROM owner o {clause}, account a") == 1235
    assert errno(one, f"SELECT 1 FROM owner o {clause}, account a AS OF TIMESTAMP NOW()") == 1235
    assert errno(one, f"UPDATE account {clause} SET balance = 1") in (1064, 1235)
    assert errno(one, f"SELECT 1 FROM owner {clause} FOR UPDATE") == 1235
    assert errno(one, f"INSERT INTO owner SELECT id + 100, 'x' FROM kind {clause}") == 1235
    assert errno(one, f"EXPLAIN SELECT 1 FROM owner {clause}") == 1235


def test_what_is_no_time_of_the_past_is_refused(one: Connection[Any]) -> None:
    select = "SELECT COUNT(*) FROM account AS OF TIMESTAMP"
    assert errno(one, f"{select} NOW() + INTERVAL 1 HOUR") == 1525
    assert errno(one, f"{select} '2020-01-01'") == 9104, "before the table was created"
    for nonsense in ("'yesterday'", "NULL", "'2026-02-31 12:00:00'", "'2026-07-31 12:00:00+05:00'", "7"):
        assert errno(one, f"{select} {nonsense}") == 1292, nonsense
    assert errno(one, f"{select} (SELECT 1)") == errno(one, f"{select} SLEEP(1)") == 1235
    assert errno(one, f"{select} id") == 1235
    assert errno(one, "SET txguard_snapshot = 'yesterday'") == 1292
    assert errno(one, "START TRANSACTION READ ONLY AS OF TIMESTAMP NOW() + INTERVAL 1 HOUR") == 1525
    run(one, "UPDATE account SET balance = 10 WHERE id = 1")
    assert run(one, "SELECT COUNT(*) FROM account") == ((ROWS,),)
    before = now(one)
    run(one, "TRUNCATE TABLE account")
    assert errno(one, f"{select} {before}") == 9104, "truncated since"
    run(one, "INSERT INTO account VALUES (1, 1)")
    assert run(one, f"{select} {now(one)}") == ((1,),)


def test_a_sum_is_the_total_at_any_instant(
    proxy_cluster: Cluster, one: Connection[Any], database: str
) -> None:
    first = now(one)
    done = threading.Event()

    def transfer(seed: int) -> None:
        chance = random.Random(seed)
        with proxy_cluster.connect(database) as connection:
            while not done.is_set():
                here, there, gone = chance.sample(range(ROWS), 3)
                try:
                    run(connection, "BEGIN")
                    run(connection, f"UPDATE account SET balance = balance - 1 WHERE id = {here}")
                    run(connection, f"UPDATE account SET balance = balance + 1 WHERE id = {there}")
                    if chance.random() < 0.3:  # the same money under a new key, or the same key anew
                        [*found] = run(
                            connection, f"SELECT balance FROM account WHERE id = {gone} FOR UPDATE"
                        )
                        run(connection, f"DELETE FROM account WHERE id = {gone}")
                        run(connection, f"INSERT INTO account VALUES ({gone}, {found[0][0]})")
                    run(connection, "COMMIT")
                except pymysql.err.OperationalError:
                    run(connection, "ROLLBACK")

    threads = [threading.Thread(target=transfer, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    chance = random.Random(7)
    distinct: set[object] = set()
    try:
        started = time.monotonic()
        while time.monotonic() - started < 2.5:
            latest = right_now(one)
            instant = chance.choice([latest, chance.randint(first, latest)])
            clause = f"AS OF TIMESTAMP {instant}"
            query = f"SELECT SUM(balance), COUNT(*), SUM(balance * balance) FROM account {clause}"
            [(total, count, squares)] = run(one, query)
            assert (total, count) == (10 * ROWS, ROWS), instant
            assert run(one, query) == ((total, count, squares),), "an instant does not change"
            distinct.add(squares)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert len(distinct) > 5


def test_what_was_cleaned_is_refused_and_what_is_open_is_kept(
    proxy_cluster: Cluster, one: Connection[Any], two: Connection[Any]
) -> None:
    before = now(one)
    run(one, "UPDATE account SET balance = 11")
    after = now(one)
    run(two, f"START TRANSACTION READ ONLY AS OF TIMESTAMP {before}")
    [tables] = zip(*run(one, "SHOW TABLES"), strict=True)
    assert tables == ("account",)
    with proxy_cluster.connect_shard(1) as shard:  # as the cleaner does it, long after
        schema = run(one, "SELECT DATABASE()")[0][0]
        history = history_name(schema, "account")
        [(writer,)] = run(shard, f"SELECT DISTINCT _txg_next FROM _txguard.{history} WHERE _txg_op = 'U'")
        run(shard, "BEGIN")
        run(shard, raise_mark(ANY_MARK, Timestamp(after)))
        run(shard, f"DELETE FROM _txguard.{history} WHERE _txg_next = {writer}")
        run(shard, f"DELETE FROM _txguard.txn WHERE start_ts = {writer}")
        run(shard, "COMMIT")
    assert run(two, "SELECT SUM(balance) FROM account") == ((10 * ROWS,),)
    run(two, "COMMIT")
    select = "SELECT SUM(balance) FROM account AS OF TIMESTAMP"
    assert errno(two, f"{select} {before}") == 9104
    assert errno(two, f"START TRANSACTION READ ONLY AS OF TIMESTAMP {before}") == 9104
    assert run(two, "SELECT SUM(balance) FROM account") == ((11 * ROWS,),), "no transaction was left open"
    assert run(two, f"{select} {after}") == ((11 * ROWS,),)
