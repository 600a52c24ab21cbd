"""Cross-shard transfers, two updates on two shards: through the proxy, and as XA by a plain client at the servers.

Run as `python -m proxy.bench.transfers`, one process a connection: says when it is connected, waits for a line so that
all begin together, and prints the number of transfers done. Both kinds use pymysql, and both send what a careful
application would: one statement a round trip, no needless ones.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence

import pymysql
from pymysql.connections import Connection

from proxy.bench.world import HOST, World

DATABASE = "bench"
ACCOUNTS = 3_000
RETRIED = frozenset({1213, 1205, 1020})


def connect(port: int, database: str | None = DATABASE) -> Connection:
    return pymysql.connect(host=HOST, port=port, user="root", database=database, autocommit=True)


def prepare(world: World) -> list[list[int]]:
    """Accounts behind the proxy and, for XA, in a plain table on each server; answers which shard has which."""
    with connect(world.proxy, None) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        cursor.execute(f"CREATE TABLE {DATABASE}.account (id INT PRIMARY KEY, balance BIGINT NOT NULL)")
        rows = ", ".join(f"({account}, 1000)" for account in range(ACCOUNTS))
        cursor.execute(f"INSERT INTO {DATABASE}.account VALUES {rows}")
    homes: list[list[int]] = []
    for port in world.servers:
        with connect(port) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM account")
            homes.append([row[0] for row in cursor.fetchall()])
            cursor.execute("CREATE TABLE plain (id INT PRIMARY KEY, balance BIGINT NOT NULL)")
            rows = ", ".join(f"({account}, 1000)" for account in homes[-1])
            cursor.execute(f"INSERT INTO plain VALUES {rows}")
    return homes


def through_proxy(port: int, rng: random.Random, homes: Sequence[Sequence[int]]) -> Callable[[], None]:
    connection = connect(port)
    cursor = connection.cursor()

    def transfer() -> None:
        source, target = (rng.choice(home) for home in homes)
        cursor.execute("BEGIN")
        cursor.execute(f"UPDATE account SET balance = balance - 1 WHERE id = {source}")
        cursor.execute(f"UPDATE account SET balance = balance + 1 WHERE id = {target}")
        cursor.execute("COMMIT")

    return transfer


def by_xa(ports: Sequence[int], rng: random.Random, homes: Sequence[Sequence[int]]) -> Callable[[], None]:
    cursors = [connect(port).cursor() for port in ports]
    count = 0

    def transfer() -> None:
        nonlocal count
        count += 1
        name = f"'{os.getpid()}-{count}'"
        for cursor, home, change in zip(cursors, homes, ("- 1", "+ 1"), strict=True):
            cursor.execute(f"XA START {name}")
            cursor.execute(f"UPDATE plain SET balance = balance {change} WHERE id = {rng.choice(home)}")
        for cursor in cursors:
            cursor.execute(f"XA END {name}")
            cursor.execute(f"XA PREPARE {name}")
        for cursor in cursors:
            cursor.execute(f"XA COMMIT {name}")

    return transfer


async def rate(
    kind: str, ports: Sequence[int], homes: Sequence[Sequence[int]], clients: int, seconds: float
) -> float:
    """Transfers per second of `clients` connections, each a process of its own."""
    homes_line = json.dumps(homes).encode() + b"\n"
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "proxy.bench.transfers",
            kind,
            f"--ports={','.join(map(str, ports))}",
            f"--seconds={seconds}",
            f"--seed={number}",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for number in range(clients)
    ]
    await asyncio.gather(*(_connected(process, homes_line) for process in processes))
    outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    if any(process.returncode for process in processes):
        raise RuntimeError(f"a {kind} client failed")
    return sum(int(output) for output, _ in outputs) / seconds


async def _connected(process: asyncio.subprocess.Process, homes: bytes) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(homes)
    if not await process.stdout.readline():
        raise RuntimeError("a client of the transfers could not begin")


def work(transfer: Callable[[], None], seconds: float) -> int:
    """How many transfers were done in `seconds` from now on."""
    end = time.monotonic() + seconds
    done = 0
    while time.monotonic() < end:
        try:
            transfer()
        except pymysql.MySQLError as error:
            if error.args[0] not in RETRIED:
                raise
        else:
            done += 1
    return done


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["proxy", "xa"])
    parser.add_argument("--ports", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    ports = [int(port) for port in arguments.ports.split(",")]
    homes = json.loads(sys.stdin.readline())
    rng = random.Random(arguments.seed)
    transfer = through_proxy(ports[0], rng, homes) if arguments.kind == "proxy" else by_xa(ports, rng, homes)
    print("connected", flush=True)
    sys.stdin.readline()
    print(work(transfer, arguments.seconds))


if __name__ == "__main__":
    main()
