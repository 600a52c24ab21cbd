"""A ledger over the shards, driven through the engine alone: what the engine's tests and their coordinators share.

Account `i` lives on shard `i mod shards`; a transfer takes from one account and gives to another and leaves an
entry beside each, so that afterwards every transfer can be seen to be whole or absent on every shard.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from proxy.playground.servers import Server
from tso.embedded import EmbeddedTso
from tso.store import MySQLBoundStore
from tso.types import ShardName, Timestamp
from txguard.engine.aiomysql_shard import AiomysqlConnections, AiomysqlReply, AiomysqlShard, Dsn
from txguard.engine.branch import Isolation
from txguard.engine.engine import Engine
from txguard.engine.managed import manage, unmanage
from txguard.engine.patch import patched_source
from txguard.engine.settings import EngineSettings
from txguard.engine.transaction import Transaction
from txguard.engine.undecided import UNDECIDED

ACCOUNTS, OPENING_BALANCE = 12, 100
ACCOUNT_COLUMNS, ENTRY_COLUMNS = ("id", "balance"), ("id", "account", "amount")


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    def dsn(self) -> Dsn:
        return Dsn(host=self.host, port=self.port)


def addresses_of(servers: Sequence[Server]) -> list[Address]:
    return [Address("127.0.0.1", server.port) for server in servers]


IDLE_WORKERS: Final = EngineSettings(
    clean_interval_s=3600, decided_mark_interval_s=3600, orphan_scan_interval_s=3600
)
"""Nothing happens but by the test's own calls."""


