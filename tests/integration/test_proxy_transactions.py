"""Transactions through the proxy, as MySQL has them: autocommit, implicit commits, savepoints, flags, endings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection

from proxy.wire.capabilities import Status
from tests.integration.conftest import LOCK_WAIT_TIMEOUT_S, Cluster

ROWS = 40


@pytest.fixture
def one(proxy_cluster: Cluster, database: str) -> Iterator[Connection[Any]]:
    connection = proxy_cluster.connect(database)
    try:
        run(connection, "CREATE TABLE account (id INT PRIMARY KEY, balance INT NOT NULL)")
        run(connection, "INSERT INTO account VALUES " + ", ".join(f"({n}, 10)" for n in range(ROWS)))
        yield connection
    finally:
        if connection.open:
            connection.close()


@pytest.fixture
def two(proxy_cluster: Cluster, database: str, one: Connection[Any]) -> Iterator[Connection[Any]]:
    with proxy_cluster.connect(database) as connection:
        yield connection


def run(connection: Connection[Any], sql: str) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall())


def total(connection: Connection[Any]) -> int:
    return int(run(connection, "SELECT SUM(balance) FROM account")[0][0])


def status(connection: Connection[Any]) -> Status:
    return Status(connection.server_status) & (Status.IN_TRANS | Status.AUTOCOMMIT | Status.IN_TRANS_READONLY)


def errno(connection: Connection[Any], sql: str) -> int:
    with pytest.raises(pymysql.err.MySQLError) as caught:
        run(connection, sql)
    return int(caught.value.args[0])


def test_a_transfer_over_shards_shows_as_a_whole_or_not_at_all(
    one: Connection[Any], two: Connection[Any]
) -> None:
    run(one, "BEGIN")
    for number in range(0, ROWS, 2):
        run(one, f"UPDATE account SET balance = balance - 1 WHERE id = {number}")
        run(one, f"UPDATE account SET balance = balance + 1 WHERE id = {number + 1}")
        assert total(two) == 10 * ROWS
    assert run(two, "SELECT balance FROM account WHERE id = 1") == ((10,),)
    run(one, "COMMIT")
    assert run(two, "SELECT balance FROM account WHERE id = 1") == ((11,),)
    assert total(two) == 10 * ROWS


def test_rollback_undoes_on_all_shards(one: Connection[Any], two: Connection[Any]) -> None:
    run(one, "BEGIN")
    run(one, "UPDATE account SET balance = 0")
    assert total(one) == 0
    run(one, "ROLLBACK")
    assert total(one) == total(two) == 10 * ROWS


def test_a_transaction_reads_one_snapshot(one: Connection[Any], two: Connection[Any]) -> None:
    run(one, "BEGIN")
    assert run(one, "SELECT balance FROM account WHERE id = 0") == ((10,),)
    run(two, "UPDATE account SET balance = 99")
    assert total(one) == 10 * ROWS
    assert run(one, "SELECT balance FROM account WHERE id = 5") == ((10,),)
    run(one, "COMMIT")
    assert total(one) == 99 * ROWS


def test_read_committed_sees_each_commit(one: Connection[Any], two: Connection[Any]) -> None:
    run(one, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    run(one, "BEGIN")
    assert total(one) == 10 * ROWS
    run(two, "UPDATE account SET balance = 20")
    assert total(one) == 20 * ROWS
    assert run(one, "SELECT balance FROM account WHERE id = 5") == ((20,),)
    run(one, "COMMIT")


def test_the_first_committer_wins(one: Connection[Any], two: Connection[Any]) -> None:
    run(one, "BEGIN")
    run(one, "SELECT balance FROM account WHERE id = 0")
    run(two, "UPDATE account SET balance = 50 WHERE id = 0")
    assert errno(one, "UPDATE account SET balance = balance + 1 WHERE id = 0") == 1213
    assert status(one) & Status.AUTOCOMMIT
    assert run(one, "SELECT balance FROM account WHERE id = 0") == ((50,),)
    run(one, "COMMIT")


def test_a_conflict_ends_the_whole_transaction(one: Connection[Any], two: Connection[Any]) -> None:
    run(one, "BEGIN")
    run(one, "UPDATE account SET balance = 0 WHERE id = 7")
    run(one, "SELECT balance FROM account WHERE id = 0")
    run(two, "UPDATE account SET balance = 50 WHERE id = 0")
    assert errno(one, "UPDATE account SET balance = 1 WHERE id = 0") == 1213
    run(two, "UPDATE account SET balance = 11 WHERE id = 7")
    assert run(one, "SELECT balance FROM account WHERE id = 7") == ((11,),)


def test_status_flags_follow_the_transaction(one: Connection[Any]) -> None:
    run(one, "SELECT 1")
    assert status(one) == Status.AUTOCOMMIT
    run(one, "BEGIN")
    assert status(one) == Status.AUTOCOMMIT | Status.IN_TRANS
    run(one, "SELECT balance FROM account WHERE id = 3")
    assert status(one) == Status.AUTOCOMMIT | Status.IN_TRANS
    run(one, "SELECT balance FROM account ORDER BY id")
    assert status(one) == Status.AUTOCOMMIT | Status.IN_TRANS
    run(one, "UPDATE account SET balance = 1 WHERE id = 3")
    assert status(one) == Status.AUTOCOMMIT | Status.IN_TRANS
    run(one, "COMMIT")
    assert status(one) == Status.AUTOCOMMIT
    run(one, "START TRANSACTION READ ONLY")
    assert status(one) == Status.AUTOCOMMIT | Status.IN_TRANS | Status.IN_TRANS_READONLY
    run(one, "ROLLBACK")
    run(one, "SET autocommit = 0")
    assert status(one) == Status(0)
    run(one, "SELECT balance FROM account WHERE id = 3")
    run(one, "SET @x = 1")  # PyMySQL reads the flags of OK packets only
    assert status(one) == Status.IN_TRANS
    run(one, "COMMIT")
    assert status(one) == Status(0)


def test_without_autocommit_a_statement_opens_a_transaction(
    one: Connection[Any], two: Connection[Any]
) -> None:
    run(one, "SET autocommit = 0")
    run(one, "UPDATE account SET balance = 0")
    assert total(two) == 10 * ROWS
    run(one, "ROLLBACK")
    assert total(one) == 10 * ROWS
    run(one, "UPDATE account SET balance = 1")
    run(one, "SET autocommit = 1")
    assert total(two) == ROWS


def test_setting_autocommit_again_commits_nothing(one: Connection[Any], two: Connection[Any]) -> None:
    run(one, "BEGIN")
    run(one, "UPDATE account SET balance = 0")
    run(one, "SET autocommit = 1")
    assert total(two) == 10 * ROWS
    run(one, "ROLLBACK")


@pytest.mark.parametrize(
    "statement", ["BEGIN", "CREATE TABLE other (id INT PRIMARY KEY)", "TRUNCATE TABLE other2"]
)
def test_begin_and_ddl_commit_what_is_open(
    one: Connection[Any], two: Connection[Any], statement: str
) -> None:
    run(one, "CREATE TABLE other2 (id INT PRIMARY KEY)")
    run(one, "BEGIN")
    run(one, "UPDATE account SET balance = 1")
    run(one, statement)
    assert total(two) == ROWS
    run(one, "ROLLBACK")
    assert total(two) == ROWS


def test_savepoints(one: Connection[Any]) -> None:
    run(one, "BEGIN")
    run(one, "UPDATE account SET balance = 11 WHERE id = 0")
    run(one, "SAVEPOINT a")
    run(one, "UPDATE account SET balance = 12")
    run(one, "SAVEPOINT b")
    run(one, "UPDATE account SET balance = 13")
    run(one, "ROLLBACK TO b")
    assert total(one) == 12 * ROWS
    run(one, "ROLLBACK TO SAVEPOINT a")
    assert total(one) == 10 * ROWS + 1
    assert errno(one, "ROLLBACK TO b") == 1305
    run(one, "RELEASE SAVEPOINT a")
    assert errno(one, "RELEASE SAVEPOINT a") == 1305
    run(one, "COMMIT")
    assert total(one) == 10 * ROWS + 1


def test_a_read_only_transaction_refuses_writes_and_goes_on(one: Connection[Any]) -> None:
    run(one, "START TRANSACTION READ ONLY")
    assert errno(one, "UPDATE account SET balance = 0") == 1792
    assert errno(one, "INSERT INTO account VALUES (100, 1)") == 1792
    assert errno(one, "DROP TABLE account") == 1792
    assert total(one) == 10 * ROWS
    run(one, "COMMIT")
    run(one, "SET SESSION TRANSACTION READ ONLY")
    assert errno(one, "UPDATE account SET balance = 0") == 1792


def test_set_transaction_is_for_the_next_one_only(one: Connection[Any], two: Connection[Any]) -> None:
    run(one, "SET TRANSACTION READ ONLY")
    run(one, "BEGIN")
    assert errno(one, "SET TRANSACTION READ WRITE") == 1568
    assert errno(one, "UPDATE account SET balance = 0") == 1792
    run(one, "COMMIT")
    run(one, "UPDATE account SET balance = 0")
    assert total(two) == 0


def test_chain_goes_on_with_the_same_characteristics(one: Connection[Any]) -> None:
    run(one, "START TRANSACTION READ ONLY")
    run(one, "COMMIT AND CHAIN")
    assert status(one) & Status.IN_TRANS
    assert errno(one, "UPDATE account SET balance = 0") == 1792
    run(one, "ROLLBACK")
    assert not status(one) & Status.IN_TRANS


def test_release_ends_the_connection(
    proxy_cluster: Cluster, one: Connection[Any], two: Connection[Any]
) -> None:
    run(one, "BEGIN")
    run(one, "UPDATE account SET balance = 1")
    run(one, "COMMIT RELEASE")
    with pytest.raises(pymysql.err.MySQLError):
        run(one, "SELECT 1")
    assert total(two) == ROWS


def test_start_transaction_with_consistent_snapshot_takes_it_at_once(
    one: Connection[Any], two: Connection[Any]
) -> None:
    run(one, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
    run(two, "UPDATE account SET balance = 0")
    assert total(one) == 10 * ROWS
    run(one, "COMMIT")


def test_reset_connection_rolls_back_and_starts_afresh(one: Connection[Any], two: Connection[Any]) -> None:
    run(one, "SET @x = 1, autocommit = 0")
    run(one, "SET time_zone = '+05:00'")
    run(one, "UPDATE account SET balance = 0")
    one._execute_command(0x1F, b"")  # type: ignore[attr-defined]
    one._read_ok_packet()  # type: ignore[attr-defined]
    assert total(two) == 10 * ROWS
    assert run(one, "SELECT @x, @@autocommit, @@time_zone = '+05:00', DATABASE() IS NOT NULL") == (
        (None, 1, 0, 1),
    )
    run(two, "UPDATE account SET balance = 1 WHERE id = 1")


@pytest.mark.parametrize("how", ["quit", "vanish"])
def test_a_client_that_leaves_frees_its_locks(
    proxy_cluster: Cluster, database: str, one: Connection[Any], two: Connection[Any], how: str
) -> None:
    run(one, "BEGIN")
    run(one, "UPDATE account SET balance = 0")
    if how == "quit":
        one.close()
    else:
        one._sock.close()  # type: ignore[attr-defined]
        one._rfile.close()  # type: ignore[attr-defined]
        one._force_close()  # type: ignore[attr-defined]
    began = time.monotonic()
    run(two, "UPDATE account SET balance = 5")
    assert time.monotonic() - began < LOCK_WAIT_TIMEOUT_S
    assert total(two) == 5 * ROWS


def test_a_client_that_vanishes_while_it_waits_for_a_lock_frees_those_it_has(
    proxy_cluster: Cluster, database: str, one: Connection[Any], two: Connection[Any]
) -> None:
    run(one, "BEGIN")
    run(one, "UPDATE account SET balance = 0 WHERE id = 1")
    with proxy_cluster.connect(database) as three:
        run(three, "BEGIN")
        run(three, "UPDATE account SET balance = 0 WHERE id = 2")
        three._execute_command(3, "UPDATE account SET balance = 0 WHERE id = 1")  # type: ignore[attr-defined]
        time.sleep(0.3)
        three._force_close()  # type: ignore[attr-defined]
    began = time.monotonic()
    run(two, "UPDATE account SET balance = 7 WHERE id = 2")
    assert time.monotonic() - began < LOCK_WAIT_TIMEOUT_S - 1
    run(one, "ROLLBACK")
    assert run(two, "SELECT balance FROM account WHERE id = 2") == ((7,),)


def test_locking_reads_hold_the_row(one: Connection[Any], two: Connection[Any]) -> None:
    run(one, "BEGIN")
    assert run(one, "SELECT balance FROM account WHERE id = 1 FOR UPDATE") == ((10,),)
    assert errno(two, "UPDATE account SET balance = 0 WHERE id = 1") == 1205
    run(one, "COMMIT")
    run(two, "UPDATE account SET balance = 0 WHERE id = 1")


def test_a_lock_wait_timeout_undoes_the_statement_alone(one: Connection[Any], two: Connection[Any]) -> None:
    run(one, "BEGIN")
    run(one, "UPDATE account SET balance = 0 WHERE id = 1")
    run(two, "BEGIN")
    run(two, "UPDATE account SET balance = 20 WHERE id = 2")
    assert errno(two, "UPDATE account SET balance = 20") == 1205
    assert status(two) & Status.IN_TRANS
    run(two, "COMMIT")
    run(one, "ROLLBACK")
    assert total(one) == 10 * ROWS + 10


def test_exact_sums_under_decimal(one: Connection[Any]) -> None:
    run(one, "BEGIN")
    assert run(one, "SELECT AVG(balance), MIN(balance), MAX(id) FROM account") == (
        (Decimal("10.0000"), 10, ROWS - 1),
    )
    run(one, "COMMIT")


def ids_by_shard(cluster: Cluster, database: str) -> list[list[int]]:
    placed = []
    for number in range(len(cluster.servers)):
        with cluster.connect_shard(number, database) as shard:
            placed.append([row[0] for row in run(shard, "SELECT id FROM account ORDER BY id")])
    return placed


def send(connection: Connection[Any], sql: str) -> None:
    """Without waiting for the answer."""
    connection._execute_command(3, sql)  # type: ignore[attr-defined]


def answer(connection: Connection[Any]) -> int:
    """The errno of what was sent, 0 when it went well."""
    try:
        connection._read_query_result()  # type: ignore[attr-defined]
    except pymysql.err.MySQLError as error:
        return int(error.args[0])
    return 0


@pytest.mark.parametrize("begin", ["BEGIN", "SET autocommit = 0"])
def test_a_deadlock_over_two_shards_costs_the_younger_one(
    proxy_cluster: Cluster, database: str, one: Connection[Any], two: Connection[Any], begin: str
) -> None:
    placed = ids_by_shard(proxy_cluster, database)
    here, there = placed[0][0], placed[1][0]
    for connection, first in ((one, here), (two, there)):
        run(connection, begin)
        run(connection, f"UPDATE account SET balance = balance + 1 WHERE id = {first}")
    began = time.monotonic()
    send(one, f"UPDATE account SET balance = balance + 1 WHERE id = {there}")
    send(two, f"UPDATE account SET balance = balance + 1 WHERE id = {here}")
    assert answer(two) == 1213
    assert answer(one) == 0
    assert time.monotonic() - began < LOCK_WAIT_TIMEOUT_S - 1
    run(one, "COMMIT")
    assert run(two, f"SELECT balance FROM account WHERE id IN ({here}, {there})") == ((11,), (11,))


def test_a_deadlock_of_three(
    proxy_cluster: Cluster, database: str, one: Connection[Any], two: Connection[Any]
) -> None:
    ids = [shard[0] for shard in ids_by_shard(proxy_cluster, database)]
    with proxy_cluster.connect(database) as three:
        ring = [one, two, three]
        for connection, own in zip(ring, ids, strict=True):
            run(connection, "BEGIN")
            run(connection, f"UPDATE account SET balance = balance + 1 WHERE id = {own}")
        for connection, wanted in zip(ring, [*ids[1:], ids[0]], strict=True):
            send(connection, f"UPDATE account SET balance = balance + 1 WHERE id = {wanted}")
        assert answer(three) == 1213
        assert answer(two) == 0
        run(two, "COMMIT")
        assert answer(one) == 0
        run(one, "COMMIT")
