"""Every form of statement on a managed table, beside the same statement on a plain one.

The plain table is the oracle: the client must see the same rows, the same counts, the same errors and no warning
more. What the triggers keep is checked against the difference of the table before and after.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

import pytest

from tests.integration.managed_sessions import OneShard, OneTransaction, Row, dump_query, history_query
from txguard.engine.install import install
from txguard.engine.managed import ManagedTable, describe, manage
from txguard.engine.managed_table import Operation
from txguard.engine.shard import Value

TABLE = """CREATE TABLE t (
  id INT AUTO_INCREMENT PRIMARY KEY, u INT UNIQUE, s VARCHAR(20) COLLATE utf8mb4_general_ci,
  n INT NOT NULL DEFAULT 7, g INT GENERATED ALWAYS AS (n + 1) VIRTUAL, h INT GENERATED ALWAYS AS (n + 2) STORED,
  KEY (s))"""
ROWS = """INSERT INTO t (id, u, s, n) VALUES (1, 10, 'one', 1), (2, 20, 'two', 2), (3, 30, 'three', 3),
  (4, 40, 'four', 4), (5, NULL, NULL, 5), (6, NULL, '', 6)"""

FORMS = {
    "insert": "INSERT INTO t (id, u, s) VALUES (11, 110, 'x')",
    "insert many": "INSERT INTO t (id, u, s) VALUES (11, 110, 'x'), (12, 120, 'y'), (13, NULL, NULL)",
    "insert without column list": "INSERT INTO t VALUES (11, 110, 'x', 1, DEFAULT, DEFAULT)",
    "insert set": "INSERT INTO t SET u = 99, s = 'auto'",
    "insert auto increment": "INSERT INTO t (u) VALUES (1), (2), (3)",
    "insert select": "INSERT INTO t (id, u, s) SELECT id + 100, u + 100, s FROM t WHERE id < 4",
    "insert duplicate": "INSERT INTO t (id, u, s) VALUES (11, 110, 'x'), (1, 111, 'dup')",
    "insert ignore": "INSERT IGNORE INTO t (id, u, s) VALUES (11, 110, 'x'), (1, 111, 'dup'), (12, 20, 'dup')",
    "insert ignore bad value": "INSERT IGNORE INTO t (id, u, s) VALUES (11, 'abc', REPEAT('x', 50))",
    "upsert new": "INSERT INTO t (id, u, s) VALUES (11, 110, 'x') ON DUPLICATE KEY UPDATE s = 'upserted'",
    "upsert old": "INSERT INTO t (id, u, s) VALUES (1, 111, 'x') ON DUPLICATE KEY UPDATE s = 'upserted'",
    "upsert old by unique": "INSERT INTO t (id, u, s) VALUES (11, 20, 'x') ON DUPLICATE KEY UPDATE s = 'upserted'",
    "upsert old unchanged": "INSERT INTO t (id, u, s) VALUES (1, 111, 'x') ON DUPLICATE KEY UPDATE s = 'one'",
    "upsert old moved": "INSERT INTO t (id, u) VALUES (1, 111) ON DUPLICATE KEY UPDATE id = 77",
    "upsert mixed": "INSERT INTO t (id, u) VALUES (1, 1), (21, 1), (3, 3) ON DUPLICATE KEY UPDATE n = n + 10",
    "upsert ignore": "INSERT IGNORE INTO t (id, u) VALUES (1, 1), (22, 5) ON DUPLICATE KEY UPDATE u = 20",
    "replace new": "REPLACE INTO t (id, u, s) VALUES (11, 110, 'x')",
    "replace old": "REPLACE INTO t (id, u, s) VALUES (1, 110, 'x')",
    "replace old same": "REPLACE INTO t (id, u, s, n) VALUES (1, 10, 'one', 1)",
    "replace by unique": "REPLACE INTO t (id, u, s) VALUES (11, 20, 'x')",
    "replace two": "REPLACE INTO t (id, u, s) VALUES (1, 20, 'x')",
    "replace twice": "REPLACE INTO t (id, u, s) VALUES (1, 110, 'x'), (1, 120, 'y')",
    "update point": "UPDATE t SET s = 'changed' WHERE id = 2",
    "update nothing matched": "UPDATE t SET s = 'changed' WHERE id = 99",
    "update nothing changed": "UPDATE t SET s = 'two', n = n WHERE id = 2",
    "update partly changed": "UPDATE t SET n = 3",
    "update case only": "UPDATE t SET s = 'TWO' WHERE id = 2",
    "update trailing space only": "UPDATE t SET s = 'two ' WHERE id = 2",
    "update null to empty": "UPDATE t SET s = '' WHERE id = 5",
    "update empty to null": "UPDATE t SET s = NULL WHERE id = 6",
    "update all": "UPDATE t SET n = n + 1",
    "update key": "UPDATE t SET id = 55 WHERE id = 2",
    "update key and others": "UPDATE t SET id = 55, u = 555, s = 'moved' WHERE id = 2",
    "update shift keys": "UPDATE t SET id = id + 1 ORDER BY id DESC",
    "update key duplicate": "UPDATE t SET id = 1 WHERE id = 2",
    "update unique duplicate": "UPDATE t SET u = 10 WHERE id IN (2, 3)",
    "update ignore key": "UPDATE IGNORE t SET id = id + 1",
    "update ignore unique": "UPDATE IGNORE t SET u = 77, s = 'same'",
    "update limit": "UPDATE t SET n = 100 ORDER BY id LIMIT 2",
    "update join": "UPDATE t AS a JOIN t AS b ON b.id = a.id + 1 SET a.n = b.n + 100",
    "update join derived": "UPDATE t JOIN (SELECT 2 AS k UNION SELECT 3) AS k ON k.k = t.id SET t.s = 'joined'",
    "update writer by hand": "UPDATE t SET n = 9, _txg_ts = 5 WHERE id = 2",
    "delete point": "DELETE FROM t WHERE id = 2",
    "delete nothing": "DELETE FROM t WHERE id = 99",
    "delete range": "DELETE FROM t WHERE id > 2",
    "delete all": "DELETE FROM t",
    "delete limit": "DELETE FROM t ORDER BY id LIMIT 2",
    "delete ignore": "DELETE IGNORE FROM t WHERE id < 3",
    "delete join": "DELETE a FROM t AS a JOIN t AS b ON b.id = a.id + 1 WHERE b.n > 2",
    "failing half-way": "UPDATE t SET n = 10 / (n - 3) + POW(9, 999 * (n = 4))",
}  # fmt: skip


@dataclass
class Pair:
    """The same table twice: managed in one schema, plain in another."""

    shard: OneShard
    managed: ManagedTable
    plain: ManagedTable

    async def begin(self, *, snapshot: bool = False) -> tuple[OneTransaction, OneTransaction]:
        managed = await self.shard.begin(self.managed.schema, snapshot=snapshot)
        plain = await self.shard.begin(self.plain.schema, snapshot=snapshot)
        for transaction in (managed, plain):
            await transaction.do("SET timestamp = 1700000000.123456")
        return managed, plain


@pytest.fixture(scope="module")
def schemas(shard_servers) -> Iterator[tuple[str, str]]:
    """Made once: every test here rolls back."""
    server = shard_servers[0]
    name = f"m_{uuid.uuid4().hex[:12]}"
    asyncio.run(_make(OneShard.at(server.host, server.port, server.user, server.password), name))
    yield name, f"{name}_plain"
    asyncio.run(_drop(OneShard.at(server.host, server.port, server.user, server.password), name))


async def _make(shard: OneShard, name: str) -> None:
    for schema in (name, f"{name}_plain"):
        await shard.run(f"CREATE DATABASE {schema} CHARACTER SET utf8mb4", f"USE {schema}", TABLE, ROWS)
    async with shard.shard.connection() as connection:
        await install(connection)
        await manage(connection, name, "t")
    shard.close()


async def _drop(shard: OneShard, name: str) -> None:
    await shard.run(*(f"DROP DATABASE {schema}" for schema in (name, f"{name}_plain", "_txguard")))
    shard.close()


@pytest.fixture
async def pair(shard_servers, schemas: tuple[str, str]) -> AsyncIterator[Pair]:
    server = shard_servers[0]
    shard = OneShard.at(server.host, server.port, server.user, server.password)
    async with shard.shard.connection() as connection:
        managed, plain = [await describe(connection, schema, "t") for schema in schemas]
    yield Pair(shard, managed, plain)
    shard.close()


def by_key(rows: Sequence[Row]) -> dict[Value, Row]:
    return {row[0]: row for row in rows}


def expected_history(before: Sequence[Row], after: Sequence[Row]) -> dict[Value, tuple[str, Row | None]]:
    """By key: the operation, and the old row as it must stand in history (None for a marker)."""
    old, new = by_key(before), by_key(after)
    history: dict[Value, tuple[str, Row | None]] = {}
    for key in old.keys() | new.keys():
        if key not in new:
            history[key] = (Operation.DELETED.value, old[key])
        elif key not in old:
            history[key] = (Operation.INSERTED.value, None)
        elif old[key][:-1] != new[key][:-1]:
            history[key] = (Operation.UPDATED.value, old[key])
    return history


def before_u_is_d(operation: str) -> str:
    return Operation.DELETED.value if operation == Operation.UPDATED.value else operation


async def history_of(transaction: OneTransaction, table: ManagedTable) -> dict[Value, tuple[str, Row | None]]:
    rows = await transaction.rows(history_query(table, transaction.start_ts))
    marker = Operation.INSERTED.value
    return {row[2]: (str(row[0]), None if row[0] == marker else (*row[2:], row[1])) for row in rows}


REPLACING = {"replace old", "replace old same", "replace two", "replace twice", "update shift keys"}
"""A key that goes and comes again: history has D where the difference shows U, or nothing."""


LOSES_INSERT_ID = {"insert select"}
"""Given keys: the OK packet's id is 0 on any table with triggers (the server reads it after it cleared the row)."""


