"""Engines whose oracle is a service, and comes back under a new epoch: fenced and told before it is asked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from proxy.playground.servers import Server
from tests.fakes.ledger import ACCOUNTS, OPENING_BALANCE, Address, Ledger, addresses_of
from tests.fakes.tso_store import MemoryBoundStore
from tests.isolation.scenes import stored_balance
from tso.client import RemoteTso
from tso.embedded import EmbeddedTso
from tso.service import TsoServer
from tso.types import ShardName
from txguard.engine import failpoints
from txguard.engine.install import epoch_view_name, list_epoch_views
from txguard.engine.settings import EngineSettings
from txguard.errors import TxGuardError

S0, S1 = ShardName("s0"), ShardName("s1")
TOTAL = ACCOUNTS * OPENING_BALANCE
SETTINGS = EngineSettings(before_prewrite_timeout_s=0.5)
FAR_AHEAD = 1 << 40
"""Above the epochs that other tests have left on the shared servers."""


@pytest.fixture(autouse=True)
def no_failpoints() -> Iterator[None]:
    yield
    failpoints.clear()


@pytest.fixture
def store(shard_servers: Sequence[Server]) -> MemoryBoundStore:
    store = MemoryBoundStore()
    store.epoch = FAR_AHEAD
    return store


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@asynccontextmanager
async def oracle(store: MemoryBoundStore, port: int) -> AsyncIterator[EmbeddedTso]:
    async with await EmbeddedTso.open(store) as embedded, await TsoServer.listen(embedded, port=port):
        yield embedded


@asynccontextmanager
async def proxy(servers: Sequence[Server], port: int, *, worker: bool = True) -> AsyncIterator[Ledger]:
    addresses = addresses_of(servers)
    async with await RemoteTso.connect(("127.0.0.1", port), answer_timeout_s=1.0) as tso:
        ledger = Ledger(addresses, "engine_remote", cast(EmbeddedTso, tso), SETTINGS)
        workers = asyncio.get_running_loop().create_task(ledger.engine.run()) if worker else None
        try:
            assert not await ledger.engine.start()
            yield ledger
        finally:
            if workers is not None:
                workers.cancel()
                await asyncio.wait([workers])
            for shard in ledger.shards.values():
                shard.close()


@pytest.fixture(autouse=True)
async def forget_epochs(shard_servers: Sequence[Server]) -> AsyncIterator[None]:
    yield
    for server in shard_servers:
        ledger_shard = Ledger(
            [Address("127.0.0.1", server.port)], "", cast(EmbeddedTso, None), SETTINGS
        ).shards[S0]
        async with ledger_shard.connection() as connection:
            for epoch in await list_epoch_views(connection, 5):
                await connection.run([f"DROP VIEW _txguard.{epoch_view_name(epoch)}"], 5)
        ledger_shard.close()


async def test_commits_go_on_under_a_new_epoch(
    shard_servers: Sequence[Server], store: MemoryBoundStore, port: int
) -> None:
    async with oracle(store, port):
        one = proxy(shard_servers, port)
        two = proxy(shard_servers, port)
        ledgers = [await one.__aenter__(), await two.__aenter__()]
        await ledgers[0].create()
        await ledgers[1].transfer(1, 0, 1, 5)
        open_ = ledgers[0].begin()
        await ledgers[0].add(open_, 0, -5)
    async with oracle(store, port):
        with pytest.raises(TxGuardError) as lost:
            await open_.commit()
        assert lost.value.retry_safe
        for number, ledger in enumerate(ledgers, 2):
            async with asyncio.timeout(10):
                while True:
                    try:
                        await ledger.transfer(number, 0, 1, 5)
                        break
                    except TxGuardError:
                        await asyncio.sleep(0.05)
        assert await stored_balance(ledgers[0], 0) == 85
        assert await ledgers[1].locks_left(5) == 0
        assert await ledgers[0].total() == TOTAL
        await one.__aexit__(None, None, None)
        await two.__aexit__(None, None, None)


async def test_what_the_last_epoch_left_undecided_is_not_read(
    shard_servers: Sequence[Server], store: MemoryBoundStore, port: int
) -> None:
    """s0 has its commit record, s1 has none: a new oracle that knows nothing would let half of it be seen."""
    async with oracle(store, port):
        dying = proxy(shard_servers, port, worker=False)
        reading = proxy(shard_servers, port, worker=False)
        writer, reader = await dying.__aenter__(), await reading.__aenter__()
        await writer.create()
        txn = writer.begin()
        await writer.add(txn, 0, -7)
        await writer.add(txn, 1, +7)
        failpoints.enable("prewrite_before_send", "sleep:30@2*1")
        commit = asyncio.get_running_loop().create_task(txn.commit())
        while await stored_balance(reader, 0) == 100:
            await asyncio.sleep(0.01)
    async with oracle(store, port) as embedded:
        async with asyncio.timeout(10):
            while not (await embedded.statistics()).outstanding:
                await asyncio.sleep(0.01)
        workers = asyncio.get_running_loop().create_task(reader.engine.run())
        assert await reader.total() == TOTAL
        assert await stored_balance(reader, 0) == 100
        commit.cancel()
        await asyncio.wait([commit])
        assert await reader.locks_left(5) == 0
        workers.cancel()
        await asyncio.wait([workers])
        await dying.__aexit__(None, None, None)
        await reading.__aexit__(None, None, None)
