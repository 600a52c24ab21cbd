"""`@transactional` on plain functions against real servers: deadlocks, lost connections, lost commits."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pymysql
import pytest
import sqlalchemy

from proxy.playground.servers import Server
from tests.fakes.clients import connect_server
from txguard import Isolation, OutcomeUndetermined, Propagation, transactional
from txguard.transactional import RetriesExhausted, TransactionEnded

DATABASE = "transactional_pymysql"


class Account:
    """One server with a table of accounts, and every kind of source that plain functions may use."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.dsn = f"mysql://root@{server.host}:{server.port}/{DATABASE}"
        self.engine = sqlalchemy.create_engine(f"mysql+pymysql://root@{server.host}:{server.port}/{DATABASE}")

    def connect(self) -> Any:
        return connect_server(self.server, DATABASE)

    def query(self, statement: str) -> Sequence[Sequence[Any]]:
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            rows: Sequence[Sequence[Any]] = cursor.fetchall()
            return rows

    def balances(self) -> list[int]:
        return [row[0] for row in self.query("SELECT balance FROM account ORDER BY id")]


@pytest.fixture(params=["factory", "dsn", "engine"])
def source(request: pytest.FixtureRequest, account: Account) -> Any:
    return {"factory": account.connect, "dsn": account.dsn, "engine": account.engine}[request.param]