@pytest.mark.parametrize("snapshot", [False, True], ids=["no snapshot", "snapshot"])
@pytest.mark.parametrize("form", FORMS)
async def test_a_statement_does_what_it_does_on_a_plain_table(pair: Pair, form: str, snapshot: bool) -> None:
    managed, plain = await pair.begin(snapshot=snapshot)
    before = await managed.rows(dump_query(pair.managed))

    statement = FORMS[form]
    got = await managed.do(statement)
    want = await plain.do(statement.replace(", _txg_ts = 5", ""))

    assert (got.error and got.error.errno) == (want.error and want.error.errno)
    assert (got.affected_rows, got.warning_count) == (want.affected_rows, want.warning_count)
    if form not in LOSES_INSERT_ID:
        assert got.insert_id == want.insert_id
    after = await managed.rows(dump_query(pair.managed))
    assert [row[:-1] for row in after] == await plain.rows(dump_query(pair.plain, writers=False))

    history = await history_of(managed, pair.managed)
    expected = expected_history(before, after)
    if form in REPLACING:
        expected = {key: (before_u_is_d(op), row) for key, (op, row) in expected.items()}
        history = {key: value for key, value in history.items() if key in expected}
    assert history == expected

    untouched = {row for row in before if row in set(after)}
    assert all(row[-1] == managed.start_ts for row in after if row not in untouched)
    await managed.rollback()
    await plain.rollback()
