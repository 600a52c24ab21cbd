"""The pool of a shard's connections against real servers: its limits, and a shard that is down, hung or full."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import AsyncIterator, Sequence

import pytest
from structlog.testing import capture_logs

from proxy.backend.circuit import CircuitState
from proxy.backend.connect import ShardAddress, connect
from proxy.backend.connection import BackendConnection
from proxy.backend.pool import BackendPool
from tests.conftest import AnyServer, StartServers
from tests.fakes.backend import PROFILE, address_of, make_pool, open_pool
from tso.types import ShardName
from txguard.engine.concurrent import settle
from txguard.engine.shard import ConnectionLost, ShardUnavailable, borrow


@pytest.fixture
async def pool(shard_servers: Sequence[AnyServer]) -> AsyncIterator[BackendPool]:
    async with open_pool(shard_servers[0]) as opened:
        yield opened


async def test_a_connection_inside_a_transaction_is_not_used_again(pool: BackendPool) -> None:
    for dirty in (["START TRANSACTION"], ["SET @txg_start_ts=5"]):
        connection = await pool.acquire(5, PROFILE)
        await connection.run(dirty, 5)
        pool.release(connection)
        assert connection.closed
    connection = await pool.acquire(5, PROFILE)
    await connection.run(["START TRANSACTION", "SET @txg_start_ts=5"], 5)
    await connection.run(["COMMIT", "SET @txg_start_ts=NULL"], 5)
    pool.release(connection)
    assert not connection.closed


async def test_the_limit_and_the_line(pool: BackendPool) -> None:
    held = [await pool.acquire(5, PROFILE) for _ in range(3)]
    assert pool.statistics().open == 3
    assert pool.lending.take(PROFILE) is None
    with pytest.raises(ShardUnavailable, match="all 3 connections"):
        await pool.acquire(0.1, PROFILE)
    served: list[int] = []

    async def wait(number: int) -> None:
        connection = await pool.acquire(5, PROFILE)
        served.append(number)
        await asyncio.sleep(0)
        pool.release(connection)

    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(wait(number))
            await asyncio.sleep(0)
        assert pool.statistics().waiting == 5
        pool.release(held.pop())
    assert served == [0, 1, 2, 3, 4]
    held.pop().abort()
    pool.release(held.pop())
    assert pool.statistics().open == 2


async def test_an_aborted_connection_makes_room_for_who_waits(pool: BackendPool) -> None:
    held = [await pool.acquire(5, PROFILE) for _ in range(3)]
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(pool.acquire(5, PROFILE))
        await asyncio.sleep(0)
        held.pop().abort()
    assert not waiting.result().closed
    for connection in (*held, waiting.result()):
        pool.release(connection)


async def test_who_gives_up_waiting_takes_nothing_along(pool: BackendPool) -> None:
    held = [await pool.acquire(5, PROFILE) for _ in range(3)]
    for _ in range(3):
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(pool.acquire(5, PROFILE))
            await asyncio.sleep(0)
            pool.release(held.pop())
            waiting.cancel()
        held.append(await pool.acquire(1, PROFILE))
    for connection in held:
        pool.release(connection)
    assert pool.statistics().idle == pool.statistics().open


async def test_connections_idle_for_long_are_closed(pool: BackendPool) -> None:
    for connection in [await pool.acquire(5, PROFILE) for _ in range(2)]:
        pool.release(connection)
    pool.trim(1)
    assert pool.statistics().open == 2
    busy = await pool.acquire(5, PROFILE)
    pool.trim(1)
    assert pool.statistics().open == 1
    pool.release(busy)


async def test_a_shard_that_is_down_fails_fast_and_is_fenced_when_it_returns(
    fresh_shard_servers: StartServers,
) -> None:
    [server] = await fresh_shard_servers(count=1)
    fenced: list[int] = []
    gate = asyncio.Event()
    gate.set()

    async def fence(connection: BackendConnection) -> None:
        await connection.run(["SELECT 1"], 5)
        await gate.wait()
        fenced.append(connection.thread_id)

    pool = make_pool(server, on_connect=fence, max_connections=5)
    connection = await pool.acquire(5)
    assert len(fenced) == 1
    pool.release(connection)

    await server.kill9()
    while not connection.closed:  # the news of its end is on its way
        await asyncio.sleep(0.01)
    with pytest.raises(ShardUnavailable, match="cannot be reached"):
        await pool.acquire(5)
    began = time.monotonic()
    for _ in range(100):
        with pytest.raises(ShardUnavailable):
            await pool.acquire(5)
    assert time.monotonic() - began < 3
    assert pool.statistics().state is CircuitState.DOWN

    gate.clear()
    await server.start()
    back = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(_acquire_patiently(pool)) for _ in range(4)]
        await asyncio.sleep(1.5)
        assert not any(task.done() for task in waiting), "nobody gets one before the fence"
        assert len(fenced) == 1
        gate.set()
    assert len(fenced) == 2
    assert time.monotonic() - back < 5
    for task in waiting:
        pool.release(task.result())
    assert pool.statistics().state is CircuitState.UP
    pool.close()


async def _acquire_patiently(pool: BackendPool) -> BackendConnection:
    while True:
        try:
            return await pool.acquire(10)
        except ShardUnavailable:
            await asyncio.sleep(0.02)


async def test_a_shard_that_cannot_be_fenced_stays_down(shard_servers: Sequence[AnyServer]) -> None:
    async def fence(connection: BackendConnection) -> None:
        raise ConnectionLost("no")

    pool = make_pool(shard_servers[0], on_connect=fence)
    with pytest.raises(ShardUnavailable, match="fenced"):
        await pool.acquire(5)
    assert pool.statistics().open == 0
    pool.close()


async def test_a_missing_privilege_is_told_with_its_shard(
    shard_servers: Sequence[AnyServer], pool: BackendPool
) -> None:
    server = shard_servers[0]
    async with borrow(pool, 5) as root:
        await root.run(["DROP USER IF EXISTS few@'%'", "CREATE USER few@'%' IDENTIFIED BY 'x'"], 5)

        async def fence(connection: BackendConnection) -> None:
            await connection.run(["SELECT trx_id FROM information_schema.INNODB_TRX"], 5)

        few = BackendPool(ShardName("s7"), address_of(server, "few", "x"), on_connect=fence)
        with capture_logs() as logs:
            for _ in range(3):
                with pytest.raises(
                    ShardUnavailable, match=r"fenced: Access denied; .* PROCESS .*\(error 1227\)"
                ):
                    await few.acquire(5)
                await asyncio.sleep(0.25)  # the circuit's pause
        few.close()
        await root.run(["DROP USER few@'%'"], 5)
    [told] = logs  # not at each try
    assert (told["event"], told["log_level"], told["shard"]) == ("shard_refuses_account", "error", "s7")
    assert "PROCESS" in told["reason"]


async def test_a_hung_shard_is_not_taken_for_an_overload(fresh_shard_servers: StartServers) -> None:
    [server] = await fresh_shard_servers(count=1)
    pool = make_pool(server, max_connections=2)
    held = [await pool.acquire(5) for _ in range(2)]
    with pytest.raises(ShardUnavailable, match="open transactions hold them"):
        await pool.acquire(0.1)
    server.pause()
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(settle([connection.run(["SELECT 1"], 10) for connection in held]))
        while not all(connection.busy for connection in held):
            await asyncio.sleep(0)  # Both have been asked before somebody stands in line.
        with pytest.raises(ShardUnavailable, match=r"does not answer: 2 wait for its answer, .* 0\.[345] s"):
            await pool.acquire(0.3)
        held[0].abort()
        with pytest.raises(ShardUnavailable, match="did not accept a connection"):
            await pool.acquire(0.2)
        server.resume()
    assert [isinstance(result, ConnectionLost) for result in asking.result()] == [True, False]
    pool.close()


async def test_a_pool_that_is_suspended_fences_a_new_connection_first(
    shard_servers: Sequence[AnyServer],
) -> None:
    fenced: list[BackendConnection] = []

    async def fence(connection: BackendConnection) -> None:
        fenced.append(connection)

    pool = make_pool(shard_servers[0], on_connect=fence, max_connections=3)
    held, idle = await pool.acquire(5), await pool.acquire(5)
    pool.release(idle)
    pool.suspend("it is not fenced for epoch 2 yet")
    assert (held.closed, idle.closed) == (True, True)
    assert pool.statistics().state is CircuitState.DOWN
    pool.release(held)
    again = await _acquire_patiently(pool)
    assert fenced[1:] == [again]
    assert pool.statistics().open == 1
    pool.release(again)
    pool.close()


async def test_a_host_that_does_not_answer_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = ShardAddress("root", port=silent.getsockname()[1])
        pool = BackendPool(ShardName("s1"), address, connect_timeout_s=0.2)
        began = time.monotonic()
        with pytest.raises(ShardUnavailable, match="time limit"):
            await pool.acquire(5)
        assert time.monotonic() - began < 1


async def test_a_connection_that_cannot_be_set_up_is_closed(shard_servers: Sequence[AnyServer]) -> None:
    setup = ("DO GET_LOCK('the set-up', 0)", "SET SESSION no_such_variable = 1")
    pool = make_pool(shard_servers[0], session=setup)
    with pytest.raises(ShardUnavailable, match="no_such_variable"):
        await pool.acquire(5)
    assert pool.statistics().open == 0
    root = await connect(address_of(shard_servers[0]))
    async with asyncio.timeout(5):
        while (await root.run(["SELECT IS_USED_LOCK('the set-up')"], 5))[0].rows != [[None]]:
            await asyncio.sleep(0.01)
    root.close()


@pytest.fixture
async def full(shard_servers: Sequence[AnyServer], pool: BackendPool) -> AsyncIterator[BackendPool]:
    """A pool that would have five connections at a shard that lets it have two."""
    async with borrow(pool, 5) as root:
        user = "CREATE USER few@'%' IDENTIFIED BY 'x' WITH MAX_USER_CONNECTIONS 2"
        await root.run(["DROP USER IF EXISTS few@'%'", user], 5)
        yield BackendPool(ShardName("s7"), address_of(shard_servers[0], "few", "x"), max_connections=5)
        await root.run(["DROP USER few@'%'"], 5)


async def test_at_a_full_shard_one_waits_for_a_connection_to_come_back(full: BackendPool) -> None:
    held = [await full.acquire(5) for _ in range(2)]
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(full.acquire(5)) for _ in range(3)]
        await asyncio.sleep(0.6)
        assert not any(task.done() for task in waiting)
        full.release(held[0])
        held[1].abort()
        done, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 2:
            more, others = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        for task in done:
            full.release(task.result())
    assert full.statistics().waiting == 0
    full.close()


async def test_who_waits_at_a_full_shard_is_told_so(full: BackendPool) -> None:
    held = [await full.acquire(5) for _ in range(2)]
    with pytest.raises(ShardUnavailable, match=r"no more connections: .*; none of the 2 in use became free"):
        await full.acquire(0.5)
    assert full.statistics().open == 2
    other = BackendPool(ShardName("s7"), full.address)
    began = time.monotonic()
    with pytest.raises(ShardUnavailable, match="accepts no more connections"):
        await other.acquire(5)
    assert time.monotonic() - began < 2, "it has none that could come back"
    assert other.statistics().open == 0
    full.release(held[0])
    full.close()


async def test_room_that_others_leave_at_a_full_shard_is_found(full: BackendPool) -> None:
    other = BackendPool(ShardName("s7"), full.address)
    ours, theirs = await full.acquire(5), await other.acquire(5)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(full.acquire(5))
        await asyncio.sleep(0.1)
        theirs.close()
    assert waiting.result() is not ours
    full.close()


async def test_too_many_open_files_say_nothing_about_the_shard(
    pool: BackendPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = await pool.acquire(5, PROFILE)

    async def no_descriptor(*_: object, **__: object) -> BackendConnection:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("proxy.backend.pool.connect", no_descriptor)
        with pytest.raises(ShardUnavailable, match="ulimit -n"):
            await pool.acquire(0.3, PROFILE)
        assert pool.statistics().state is CircuitState.UP
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(pool.acquire(5, PROFILE))
            await asyncio.sleep(0.1)
            pool.release(held)
        assert waiting.result() is held, "what is open goes from hand to hand"
    pool.release(held)
