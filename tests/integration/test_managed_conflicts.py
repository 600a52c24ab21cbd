"""[R1] first committer wins, in all its forms, and [R4] the writers that a transaction's writes replaced."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from tests.integration.managed_sessions import OneShard, OneTransaction
from txguard.engine.conflicts import ConflictCheck, find_conflict, too_new_query
from txguard.engine.install import install
from txguard.engine.managed import ManagedTable, describe, manage
from txguard.engine.triggers import CONFLICT_ERRNO

DUPLICATE = 1062


@dataclass
class Accounts:
    """Rows 1 to 5, committed long ago, in a managed table."""

    shard: OneShard
    table: ManagedTable

    @property
    def schema(self) -> str:
        return self.table.schema

    async def commit_one(self, *statements: str) -> OneTransaction:
        return await self.shard.commit_one(self.schema, *statements)

    async def begin(
        self, *, snapshot: bool = True, read_ts: int | None = None, floor: int = 1
    ) -> OneTransaction:
        return await self.shard.begin(self.schema, snapshot=snapshot, read_ts=read_ts, floor=floor)

    async def check(
        self, transaction: OneTransaction, where: str | None, *, locking_read: bool = False
    ) -> bool:
        """The engine's check after a statement, on a connection of its own."""
        assert transaction.read_ts is not None
        async with self.shard.shard.connection() as connection:
            [rows] = await connection.run([too_new_query(transaction.read_ts, transaction.start_ts)], 5)
            too_new = [int(row[0] or 0) for row in rows.rows]
            if not too_new:
                return False
            found = await find_conflict(
                connection,
                [ConflictCheck(self.schema, "t", where)],
                {(self.schema, "t"): self.table},
                too_new,
                locking_read=locking_read,
            )
        return found is not None


@pytest.fixture(scope="module")
def schema(shard_servers) -> Iterator[str]:
    """Made once: `accounts` puts the rows back before every test."""
    server = shard_servers[0]
    name = f"c_{uuid.uuid4().hex[:12]}"
    asyncio.run(_make(OneShard.at(server.host, server.port, server.user, server.password), name))
    yield name
    asyncio.run(_drop(OneShard.at(server.host, server.port, server.user, server.password), name))


async def _make(shard: OneShard, name: str) -> None:
    await shard.run(
        f"CREATE DATABASE {name} CHARACTER SET utf8mb4",
        f"CREATE TABLE {name}.t (id INT AUTO_INCREMENT PRIMARY KEY, u INT UNIQUE, v INT, KEY (v))",
    )
    async with shard.shard.connection() as connection:
        await install(connection)
        await manage(connection, name, "t")
    shard.close()


async def _drop(shard: OneShard, name: str) -> None:
    await shard.run(f"DROP DATABASE {name}", "DROP DATABASE _txguard")
    shard.close()


@pytest.fixture
async def accounts(shard_servers, schema: str) -> AsyncIterator[Accounts]:
    server = shard_servers[0]
    shard = OneShard.at(server.host, server.port, server.user, server.password)
    async with shard.shard.connection() as connection:
        table = await describe(connection, schema, "t")
    await shard.run(
        "SET @txg_bypass = 1",
        f"DELETE FROM {table.source}",
        f"DELETE FROM {table.history}",
        "DELETE FROM _txguard.txn",
        "SET @txg_bypass = NULL",
    )
    made = Accounts(shard, table)
    await made.commit_one("INSERT INTO t VALUES (1, 10, 1), (2, 20, 2), (3, 30, 3), (4, 40, 4), (5, 50, 5)")
    yield made
    shard.close()