class Ledger:
    """One coordinator's engine on the shards, and the ledger in database `schema`."""

    def __init__(
        self, addresses: Sequence[Address], schema: str, tso: EmbeddedTso, settings: EngineSettings
    ) -> None:
        self.schema = schema
        self.names = [ShardName(f"s{number}") for number in range(len(addresses))]
        self.shards = {
            name: AiomysqlShard(name, address.dsn())
            for name, address in zip(self.names, addresses, strict=True)
        }
        self.tso = tso
        self.engine = Engine(self.shards, tso, settings)
        self.connections = AiomysqlConnections(self.shards)

    def shard_of(self, account: int) -> ShardName:
        return self.names[account % len(self.names)]

    def begin(
        self, isolation: Isolation = Isolation.REPEATABLE_READ, *, implicit: bool = False
    ) -> Transaction:
        return self.engine.transaction(self.connections, isolation, implicit=implicit)

    async def create(self) -> None:
        for name, shard in self.shards.items():
            async with shard.connection() as connection:
                for table in ("account", "entry"):
                    await unmanage(connection, self.schema, table)
                await connection.run(
                    [
                        f"DROP DATABASE IF EXISTS {self.schema}",
                        f"CREATE DATABASE {self.schema}",
                        f"CREATE TABLE {self.schema}.account (id INT PRIMARY KEY, balance BIGINT NOT NULL)",
                        f"CREATE TABLE {self.schema}.entry "
                        "(id BIGINT, account INT, amount INT, PRIMARY KEY (id, account))",
                        *(
                            f"INSERT INTO {self.schema}.account VALUES ({account}, {OPENING_BALANCE})"
                            for account in range(ACCOUNTS)
                            if self.shard_of(account) == name
                        ),
                    ],
                    30,
                )
                await manage(connection, self.schema, "account")
                await manage(connection, self.schema, "entry")

    async def write(self, txn: Transaction, shard: ShardName, sql: str) -> AiomysqlReply:
        [reply] = await txn.write([shard], lambda _: sql, inserts=sql.startswith("INSERT"))
        if reply.error is not None:
            raise reply.error
        assert isinstance(reply, AiomysqlReply)
        return reply

    async def add(self, txn: Transaction, account: int, amount: int) -> None:
        reply = await self.write(
            txn,
            self.shard_of(account),
            f"UPDATE {self.schema}.account SET balance = balance + {amount} WHERE id = {account}",
        )
        assert reply.affected_rows == 1

    async def enter(self, txn: Transaction, transfer: int, account: int, amount: int) -> None:
        await self.write(
            txn,
            self.shard_of(account),
            f"INSERT INTO {self.schema}.entry VALUES ({transfer}, {account}, {amount})",
        )

    async def transfer(self, transfer: int, source: int, target: int, amount: int) -> None:
        """One committed transfer, or an error of the engine's."""
        txn = self.begin()
        try:
            for account, change in sorted([(source, -amount), (target, amount)]):
                await self.add(txn, account, change)
                await self.enter(txn, transfer, account, change)
            await txn.commit()
        finally:
            await txn.rollback()

    async def balances(self, txn: Transaction, shards: Sequence[ShardName] | None = None) -> dict[int, int]:
        """A consistent read of all accounts, or of those on `shards`."""

        def build(_: ShardName, too_new: Sequence[Timestamp]) -> str:
            if not too_new:
                return f"SELECT id, balance FROM {self.schema}.account"
            return f"SELECT id, balance FROM {patched_source(self.schema, 'account', ACCOUNT_COLUMNS, too_new, 'a')}"

        replies = await txn.read(shards or self.names, build)
        return {int(row[0]): int(row[1]) for reply in replies for row in self._rows(reply)}

    async def total(self) -> int:
        txn = self.begin()
        try:
            return sum((await self.balances(txn)).values())
        finally:
            await txn.rollback()

    async def entries(self) -> dict[int, list[int]]:
        """transfer -> the amounts of its entries, over all shards, as they stand."""
        found: dict[int, list[int]] = {}
        for shard in self.shards.values():
            async with shard.connection() as connection:
                [rows] = await connection.run([f"SELECT id, amount FROM {self.schema}.entry"], 10)
            for transfer, amount in rows.rows:
                found.setdefault(int(transfer or 0), []).append(int(amount or 0))
        return found

    async def locks_left(self, deadline_s: float) -> int:
        """How many lock records and open local transactions are left after waiting until there is none."""
        async with asyncio.timeout(deadline_s + 10):
            loop = asyncio.get_running_loop()
            end = loop.time() + deadline_s
            while True:
                left = sum([await self._locks_on(shard) for shard in self.shards.values()])
                if not left or loop.time() > end:
                    return left
                await asyncio.sleep(0.15)  # MariaDB renews innodb_trx only where nobody has looked for 0.1 s.

    async def _locks_on(self, shard: AiomysqlShard) -> int:
        async with shard.connection() as connection:
            locks, open_ones = await connection.run(
                [
                    f"SELECT COUNT(*) FROM ({UNDECIDED}) undecided",
                    "SELECT COUNT(*) FROM information_schema.innodb_trx "
                    "WHERE trx_mysql_thread_id NOT IN (0, CONNECTION_ID())",
                ],
                10,
            )
        return int(locks.rows[0][0] or 0) + int(open_ones.rows[0][0] or 0)

    @staticmethod
    def _rows(reply: object) -> Sequence[Sequence[object]]:
        assert isinstance(reply, AiomysqlReply)
        if reply.error is not None:
            raise reply.error
        return reply.rows  # type: ignore[return-value]


@asynccontextmanager
async def open_ledger(
    addresses: Sequence[Address], schema: str, settings: EngineSettings | None = None
) -> AsyncIterator[Ledger]:
    """A new epoch on the shards: fenced, with janitor and cleaner at work."""
    store = MySQLBoundStore({"host": addresses[0].host, "port": addresses[0].port, "user": "root"})
    async with await EmbeddedTso.open(store) as tso:
        ledger = Ledger(addresses, schema, tso, settings or EngineSettings())
        try:
            unreachable = await ledger.engine.start()
            assert not unreachable, unreachable
            workers = asyncio.get_running_loop().create_task(ledger.engine.run())
            try:
                yield ledger
            finally:
                workers.cancel()
                with suppress(asyncio.CancelledError):
                    await workers
        finally:
            for shard in ledger.shards.values():
                shard.close()


def pick_transfer(rng: random.Random) -> tuple[int, int, int]:
    """(source, target, amount): two different accounts."""
    source, target = rng.sample(range(ACCOUNTS), 2)
    return source, target, rng.randint(1, 10)
