"""A server that is stopped and goes on: what the coordinator gave up on arrives after all, when it is decided."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

import pytest

from proxy.playground.servers import Server
from tests.crash.test_coordinator_dies import check
from tests.fakes.ledger import ACCOUNTS, OPENING_BALANCE, Ledger, addresses_of, open_ledger
from tso.types import ShardName
from txguard.engine import failpoints
from txguard.engine.aiomysql_shard import AiomysqlConnection
from txguard.engine.committing import prewrite_statement
from txguard.engine.settings import EngineSettings
from txguard.engine.shard import ShardError, ShardUnavailable
from txguard.errors import Conflict, OutcomeUndetermined, TxGuardError

SCHEMA = "crash_late"
S0, S1 = ShardName("s0"), ShardName("s1")
TOTAL = ACCOUNTS * OPENING_BALANCE
StartServers = Callable[..., Awaitable[list[Server]]]


@pytest.fixture(autouse=True)
def no_failpoints() -> Iterator[None]:
    yield
    failpoints.clear()


class Stopped:
    """In place of the socket to a server that does not answer any more."""

    closed = False

    def close(self) -> None:
        self.closed = True

    async def query(self, _: str) -> None:
        raise OSError("no answer in time")


async def test_a_prewrite_that_arrives_after_the_undo_finds_a_tombstone(
    shard_servers: Sequence[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """s0 lost its part; s1 was stopped while it was decided, and came back before its prewrite was executed."""
    async with open_ledger(addresses_of(shard_servers), SCHEMA) as ledger:
        await ledger.create()
        txn = ledger.begin()
        await ledger.add(txn, 0, -7)
        await ledger.add(txn, 1, +7)
        txn.branches[S0].connection.abort()
        on_s1 = txn.branches[S1].connection
        assert isinstance(on_s1, AiomysqlConnection)
        server_side = AiomysqlConnection(on_s1._raw)
        on_s1._raw = Stopped()
        not_once(ledger, S1, monkeypatch)
        with pytest.raises(Conflict):
            await txn.commit()
        assert txn.start_ts is not None and txn.commit_ts is not None
        late = [prewrite_statement(ledger.tso.epoch, txn.commit_ts, (S0, S1))]
        with pytest.raises(ShardError) as refused:
            await server_side.run(late, 5)
        assert refused.value.errno == 1062
        server_side.abort()
        await check(ledger, [])


def not_once(ledger: Ledger, name: ShardName, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next attempt to reach the shard fails."""
    shard = ledger.shards[name]
    acquire, failures = shard.acquire, iter([ShardUnavailable("stopped")])

    async def unreliable(timeout_s: float) -> AiomysqlConnection:
        for failure in failures:
            raise failure
        return await acquire(timeout_s)

    monkeypatch.setattr(shard, "acquire", unreliable)


async def test_a_server_stopped_in_prewrite_and_continued(fresh_shard_servers: StartServers) -> None:
    settings = EngineSettings(
        acquire_timeout_s=0.5, control_timeout_s=0.5, prewrite_timeout_s=0.4, cleanup_timeout_s=0.3
    )
    servers = await fresh_shard_servers(2)
    async with open_ledger(addresses_of(servers), SCHEMA, settings) as ledger:
        await ledger.create()
        for round_ in range(1, 5):
            failpoints.enable("prewrite_before_send", "sleep:0.1")

            async def transfer(number: int = round_) -> str:
                try:
                    await ledger.transfer(number, 0, 1, 5)
                except OutcomeUndetermined:
                    return "undetermined"
                except TxGuardError:
                    return "rolled back"
                return "committed"

            async with asyncio.TaskGroup() as group:
                outcome = group.create_task(transfer())
                while not ledger.engine.tso._window.commits:  # type: ignore[attr-defined]
                    await asyncio.sleep(0.002)
                servers[1].pause()
            failpoints.clear()
            assert outcome.result() == "undetermined"
            servers[1].resume()
            assert await ledger.locks_left(8) == 0
            await check(ledger, [])