WRITES = {
    "update": "UPDATE t SET v = 100 WHERE id = 1",
    "update that changes nothing": "UPDATE t SET v = 99 WHERE id = 1",
    "update of many": "UPDATE t SET v = v + 1",
    "update ignore": "UPDATE IGNORE t SET v = 100 WHERE id = 1",
    "update of the key": "UPDATE t SET id = 77 WHERE id = 1",
    "update by a join": "UPDATE t AS a JOIN t AS b ON b.id = a.id SET a.v = 7",
    "delete": "DELETE FROM t WHERE id = 1",
    "delete ignore": "DELETE IGNORE FROM t WHERE id = 1",
    "delete by a join": "DELETE a FROM t AS a JOIN t AS b ON b.id = a.id",
    "replace": "REPLACE INTO t VALUES (1, 11, 100)",
    "replace by a unique key": "REPLACE INTO t VALUES (66, 10, 100)",
    "upsert": "INSERT INTO t (id) VALUES (1) ON DUPLICATE KEY UPDATE v = 100",
    "upsert ignore": "INSERT IGNORE INTO t (id) VALUES (1) ON DUPLICATE KEY UPDATE v = 100",
}


@pytest.mark.parametrize("when", ["after the view", "before the view"])
@pytest.mark.parametrize("form", WRITES)
async def test_a_row_that_a_too_new_writer_wrote(accounts: Accounts, form: str, when: str) -> None:
    update = "UPDATE t SET v = 99 WHERE id = 1"
    if when == "after the view":
        transaction = await accounts.begin()
        await accounts.commit_one(update)
    else:
        read_ts = accounts.shard.now()
        writer = await accounts.commit_one(update)
        transaction = await accounts.begin(read_ts=read_ts)
        assert transaction.too_new == (writer.start_ts,)
    reply = await transaction.do(WRITES[form])
    assert reply.error is not None
    assert (reply.error.errno, reply.error.sqlstate) == (CONFLICT_ERRNO, "40001")
    assert "try restarting transaction" in reply.error.message
    await transaction.rollback()


def depends_on(dependencies: frozenset[int] | None, writer: OneTransaction, form: str) -> bool:
    """None is everything: allowed where a new key may be one that an undecided transaction has freed."""
    return form == "update of the key" if dependencies is None else writer.start_ts in dependencies


@pytest.mark.parametrize("form", WRITES)
async def test_no_conflict_with_what_the_snapshot_contains(accounts: Accounts, form: str) -> None:
    writer = await accounts.commit_one("UPDATE t SET v = 99 WHERE id = 1")
    transaction = await accounts.begin()
    reply = await transaction.do(WRITES[form])
    assert reply.error is None
    dependencies = await transaction.dependencies()
    assert dependencies is None or writer.start_ts in dependencies
    await transaction.rollback()


@pytest.mark.parametrize("form", WRITES)
async def test_no_conflict_without_a_snapshot(accounts: Accounts, form: str) -> None:
    transaction = await accounts.begin(snapshot=False)
    writer = await accounts.commit_one("UPDATE t SET v = 99 WHERE id = 1")
    reply = await transaction.do(WRITES[form])
    assert reply.error is None
    dependencies = await transaction.dependencies()
    # A changed key depends on all that is undecided. Even a row left as it was: it was read as the writer left it.
    assert dependencies is None or writer.start_ts in dependencies
    assert (dependencies is None) is (form == "update of the key")
    await transaction.rollback()


async def test_no_look_at_writers_below_the_floor(accounts: Accounts) -> None:
    transaction = await accounts.begin(floor=accounts.shard.now())
    await accounts.shard.run("DELETE FROM _txguard.txn")
    assert (await transaction.do("UPDATE t SET v = 100 WHERE id = 1")).error is None
    assert await transaction.dependencies() == frozenset()
    await transaction.rollback()


async def test_a_rolled_back_record_is_not_a_commit(accounts: Accounts) -> None:
    writer = await accounts.commit_one("UPDATE t SET v = 99 WHERE id = 1")
    await accounts.shard.run(f"UPDATE _txguard.txn SET state = 'R' WHERE start_ts = {writer.start_ts}")
    transaction = await accounts.begin()
    reply = await transaction.do("UPDATE t SET v = 100 WHERE id = 1")
    assert reply.error is not None
    assert reply.error.errno == CONFLICT_ERRNO
    await transaction.rollback()


async def test_own_writes_are_no_conflict(accounts: Accounts) -> None:
    transaction = await accounts.begin()
    for statement in (*WRITES.values(), "INSERT INTO t VALUES (88, 880, 8)", "UPDATE t SET id = id + 1000"):
        reply = await transaction.do(statement)
        assert reply.error is None, (statement, reply.error)
    await transaction.rollback()


