"""What one connection or one oracle costs: commit latency, memory of idle connections, timestamps per second."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from proxy.bench.transfers import connect
from proxy.bench.world import HOST, World
from tso.client import RemoteTso
from tso.embedded import EmbeddedTso
from tso.service import TsoServer
from tso.store import MySQLBoundStore

IDLE_CONNECTIONS = 500
SERVICE_CALLERS = 64


def commit_latencies_ms(world: World, homes: Sequence[Sequence[int]], commits: int) -> tuple[float, float]:
    """Medians of COMMIT after two updates: (on two shards, on one), alternating on one connection."""
    rng = random.Random(1)
    times: dict[bool, list[float]] = {True: [], False: []}
    with connect(world.proxy) as connection, connection.cursor() as cursor:
        for number in range(2 * commits):
            cross = number % 2 == 0
            accounts = [rng.choice(homes[0]), rng.choice(homes[1 if cross else 0])]
            cursor.execute("BEGIN")
            for account, change in zip(accounts, ("- 1", "+ 1"), strict=True):
                cursor.execute(f"UPDATE account SET balance = balance {change} WHERE id = {account}")
            began = time.perf_counter()
            cursor.execute("COMMIT")
            times[cross].append((time.perf_counter() - began) * 1000)
    return statistics.median(times[True]), statistics.median(times[False])


def idle_connection_kib(world: World) -> float:
    """Resident memory of the proxy per connection that is open and idle."""
    before = _resident_kib(world.proxy_pid)
    connections = [connect(world.proxy, None) for _ in range(IDLE_CONNECTIONS)]
    try:
        return (_resident_kib(world.proxy_pid) - before) / IDLE_CONNECTIONS
    finally:
        for connection in connections:
            connection.close()


def _resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


async def timestamps_per_second(world: World, seconds: float) -> tuple[float, float]:
    """Transactions begun and ended per second: (embedded, over the service by 64 callers on one connection)."""
    store = MySQLBoundStore({"host": HOST, "port": world.servers[2], "user": "root"})
    async with await EmbeddedTso.open(store) as tso:
        embedded = await _begin_and_end(tso, seconds, callers=1)
        async with (
            await TsoServer.listen(tso, HOST) as service,
            await RemoteTso.connect((HOST, service.port)) as remote,
        ):
            return embedded, await _begin_and_end(remote, seconds, SERVICE_CALLERS)


async def _begin_and_end(tso: EmbeddedTso | RemoteTso, seconds: float, callers: int) -> float:
    end = time.perf_counter() + seconds
    count = 0

    async def call() -> None:
        nonlocal count
        while time.perf_counter() < end:
            begun = await tso.begin()
            await tso.end(begun.start_ts)
            count += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(call())
    return count / seconds
