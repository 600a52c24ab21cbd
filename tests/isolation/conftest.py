"""A ledger of accounts over three real shards, and rules of the protocol that a test may switch off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from proxy.playground.servers import Server
from tests.fakes.ledger import Address, Ledger, addresses_of, open_ledger
from txguard.engine import failpoints
from txguard.engine.aiomysql_shard import AiomysqlConnection
from txguard.engine.install import install


@pytest.fixture(autouse=True)
def no_failpoints() -> Iterator[None]:
    yield
    failpoints.clear()


@pytest.fixture
async def ledger(shard_servers: Sequence[Server]) -> AsyncIterator[Ledger]:
    """Account i has 100 and lives on shard i mod 3: 0, 3, 6, … on s0, 1, 4, … on s1, 2, 5, … on s2."""
    addresses = addresses_of(shard_servers)
    await forget_undecided(addresses)
    async with open_ledger(addresses, "isolation_ledger") as opened:
        await opened.create()
        yield opened


async def forget_undecided(addresses: Sequence[Address]) -> None:
    """A test that switched a rule off may have left what no resolver can settle."""
    for address in addresses:
        connection = await AiomysqlConnection.connect(address.dsn(), 5)
        await install(connection)
        await connection.run(
            [
                "DELETE FROM _txguard.txn_lock",
                "UPDATE _txguard.decided SET up_to = (SELECT MAX(commit_ts) FROM _txguard.txn)",
            ],
            5,
        )
        connection.abort()