INSERTS = {
    "insert": "INSERT INTO t VALUES (2, 200, 2)",
    "insert ignore": "INSERT IGNORE INTO t VALUES (2, 200, 2)",
    "insert select": "INSERT INTO t SELECT 2, 200, 2",
    "replace": "REPLACE INTO t VALUES (2, 200, 2)",
    "upsert": "INSERT INTO t VALUES (2, 200, 2) ON DUPLICATE KEY UPDATE v = 7",
    "move": "UPDATE t SET id = 2 WHERE id = 1",
}


@pytest.mark.parametrize("when", ["after the view", "before the view"])
@pytest.mark.parametrize("form", INSERTS)
async def test_a_key_that_a_too_new_writer_deleted(accounts: Accounts, form: str, when: str) -> None:
    if when == "after the view":
        transaction = await accounts.begin()
        await accounts.commit_one("DELETE FROM t WHERE id = 2")
    else:
        read_ts = accounts.shard.now()
        await accounts.commit_one("DELETE FROM t WHERE id = 2")
        transaction = await accounts.begin(read_ts=read_ts)
    reply = await transaction.do(INSERTS[form])
    assert reply.error is not None
    assert reply.error.errno == CONFLICT_ERRNO
    await transaction.rollback()


@pytest.mark.parametrize("form", INSERTS)
async def test_a_key_that_was_deleted_before_the_snapshot(accounts: Accounts, form: str) -> None:
    await accounts.commit_one("DELETE FROM t WHERE id = 2")
    read_ts = accounts.shard.now()
    await accounts.commit_one("UPDATE t SET v = 0 WHERE id = 5")
    transaction = await accounts.begin(read_ts=read_ts)
    assert transaction.too_new, "there are too-new versions, but of other rows"
    assert (await transaction.do(INSERTS[form])).error is None
    await transaction.rollback()


async def test_a_plain_duplicate_stays_a_duplicate(accounts: Accounts) -> None:
    transaction = await accounts.begin()
    reply = await transaction.do("INSERT INTO t VALUES (2, 200, 2)")
    assert reply.error is not None
    assert reply.error.errno == DUPLICATE
    reply = await transaction.do("INSERT IGNORE INTO t VALUES (2, 200, 2), (9, 90, 9)")
    assert reply.error is None
    assert reply.affected_rows == 1
    await transaction.rollback()


async def test_own_delete_and_insert_is_no_conflict(accounts: Accounts) -> None:
    transaction = await accounts.begin()
    for statement in (
        "DELETE FROM t WHERE id = 2",
        "INSERT INTO t VALUES (2, 200, 2)",
        "REPLACE INTO t SELECT * FROM t",
    ):
        assert (await transaction.do(statement)).error is None
    await transaction.rollback()


async def test_a_key_that_the_server_chooses_is_no_conflict(accounts: Accounts) -> None:
    """Row 0 is in the view, and a key yet to be chosen reads as 0."""
    await accounts.commit_one(
        "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'", "INSERT INTO t VALUES (0, 0, 0)"
    )
    transaction = await accounts.begin()
    await transaction.do("SET SESSION sql_mode = ''")
    assert (await transaction.do("INSERT INTO t (u) VALUES (1), (2)")).error is None
    await transaction.rollback()


PASSED_OVER = {
    "changed": ("UPDATE t SET v = 0 WHERE v = 3", "DELETE FROM t WHERE v = 3", "v = 3"),
    "deleted": ("DELETE FROM t WHERE v = 3", "UPDATE t SET u = NULL WHERE t.v > 2", "t.v > 2"),
    "moved": (
        "UPDATE t SET id = 33 WHERE id = 3",
        "UPDATE t SET v = 9 WHERE id = 3",
        "`t`.id = 3 -- a comment",
    ),
    "any": ("DELETE FROM t WHERE id = 5", "DELETE t FROM t JOIN (SELECT 5 AS x) AS x ON x.x = t.v", None),
}


