"""Plays coordinator and oracle on one real shard, so that the SQL of managed tables can be tested by itself."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from tso.types import ShardName
from txguard.engine.aiomysql_shard import AiomysqlConnection, AiomysqlReply, AiomysqlShard, Dsn
from txguard.engine.conflicts import too_new_query
from txguard.engine.managed import ManagedTable
from txguard.engine.managed_table import NEXT, OPERATION, WRITER, Category
from txguard.engine.shard import Value
from txguard.engine.sqltext import quote, quoted_list
from txguard.engine.triggers import parse_dependencies

TIMEOUT_S = 30.0

Row = tuple[Value, ...]


@dataclass
class OneShard:
    """A shard and a clock. `now()` never gives the same timestamp twice."""

    shard: AiomysqlShard
    clock: itertools.count[int] = field(default_factory=lambda: itertools.count(1_000_000))

    @classmethod
    def at(cls, host: str, port: int, user: str, password: str) -> OneShard:
        return cls(AiomysqlShard(ShardName("s1"), Dsn(host, port, user, password)))

    def now(self) -> int:
        return next(self.clock)

    def close(self) -> None:
        self.shard.close()

    async def run(self, *statements: str) -> list[Sequence[Sequence[Value]]]:
        async with self.shard.connection() as connection:
            return [answer.rows for answer in await connection.run(statements, TIMEOUT_S)]

    async def begin(
        self, schema: str, *, snapshot: bool = False, read_ts: int | None = None, floor: int = 1
    ) -> OneTransaction:
        """Open a local transaction as the engine does; `read_ts` in the past makes later commits too new."""
        start_ts = self.now()
        if snapshot and read_ts is None:
            read_ts = self.now()
        connection = await self.shard.acquire(TIMEOUT_S)
        transaction = OneTransaction(self, connection, start_ts, read_ts)
        start = "START TRANSACTION" if read_ts is None else "START TRANSACTION WITH CONSISTENT SNAPSHOT"
        await connection.run([f"USE {quote(schema)}", "SET @txg_bypass = NULL", start], TIMEOUT_S)
        if read_ts is not None:
            [answer] = await connection.run([too_new_query(read_ts, start_ts)], TIMEOUT_S)
            transaction.too_new = tuple(int(row[0] or 0) for row in answer.rows)
        await connection.run(
            [
                f"SET @txg_start_ts = {start_ts}, @txg_floor = {floor}, @txg_deps = NULL, "
                f"@txg_read_ts = {'NULL' if read_ts is None else read_ts}, "
                f"@txg_too_new = {1 if transaction.too_new else 'NULL'}"
            ],
            TIMEOUT_S,
        )
        return transaction

    async def commit_one(self, schema: str, *statements: str) -> OneTransaction:
        """A whole transaction without a snapshot."""
        transaction = await self.begin(schema)
        for statement in statements:
            reply = await transaction.do(statement)
            assert reply.error is None, (statement, reply.error)
        await transaction.commit()
        return transaction


@dataclass
class OneTransaction:
    owner: OneShard
    connection: AiomysqlConnection
    start_ts: int
    read_ts: int | None
    too_new: tuple[int, ...] = ()
    commit_ts: int | None = None

    async def do(self, statement: str) -> AiomysqlReply:
        _, reply = await self.connection.relay([], statement, TIMEOUT_S)
        return reply

    async def rows(self, statement: str) -> list[Row]:
        reply = await self.do(statement)
        assert reply.error is None, (statement, reply.error)
        return [tuple(row) for row in reply.rows]

    async def dependencies(self) -> frozenset[int] | None:
        [(value,)] = await self.rows("SELECT @txg_deps")
        assert not isinstance(value, float)
        return parse_dependencies(value)

    async def commit(self) -> int:
        self.commit_ts = self.owner.now()
        record = f"INSERT INTO _txguard.txn VALUES ({self.start_ts}, {self.commit_ts}, 'C', NULL)"
        await self._end(record, "COMMIT")
        return self.commit_ts

    async def rollback(self) -> None:
        await self._end("ROLLBACK")

    async def _end(self, *statements: str) -> None:
        await self.connection.run([*statements, "SET @txg_start_ts = NULL"], TIMEOUT_S)
        self.owner.shard.release(self.connection)


def exact_columns(table: ManagedTable, source: str, *, through_union: bool = False) -> str:
    """A SELECT list whose text tells two rows apart whenever their bytes differ.

    A UNION makes ENUM and SET text: then they are told apart by their text.
    """
    exact = {
        Category.CHARACTER: "HEX({0})",
        Category.ENUMERATED: "HEX({0})" if through_union else "CAST({0} AS UNSIGNED)",
        Category.TIMESTAMP: "UNIX_TIMESTAMP({0})",
        Category.FLOAT: "CONCAT(CAST({0} AS CHAR), '/', {0} + 0e0)",
        Category.NUMBER: "CAST({0} + 0 AS CHAR)",
        Category.OTHER: "HEX({0})",
    }
    return ", ".join(
        exact[column.category].format(f"{source}.{quote(column.name)}") for column in table.columns
    )


def dump_query(table: ManagedTable, *, writers: bool = True) -> str:
    """The whole table to the byte, in the order of its key."""
    columns = exact_columns(table, "_txg_d") + (f", _txg_d.{WRITER}" if writers else "")
    return f"SELECT {columns} FROM {table.source} AS _txg_d ORDER BY {quoted_list(table.primary_key)}"


def history_query(table: ManagedTable, start_ts: int) -> str:
    """What the transaction left in history: operation, old writer, old columns."""
    columns = exact_columns(table, "_txg_d")
    return (
        f"SELECT {OPERATION}, {WRITER}, {columns} FROM {table.history} AS _txg_d "
        f"WHERE {NEXT} = {start_ts} ORDER BY {quoted_list(table.primary_key)}"
    )
