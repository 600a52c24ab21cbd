"""`@transactional` and the inspector through the proxy, over three shards: what works on one server works on
all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiomysql
import pymysql
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from proxy.playground.installations import find_server
from proxy.playground.playground import Options, Playground
from proxy.playground.processes import free_port
from proxy.playground.servers import ServerKind
from tests.fakes.clients import connect_port, connect_server
from txguard import Isolation, Propagation, transactional
from txguard.transactional import RetriesExhausted

ROOT = Path(__file__).parents[2]
ACCOUNTS = 30
TOTAL = ACCOUNTS * 100


class Bank:
    """A playground with a table of accounts, spread over three shards."""

    def __init__(self, playground: Playground) -> None:
        self.playground = playground
        self.where: dict[str, Any] = {"host": "127.0.0.1", "port": playground.options.port, "user": "root"}
        self.dsn = f"mysql://root@127.0.0.1:{playground.options.port}/shop"

    def connect(self) -> Any:
        return connect_port(self.playground.options.port, "shop")

    def run(self, *statements: str) -> Any:
        with contextlib.closing(connect_port(self.playground.options.port)) as connection:
            for statement in statements:
                result = execute(connection, statement)
            return result

    def balance(self, account: int) -> int:
        return int(self.run(f"SELECT balance FROM shop.account WHERE id = {account}"))

    def account_of_each_shard(self) -> list[int]:
        """One account on each server, found by looking there."""
        found = []
        for server in self.playground.servers:
            with contextlib.closing(connect_server(server)) as shard:
                found.append(int(execute(shard, "SELECT MIN(id) FROM shop.account")))
        return found


@pytest.fixture(scope="module")
def bank_playground(server_kind: ServerKind) -> Iterator[Playground]:
    folder = Path(tempfile.mkdtemp(prefix="txguard-test-"))
    playground = Playground(Options(folder / "p", find_server(server_kind), 3, port=free_port()))
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(playground.start())
        yield playground
    finally:
        loop.run_until_complete(playground.stop())
        loop.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def bank(bank_playground: Playground) -> Iterator[Bank]:
    made = Bank(bank_playground)
    rows = ", ".join(f"({number}, 100)" for number in range(1, ACCOUNTS + 1))
    made.run(
        "CREATE DATABASE shop",
        "CREATE TABLE shop.account (id INT NOT NULL PRIMARY KEY, balance INT NOT NULL)",
        f"INSERT INTO shop.account (id, balance) VALUES {rows}",
    )
    yield made
    made.run("DROP DATABASE shop")


@pytest.fixture(params=["factory", "dsn", "engine"])
def source(request: pytest.FixtureRequest, bank: Bank) -> Iterator[Any]:
    match request.param:
        case "factory":
            yield bank.connect
        case "dsn":
            yield bank.dsn
        case _:
            engine = sqlalchemy.create_engine(bank.dsn.replace("mysql://", "mysql+pymysql://"))
            yield engine
            engine.dispose()


@pytest.fixture(params=["pool", "dsn", "engine"])
async def async_source(request: pytest.FixtureRequest, bank: Bank) -> Any:
    match request.param:
        case "pool":
            async with aiomysql.create_pool(**bank.where, db="shop", minsize=0, maxsize=4) as pool:
                yield pool
        case "dsn":
            yield bank.dsn
        case _:
            engine = create_async_engine(bank.dsn.replace("mysql://", "mysql+aiomysql://"))
            yield engine
            await engine.dispose()


def execute(connection: Any, statement: str) -> Any:
    """The first column of the first row, if any."""
    if isinstance(connection, sqlalchemy.Connection):
        result = connection.exec_driver_sql(statement)
        row = result.fetchone() if result.returns_rows else None
    else:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone()
    return row[0] if row else None


async def execute_async(connection: Any, statement: str) -> Any:
    if hasattr(connection, "exec_driver_sql"):
        result = await connection.exec_driver_sql(statement)
        row = result.fetchone() if result.returns_rows else None
    else:
        async with connection.cursor() as cursor:
            await cursor.execute(statement)
            row = await cursor.fetchone()
    return row[0] if row else None


def adding(account: int, amount: int) -> str:
    return f"UPDATE account SET balance = balance + {amount} WHERE id = {account}"


def test_a_transfer_over_two_shards(source: Any, bank: Bank) -> None:
    first, second, _ = bank.account_of_each_shard()

    @transactional(source)
    def transfer(connection: Any, amount: int, fail: bool = False) -> int:
        execute(connection, adding(first, -amount))
        execute(connection, adding(second, amount))
        if fail:
            raise KeyError("changed my mind")
        return int(execute(connection, "SELECT SUM(balance) FROM account"))

    assert transfer(30) == TOTAL
    with pytest.raises(KeyError):
        transfer(5, fail=True)
    assert (bank.balance(first), bank.balance(second)) == (70, 130)


def test_a_write_conflict_is_retried(source: Any, bank: Bank) -> None:
    """Both read before either writes: were the first update lost, the balance would be 110."""
    account = bank.account_of_each_shard()[0]
    met = threading.Barrier(2, timeout=20)
    attempts: list[str] = []

    @transactional(source)
    def read_and_write(connection: Any, name: str) -> None:
        attempts.append(name)
        balance = execute(connection, f"SELECT balance FROM account WHERE id = {account}")
        if attempts.count(name) == 1:
            met.wait()
        execute(connection, f"UPDATE account SET balance = {balance + 10} WHERE id = {account}")

    with ThreadPoolExecutor(2) as threads:
        for future in [threads.submit(read_and_write, name) for name in ("a", "b")]:
            future.result(40)
    assert len(attempts) == 3
    assert bank.balance(account) == 120


def test_serializable_knows_no_write_skew(bank: Bank) -> None:
    """Both see 200 before either takes 150 from an account of another shard; the one that is run again sees 50."""
    accounts = bank.account_of_each_shard()[:2]
    met = threading.Barrier(2, timeout=20)
    sums: dict[int, list[int]] = {account: [] for account in accounts}

    @transactional(bank.dsn, isolation=Isolation.SERIALIZABLE)
    def withdraw(connection: Any, account: int) -> None:
        ids = f"{accounts[0]}, {accounts[1]}"
        sums[account].append(
            int(execute(connection, f"SELECT SUM(balance) FROM account WHERE id IN ({ids})"))
        )
        if len(sums[account]) == 1:
            met.wait()
        if sums[account][-1] >= 150:
            execute(connection, adding(account, -150))

    with ThreadPoolExecutor(2) as threads:
        for future in [threads.submit(withdraw, account) for account in accounts]:
            future.result(40)
    assert sorted(sums.values()) == [[200], [200, 50]]
    assert sorted(bank.balance(account) for account in accounts) == [-50, 100]


def test_a_deadlock_over_two_shards_is_broken_and_retried(source: Any, bank: Bank) -> None:
    """No server sees the cycle by itself: the deadlock detector must, or at the latest the lock wait's
    time-out."""
    first, second, _ = bank.account_of_each_shard()
    met = threading.Barrier(2, timeout=20)
    attempts: list[int] = []

    @transactional(source)
    def transfer(connection: Any, source_account: int, target_account: int) -> None:
        attempts.append(source_account)
        execute(connection, "SET SESSION innodb_lock_wait_timeout = 2")  # the backstop
        execute(connection, adding(source_account, -10))
        if attempts.count(source_account) == 1:
            met.wait()
        execute(connection, adding(target_account, 10))

    with ThreadPoolExecutor(2) as threads:
        for future in [threads.submit(transfer, first, second), threads.submit(transfer, second, first)]:
            future.result(40)
    assert len(attempts) >= 3
    assert (bank.balance(first), bank.balance(second)) == (100, 100)


def test_savepoints_over_shards(source: Any, bank: Bank) -> None:
    first, second, third = bank.account_of_each_shard()

    @transactional(source, propagation=Propagation.NESTED)
    def part(connection: Any, fail: bool) -> None:
        execute(connection, adding(first, -7))
        execute(connection, adding(third, 7))
        if fail:
            raise KeyError

    @transactional(source)
    def whole(connection: Any) -> None:
        execute(connection, adding(second, 1))
        part(fail=False)
        with contextlib.suppress(KeyError):
            part(fail=True)
        execute(connection, adding(second, 1))

    whole()
    assert [bank.balance(account) for account in (first, second, third)] == [93, 102, 107]


def test_isolation_and_read_only(source: Any, bank: Bank) -> None:
    first = bank.account_of_each_shard()[0]
    for isolation, seen in {Isolation.READ_COMMITTED: 1, Isolation.REPEATABLE_READ: 0}.items():

        @transactional(source, isolation=isolation, read_only=True)
        def look_twice(connection: Any) -> int:
            query = "SELECT SUM(balance) FROM account"
            before = execute(connection, query)
            bank.run(f"UPDATE shop.account SET balance = balance + 1 WHERE id = {first}")
            return int(execute(connection, query) - before)

        assert look_twice() == seen

    @transactional(source, read_only=True)
    def write(connection: Any) -> None:
        execute(connection, adding(first, 1))

    with pytest.raises((pymysql.err.MySQLError, sqlalchemy.exc.DBAPIError), match="1792"):
        write()


def test_a_consistent_snapshot_is_taken_at_the_beginning(source: Any, bank: Bank) -> None:
    first, second, _ = bank.account_of_each_shard()

    @transactional(source, read_only=True, consistent_snapshot=True)
    def total(connection: Any) -> int:
        bank.run(f"UPDATE shop.account SET balance = 0 WHERE id IN ({first}, {second})")
        return int(execute(connection, "SELECT SUM(balance) FROM account"))

    assert total() == TOTAL


def test_a_lock_wait_is_given_up_with_the_last_error(bank: Bank) -> None:
    first = bank.account_of_each_shard()[0]

    @transactional(bank.connect, retries=0)
    def blocked(connection: Any) -> None:
        execute(connection, "SET SESSION innodb_lock_wait_timeout = 1")
        execute(connection, adding(first, 1))

    with contextlib.closing(bank.connect()) as holder:
        execute(holder, "START TRANSACTION")
        execute(holder, adding(first, 50))
        with pytest.raises(RetriesExhausted, match="1205"):
            blocked()
        execute(holder, "ROLLBACK")
    assert bank.balance(first) == 100


async def test_async_transfers_in_parallel(async_source: Any, bank: Bank) -> None:
    @transactional(async_source)
    async def transfer(connection: Any, giver: int, taker: int) -> None:
        await execute_async(connection, "SET SESSION innodb_lock_wait_timeout = 2")
        await execute_async(connection, adding(giver, -1))
        await execute_async(connection, adding(taker, 1))

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(24):
            group.create_task(transfer(number % ACCOUNTS + 1, (number * 7 + 3) % ACCOUNTS + 1))

    @transactional(async_source, read_only=True)
    async def total(connection: Any) -> int:
        return int(await execute_async(connection, "SELECT SUM(balance) FROM account"))

    assert await total() == TOTAL


async def test_cancelled_in_a_statement_no_lock_is_left(async_source: Any, bank: Bank) -> None:
    first, second, _ = bank.account_of_each_shard()

    @transactional(async_source)
    async def transfer(connection: Any) -> None:
        await execute_async(connection, adding(first, -1))
        await execute_async(connection, adding(second, 1))  # waits for the holder

    with contextlib.closing(bank.connect()) as holder:
        execute(holder, "START TRANSACTION")
        execute(holder, adding(second, 50))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await transfer()
        execute(holder, "ROLLBACK")
    async with asyncio.timeout(20):
        await transfer()
    assert (bank.balance(first), bank.balance(second)) == (99, 101)


def inspect(bank: Bank, invariants: Path, *options: str) -> subprocess.CompletedProcess[str]:
    config = bank.playground.folder.config
    return subprocess.run(
        [
            *(sys.executable, "-c", "from proxy.cli import main; main()", "inspect"),
            *(str(invariants), "--config", str(config), *options),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_txguard_inspect(bank: Bank, tmp_path: Path) -> None:
    file = tmp_path / "invariants.toml"
    file.write_text(
        f"""
        [[invariant]]
        name = "total"
        sql = "SELECT SUM(balance) FROM shop.account"
        equals = {TOTAL}

        [[invariant]]
        name = "no debt"
        no_rows = "SELECT id FROM shop.account WHERE balance < 0"
        """
    )
    holds = inspect(bank, file, "--json")
    assert holds.returncode == 0, holds.stdout + holds.stderr
    report = json.loads(holds.stdout)
    verdicts = [finding["verdict"] for finding in report["invariants"] + report["protocol"]]
    assert verdicts == ["holds"] * 6

    bank.run("UPDATE shop.account SET balance = -1 WHERE id = 5")
    violated = inspect(bank, file)
    assert violated.returncode == 1
    assert "1 row(s): 5" in violated.stdout

    file.write_text(file.read_text().replace("no_rows", "norows"))
    wrong = inspect(bank, file)
    assert wrong.returncode == 2
    assert "line 9: unknown key 'norows'" in wrong.stderr

    file.write_text('[[invariant]]\nname = "n"\nsql = "SELECT SUM(b) FROM shop.account"\nequals = 1\n')
    unchecked = inspect(bank, file)
    assert unchecked.returncode == 2
    assert "could not check" in unchecked.stdout