@pytest.mark.parametrize("when", ["after the view", "before the view"])
@pytest.mark.parametrize("case", PASSED_OVER)
async def test_a_row_that_was_passed_over(accounts: Accounts, case: str, when: str) -> None:
    theirs, ours, where = PASSED_OVER[case]
    read_ts = accounts.shard.now()
    if when == "before the view":
        await accounts.commit_one(theirs)
    transaction = await accounts.begin(read_ts=read_ts)
    assert not await accounts.check(transaction, "v = 1")
    if when == "after the view":
        await accounts.commit_one(theirs)
    assert (await transaction.do(ours)).error is None, "no trigger sees it"
    assert await accounts.check(transaction, where)
    assert not await accounts.check(transaction, "v = 1")
    await transaction.rollback()


async def test_what_the_snapshot_does_not_contain_is_not_passed_over(accounts: Accounts) -> None:
    transaction = await accounts.begin()
    await accounts.commit_one("INSERT INTO t VALUES (9, 90, 9)")
    await accounts.commit_one("UPDATE t SET v = 0 WHERE id = 9")
    await accounts.commit_one("DELETE FROM t WHERE id = 9")
    await transaction.do("DELETE FROM t WHERE v = 9")
    assert not await accounts.check(transaction, "v = 9")
    await transaction.rollback()


async def test_own_rows_are_not_passed_over(accounts: Accounts) -> None:
    await accounts.commit_one("UPDATE t SET v = 3 WHERE id = 2")
    transaction = await accounts.begin()
    await transaction.do("UPDATE t SET v = 0 WHERE v = 3")
    await transaction.do("UPDATE t SET v = 1 WHERE v = 3")
    assert not await accounts.check(transaction, "v = 3")
    await transaction.rollback()


@pytest.mark.parametrize("theirs", ["UPDATE t SET v = 7 WHERE id = 1", "INSERT INTO t VALUES (9, 90, 7)"])
async def test_a_locking_read_that_meets_a_newer_version(accounts: Accounts, theirs: str) -> None:
    transaction = await accounts.begin()
    await accounts.commit_one(theirs)
    rows = await transaction.rows("SELECT * FROM t WHERE v = 7 FOR UPDATE")
    assert len(rows) == 1
    assert await accounts.check(transaction, "v = 7", locking_read=True)
    assert not await accounts.check(transaction, "v = 7", locking_read=False)
    assert not await accounts.check(transaction, "t.v = 2", locking_read=True)
    await transaction.rollback()


async def test_a_where_that_makes_no_sense_elsewhere_stands_for_any_row(accounts: Accounts) -> None:
    transaction = await accounts.begin()
    assert not await accounts.check(transaction, "other.x = 1")
    await accounts.commit_one("DELETE FROM t WHERE id = 5")
    assert await accounts.check(transaction, "other.x = 1")
    await transaction.rollback()


async def test_dependencies_name_each_writer_once(accounts: Accounts) -> None:
    first = await accounts.commit_one("UPDATE t SET v = v + 1 WHERE id < 4")
    second = await accounts.commit_one("UPDATE t SET v = v + 1 WHERE id = 2")
    transaction = await accounts.begin(snapshot=False, floor=first.start_ts)
    await transaction.do("UPDATE t SET v = 0")
    await transaction.do("DELETE FROM t")
    assert await transaction.dependencies() == {first.start_ts, second.start_ts}
    assert await transaction.rows("SELECT LENGTH(@txg_deps)") == [(15,)]
    await transaction.rollback()


async def test_too_many_dependencies_become_everything(accounts: Accounts) -> None:
    await accounts.shard.run(
        "SET @txg_bypass = 1",
        f"INSERT INTO {accounts.table.source} (id, v, _txg_ts) "
        "WITH RECURSIVE n AS (SELECT 100 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
        "SELECT i, i, 5000000 + i FROM n",
        "SET @txg_bypass = NULL",
    )
    transaction = await accounts.begin(snapshot=False)
    await transaction.do("UPDATE t SET v = 0 WHERE id < 200")
    dependencies = await transaction.dependencies()
    assert dependencies is not None
    assert len(dependencies) > 100
    await transaction.do("UPDATE t SET v = 0")
    assert await transaction.dependencies() is None
    await transaction.rollback()