@pytest.fixture
def account(shard_servers: Sequence[Server]) -> Iterator[Account]:
    server = shard_servers[0]
    with contextlib.closing(connect_server(server)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {DATABASE}")
            cursor.execute(f"CREATE TABLE {DATABASE}.account (id INT PRIMARY KEY, balance INT NOT NULL)")
            cursor.execute(f"INSERT INTO {DATABASE}.account VALUES (1, 100), (2, 100)")
        made = Account(server)
        yield made
        made.engine.dispose()
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {DATABASE}")


def run(connection: Any, statement: str) -> Any:
    """Run on a PEP 249 or a SQLAlchemy connection; the first column of the first row, if any."""
    if isinstance(connection, sqlalchemy.Connection):
        result = connection.exec_driver_sql(statement)
        row = result.fetchone() if result.returns_rows else None
    else:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone()
    return row[0] if row else None


def add(connection: Any, account_id: int, amount: int) -> None:
    run(connection, f"UPDATE account SET balance = balance + {amount} WHERE id = {account_id}")


def test_commit_and_rollback(source: Any, account: Account) -> None:
    @transactional(source)
    def transfer(connection: Any, amount: int, fail: bool = False) -> int:
        add(connection, 1, -amount)
        add(connection, 2, amount)
        if fail:
            raise KeyError("changed my mind")
        return int(run(connection, "SELECT balance FROM account WHERE id = 2"))

    assert transfer(30) == 130
    with pytest.raises(KeyError):
        transfer(5, fail=True)
    assert account.balances() == [70, 130]


def test_a_real_deadlock_is_retried_until_both_are_through(source: Any, account: Account) -> None:
    """Both lock their first row before either asks for its second: InnoDB must kill one of them."""
    met = threading.Barrier(2, timeout=20)
    attempts: list[int] = []

    @transactional(source, isolation=Isolation.READ_COMMITTED)
    def transfer(connection: Any, first: int, second: int) -> None:
        attempts.append(first)
        add(connection, first, -10)
        if attempts.count(first) == 1:
            met.wait()
        add(connection, second, 10)

    with ThreadPoolExecutor(2) as threads:
        for future in [threads.submit(transfer, 1, 2), threads.submit(transfer, 2, 1)]:
            future.result(30)
    assert sorted(attempts) in ([1, 1, 2], [1, 2, 2])
    assert account.balances() == [100, 100]


def test_a_lock_wait_timeout_is_retried_and_given_up(source: Any, account: Account) -> None:
    @transactional(source, retries=1)
    def blocked(connection: Any) -> None:
        run(connection, "SET innodb_lock_wait_timeout = 1")
        add(connection, 1, 1)

    with contextlib.closing(account.connect()) as holder:
        run(holder, "START TRANSACTION")
        add(holder, 1, 50)
        with pytest.raises(RetriesExhausted) as caught:
            blocked()
        run(holder, "ROLLBACK")
    assert caught.value.attempts == 2
    assert "1205" in str(caught.value)
    blocked()
    assert account.balances() == [101, 100]


def test_a_killed_connection_is_replaced(source: Any, account: Account) -> None:
    victims: list[int] = []

    @transactional(source)
    def transfer(connection: Any) -> None:
        victims.append(run(connection, "SELECT CONNECTION_ID()"))
        add(connection, 1, -1)
        if len(victims) == 1:
            account.query(f"KILL {victims[0]}")
        add(connection, 2, 1)

    transfer()
    assert len(set(victims)) == 2
    assert account.balances() == [99, 101]


def test_a_connection_lost_at_commit_is_undetermined(source: Any, account: Account) -> None:
    runs: list[int] = []

    @transactional(source)
    def transfer(connection: Any) -> None:
        runs.append(run(connection, "SELECT CONNECTION_ID()"))
        add(connection, 1, -1)
        account.query(f"KILL {runs[-1]}")

    with pytest.raises(OutcomeUndetermined):
        transfer()
    assert len(runs) == 1


def test_savepoints(source: Any, account: Account) -> None:
    @transactional(source, propagation=Propagation.NESTED)
    def part(connection: Any, fail: bool) -> None:
        add(connection, 1, -7)
        if fail:
            raise KeyError

    @transactional(source)
    def whole(connection: Any) -> None:
        add(connection, 2, 7)
        part(fail=False)
        with contextlib.suppress(KeyError):
            part(fail=True)

    whole()
    assert account.balances() == [93, 107]


def test_requires_new_commits_although_the_outer_rolls_back(source: Any, account: Account) -> None:
    @transactional(source, propagation=Propagation.REQUIRES_NEW)
    def audit(connection: Any) -> None:
        add(connection, 2, 1)

    @transactional(source)
    def outer(connection: Any) -> None:
        add(connection, 1, 1)
        audit()
        raise KeyError

    with pytest.raises(KeyError):
        outer()
    assert account.balances() == [100, 101]


def test_never_is_autocommit(source: Any, account: Account) -> None:
    @transactional(source, propagation=Propagation.NEVER)
    def unprotected(connection: Any) -> None:
        add(connection, 1, 1)
        raise KeyError

    with pytest.raises(KeyError):
        unprotected()
    assert account.balances() == [101, 100]


def test_read_only_refuses_writes(source: Any, account: Account) -> None:
    @transactional(source, read_only=True)
    def write(connection: Any) -> None:
        add(connection, 1, 1)

    with pytest.raises((pymysql.err.MySQLError, sqlalchemy.exc.DBAPIError), match="1792"):
        write()
    assert account.balances() == [100, 100]


def test_isolation_holds_for_one_transaction(source: Any, account: Account) -> None:
    """READ COMMITTED sees what another commits meanwhile, REPEATABLE READ does not."""
    changes = {Isolation.READ_COMMITTED: 1, Isolation.REPEATABLE_READ: 0}
    for isolation, seen in changes.items():

        @transactional(source, isolation=isolation)
        def look_twice(connection: Any) -> int:
            before = run(connection, "SELECT balance FROM account WHERE id = 1")
            account.query("UPDATE account SET balance = balance + 1 WHERE id = 1")
            return int(run(connection, "SELECT balance FROM account WHERE id = 1")) - int(before)

        assert look_twice() == seen


def test_ddl_inside_is_found_out(source: Any, account: Account) -> None:
    @transactional(source)
    def mixed(connection: Any) -> None:
        add(connection, 1, 1)
        run(connection, "CREATE TABLE other (id INT PRIMARY KEY)")

    with pytest.raises(TransactionEnded):
        mixed()


async def test_a_server_that_restarts_is_waited_for(fresh_shard_servers: Any) -> None:
    (server,) = await fresh_shard_servers(1)
    dsn = f"mysql://root@{server.host}:{server.port}"
    runs: list[int] = []

    @transactional(dsn, deadline_s=60, retries=50)
    def one(connection: Any) -> int:
        runs.append(1)
        return int(run(connection, "SELECT 1"))

    assert one() == 1
    await server.kill9()
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(one)
        await server.start()
        assert future.result(60) == 1
