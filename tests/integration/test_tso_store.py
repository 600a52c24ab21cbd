"""The oracle's row in a real server: made when missing, fenced by epoch, durable, and outages survived."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiomysql
import pytest

from tests.conftest import AnyServer, StartServers
from tso.copies import MySQLCopy
from tso.embedded import EmbeddedTso
from tso.errors import BoundStoreError, Deposed, TsoUnavailable
from tso.store import STRAGGLER_S, MySQLBoundStore, MySQLCopies
from tso.types import Timestamp

LEASE_MS = 200


def arguments(server: AnyServer) -> dict[str, Any]:
    return {"host": server.host, "port": server.port, "user": server.user, "password": server.password}


async def query(server: AnyServer, statement: str) -> Any:
    connection = await aiomysql.connect(**arguments(server), autocommit=True)
    try:
        async with connection.cursor() as cursor:
            await cursor.execute(statement)
            return await cursor.fetchall()
    finally:
        connection.close()


@pytest.fixture
async def server(shard_servers: Sequence[AnyServer]) -> AsyncIterator[AnyServer]:
    """One that has no row before and none after."""
    await forget(shard_servers[0])
    yield shard_servers[0]
    await forget(shard_servers[0])


async def forget(server: AnyServer) -> None:
    for [name] in await query(server, "SHOW DATABASES LIKE '\\_txguard'"):
        for [table] in await query(server, f"SHOW TABLES IN {name} LIKE 'tso'"):
            await query(server, f"DROP TABLE {name}.{table}")


@pytest.fixture
async def store(server: AnyServer) -> AsyncIterator[MySQLBoundStore]:
    store = MySQLBoundStore(arguments(server))
    yield store
    await store.aclose()


def only_copy(store: MySQLBoundStore) -> MySQLCopy:
    copies = store._copies
    assert isinstance(copies, MySQLCopies)
    [copy] = copies._copies
    return copy


async def row(server: AnyServer) -> tuple[int, int]:
    [found] = await query(server, "SELECT epoch, `bound` FROM _txguard.tso")
    return tuple(found)  # type: ignore[return-value]


async def test_makes_its_row_when_it_is_missing(store: MySQLBoundStore, server: AnyServer) -> None:
    assert await store.begin_term(LEASE_MS) == (1, 0)
    await store.raise_bound(1, Timestamp(100), LEASE_MS)
    assert await row(server) == (1, 100)
    assert await store.begin_term(LEASE_MS) == (2, 100)


async def test_the_bound_takes_all_64_bits_and_never_falls(store: MySQLBoundStore, server: AnyServer) -> None:
    await store.begin_term(LEASE_MS)
    highest = Timestamp((1 << 64) - 1)
    await store.raise_bound(1, highest, LEASE_MS)
    await store.raise_bound(1, Timestamp(100), LEASE_MS)  # one that was held up on the way
    assert await row(server) == (1, highest)
    await store.raise_bound(1, highest, LEASE_MS)  # unchanged is no failure
    await store.release(1, Timestamp(100))
    assert await store.begin_term(LEASE_MS) == (2, 100)


async def test_an_older_epoch_is_deposed(store: MySQLBoundStore, server: AnyServer) -> None:
    await store.begin_term(LEASE_MS)
    await store.raise_bound(1, Timestamp(100), LEASE_MS)
    other = MySQLBoundStore(arguments(server))
    await other.begin_term(LEASE_MS)
    with pytest.raises(Deposed, match="epoch 1 was deposed by epoch 2"):
        await store.raise_bound(1, Timestamp(200), LEASE_MS)
    with pytest.raises(BoundStoreError, match="a newer epoch, 2"):
        await store.release(1, Timestamp(1))
    assert await row(server) == (2, 100)
    await other.aclose()


async def test_terms_that_begin_at_once_have_different_epochs(
    store: MySQLBoundStore, server: AnyServer
) -> None:
    await store.begin_term(LEASE_MS)
    others = [MySQLBoundStore(arguments(server), timeout_s=10) for _ in range(5)]
    terms = await asyncio.gather(*[other.begin_term(LEASE_MS) for other in others])
    assert sorted(term.epoch for term in terms) == [2, 3, 4, 5, 6]
    for other in others:
        await other.aclose()


async def test_a_row_that_was_removed(store: MySQLBoundStore, server: AnyServer) -> None:
    await store.begin_term(LEASE_MS)
    await query(server, "DELETE FROM _txguard.tso")
    with pytest.raises(BoundStoreError, match="lost the row"):
        await store.raise_bound(1, Timestamp(1), LEASE_MS)


async def test_a_wrong_password_says_so(server: AnyServer) -> None:
    store = MySQLBoundStore({**arguments(server), "user": "nobody", "password": "wrong"})
    with pytest.raises(BoundStoreError, match="nobody"):
        await store.begin_term(LEASE_MS)


async def test_a_killed_connection_is_made_again(store: MySQLBoundStore, server: AnyServer) -> None:
    await store.begin_term(LEASE_MS)
    [[connection_id]] = await only_copy(store)._execute("SELECT CONNECTION_ID()")
    await query(server, f"KILL {connection_id}")
    with pytest.raises(BoundStoreError):
        await store.raise_bound(1, Timestamp(5), LEASE_MS)
    await store.raise_bound(1, Timestamp(6), LEASE_MS)
    assert await row(server) == (1, 6)


async def test_a_row_that_is_locked_is_a_store_that_does_not_answer(
    store: MySQLBoundStore, server: AnyServer
) -> None:
    await store.begin_term(LEASE_MS)
    connection = await aiomysql.connect(**arguments(server))
    async with connection.cursor() as cursor:
        await cursor.execute("SELECT * FROM _txguard.tso FOR UPDATE")
        impatient = MySQLBoundStore(arguments(server), timeout_s=0.2)
        with pytest.raises(BoundStoreError, match=r"0\.2 s"):
            await impatient.raise_bound(1, Timestamp(5), LEASE_MS)
        await impatient.aclose()
    connection.close()
    await store.raise_bound(1, Timestamp(6), LEASE_MS)


async def test_a_release_is_not_lost_behind_a_renewal_that_is_under_way(
    store: MySQLBoundStore, server: AnyServer
) -> None:
    oracle = await EmbeddedTso.open(store)
    last = (await oracle.begin()).start_ts
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await store.raise_bound(1, Timestamp(last + 1_000), LEASE_MS)
    await oracle.aclose()
    assert await row(server) == (1, last + 1)


async def test_a_row_of_before_there_were_standbys(store: MySQLBoundStore, server: AnyServer) -> None:
    await store.read()
    await query(server, "DROP TABLE _txguard.tso")
    await query(
        server,
        "CREATE TABLE _txguard.tso (id TINYINT UNSIGNED NOT NULL PRIMARY KEY, epoch BIGINT UNSIGNED NOT NULL, "
        "`bound` BIGINT UNSIGNED NOT NULL)",
    )
    await query(server, "INSERT INTO _txguard.tso VALUES (1, 7, 700)")
    others = [MySQLBoundStore(arguments(server)) for _ in range(3)]
    for rows in await asyncio.gather(store.read(), *[other.read() for other in others]):
        assert rows == {0: (7, 700, 3_000, "")}, "it may still have the lease that it had then"
    assert await store.begin_term(LEASE_MS) == (8, 700)
    for other in others:
        await other.aclose()


class TestMajority:
    @pytest.fixture
    async def servers(self, shard_servers: Sequence[AnyServer]) -> AsyncIterator[Sequence[AnyServer]]:
        for server in shard_servers:
            await forget(server)
        yield shard_servers
        for server in shard_servers:
            await forget(server)

    @staticmethod
    def store(servers: Sequence[AnyServer], *missing: int, timeout_s: float = 5.0) -> MySQLBoundStore:
        """The copies of which `missing` are at an address where nobody answers."""
        nobody = {"host": "127.0.0.1", "port": 1, "user": "root"}
        return MySQLBoundStore(
            *[nobody if number in missing else arguments(server) for number, server in enumerate(servers)],
            timeout_s=timeout_s,
        )

    async def test_what_a_majority_has_is_found_by_any_other(self, servers: Sequence[AnyServer]) -> None:
        first = self.store(servers)
        assert await first.begin_term(LEASE_MS) == (1, 0)
        without_last, without_first = self.store(servers, 2), self.store(servers, 0)
        await without_last.raise_bound(1, Timestamp(100), LEASE_MS)
        assert await without_first.begin_term(LEASE_MS) == (2, 100)
        with pytest.raises(Deposed, match="epoch 1 was deposed by epoch 2"):
            await first.raise_bound(1, Timestamp(200), LEASE_MS)
        await first.raise_bound(2, Timestamp(300), LEASE_MS)
        assert [await row(server) for server in servers] == [(2, 300)] * 3, (
            "who missed the claim has caught up"
        )
        alone = self.store(servers, 0, 1)
        with pytest.raises(BoundStoreError, match=r"127\.0\.0\.1:1"):
            await alone.begin_term(LEASE_MS)
        for opened in (first, without_last, without_first, alone):
            await opened.aclose()

    async def test_at_first_all_are_needed(self, servers: Sequence[AnyServer]) -> None:
        without_last = self.store(servers, 2)
        with pytest.raises(BoundStoreError, match="2 of 3 copies"):
            await without_last.begin_term(LEASE_MS)
        await without_last.aclose()

    async def test_one_that_hangs_holds_up_nobody(self, servers: Sequence[AnyServer]) -> None:
        store = self.store(servers)
        await store.begin_term(LEASE_MS)
        connection = await aiomysql.connect(**arguments(servers[0]))
        async with connection.cursor() as cursor:
            await cursor.execute("SELECT * FROM _txguard.tso FOR UPDATE")
            async with asyncio.timeout(2):
                await store.raise_bound(1, Timestamp(100), LEASE_MS)
        connection.close()
        assert [(await row(server))[1] for server in servers[1:]] == [100, 100]
        async with asyncio.timeout(
            5
        ):  # the one that hung does what it was asked, and then has a part in it again
            for bound in itertools.count(200):
                await store.raise_bound(1, Timestamp(bound), LEASE_MS)
                if [(await row(server))[1] for server in servers] == [bound] * 3:
                    break
        await store.aclose()

    async def test_one_that_is_slow_to_connect_to_gets_there(
        self, servers: Sequence[AnyServer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = self.store(servers)
        await store.begin_term(LEASE_MS)
        connect = aiomysql.connect

        async def slow(**arguments: Any) -> Any:
            await asyncio.sleep(2 * STRAGGLER_S)
            return await connect(**arguments)

        monkeypatch.setattr(aiomysql, "connect", slow)
        copies = store._copies
        assert isinstance(copies, MySQLCopies)
        copies._copies[0]._drop()
        async with asyncio.timeout(5):
            for bound in itertools.count(300):
                await store.raise_bound(1, Timestamp(bound), LEASE_MS)
                if (await row(servers[0]))[1] == bound:
                    break
        await store.aclose()


async def test_two_oracles_on_one_row(server: AnyServer) -> None:
    async with await EmbeddedTso.open(MySQLBoundStore(arguments(server)), window_ms=200) as old:
        before = (await old.begin()).start_ts
        async with await EmbeddedTso.open(MySQLBoundStore(arguments(server)), window_ms=200) as new:
            assert new.epoch == old.epoch + 1
            assert (await new.begin()).start_ts > before
            await asyncio.sleep(0.3)
            with pytest.raises(Deposed):
                await old.begin()
            await new.begin()


async def test_the_server_is_killed_and_comes_back(fresh_shard_servers: StartServers) -> None:
    [server] = await fresh_shard_servers(count=1)
    async with await EmbeddedTso.open(MySQLBoundStore(arguments(server)), window_ms=1_000) as oracle:
        last = (await oracle.begin()).start_ts
        await server.kill9()
        last = (await oracle.begin()).start_ts  # below the bound that was persisted
        await asyncio.sleep(1.1)
        with pytest.raises(TsoUnavailable, match=str(server.port)):
            await oracle.begin()
        await server.restart()
        async with asyncio.timeout(30):
            while True:
                try:
                    begun = await oracle.begin()
                    break
                except TsoUnavailable:
                    await asyncio.sleep(0.05)
        assert begun.start_ts > last
        await server.kill9()  # and the oracle with it, without a release
        await oracle._renewing.aclose()
        await server.restart()
        async with await EmbeddedTso.open(MySQLBoundStore(arguments(server), timeout_s=5)) as new:
            assert (await new.begin()).start_ts > begun.start_ts
