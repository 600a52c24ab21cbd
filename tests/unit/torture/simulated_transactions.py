"""Simulated clients of the workloads whose transactions read and write the same few rows."""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import Any, Final

from tests.unit.torture.simulated import Client, Transaction, World

SHARDS: Final = ("s1", "s2", "s3")


def append(world: World, process: int, rng: random.Random, ids: Any) -> Client:
    asked = [
        ["append", rng.randrange(4), next(ids)] if rng.random() < 0.5 else ["r", rng.randrange(4), None]
        for _ in range(rng.randint(1, 4))
    ]

    def body(txn: Transaction) -> Generator[None, None, Any]:
        done = []
        for what, key, element in asked:
            if what == "append":
                txn.write(("append", key), [*(txn.latest(("append", key)) or []), element])
                done.append([what, key, element])
            else:
                done.append([what, key, list(txn.read(("append", key)) or [])])
            yield
        return done

    return world.transaction(process, "txn", asked, body)


def read_all_appends(txn: Transaction) -> Generator[None, None, Any]:
    yield
    return [["r", key, list(txn.read(("append", key)) or [])] for key in range(4)]


def rw_register(world: World, process: int, rng: random.Random, ids: Any) -> Client:
    asked = [
        ["w", rng.randrange(4), next(ids)] if rng.random() < 0.5 else ["r", rng.randrange(4), None]
        for _ in range(rng.randint(1, 4))
    ]

    def body(txn: Transaction) -> Generator[None, None, Any]:
        done = []
        for what, key, value in asked:
            if what == "w":
                txn.write(("r", key), [(txn.latest(("r", key)) or [0])[0] + 1, value])
                done.append([what, key, value])
            else:
                done.append([what, key, txn.read(("r", key))])
            yield
        return done

    return world.transaction(process, "txn", asked, body)


def read_all_registers(txn: Transaction) -> Generator[None, None, Any]:
    yield
    return [["r", key, txn.read(("r", key))] for key in range(4)]


def open_bank(txn: Transaction) -> Generator[None, None, Any]:
    for account in range(8):
        txn.write(("account", account), 100 if account == 0 else 0)
    yield


def bank(world: World, process: int, rng: random.Random, ids: Any) -> Client:
    source, target = rng.sample(range(8), 2)
    amount = rng.randint(1, 5)

    def read(txn: Transaction) -> Generator[None, None, Any]:
        found = []
        for account in range(8):
            found.append([account, txn.read(("account", account))])
            yield
        return found

    def transfer(txn: Transaction) -> Generator[None, None, Any]:
        if (txn.read(("account", source)) or 0) < amount:
            txn.abort()
        yield
        txn.write(("account", source), txn.latest(("account", source)) - amount)
        yield
        txn.write(("account", target), txn.latest(("account", target)) + amount)
        return [source, target, amount]

    if rng.random() < 0.5:
        return world.transaction(process, "read", None, read)
    return world.transaction(process, "transfer", [source, target, amount], transfer)


def register(world: World, process: int, rng: random.Random, ids: Any) -> Client:
    key, new = rng.randrange(3), next(ids)
    f = rng.choice(("read", "write", "cas"))

    def read(txn: Transaction) -> Generator[None, None, Any]:
        yield
        return [key, txn.read(("register", key))]

    def write(txn: Transaction) -> Generator[None, None, Any]:
        yield
        txn.write(("register", key), new)
        return [key, new]

    def cas(txn: Transaction) -> Generator[None, None, Any]:
        old = txn.read(("register", key))
        yield
        txn.write(("register", key), new)
        return [key, old, new]

    asked = {"read": [key, None], "write": [key, new], "cas": [key, None, new]}[f]
    return world.transaction(process, f, asked, {"read": read, "write": write, "cas": cas}[f])


def equal_counters(world: World, process: int, rng: random.Random, ids: Any) -> Client:
    txid, amount = next(ids), rng.randint(1, 9)

    def add(txn: Transaction) -> Generator[None, None, Any]:
        for shard in rng.sample(SHARDS, len(SHARDS)):
            number, total = txn.latest(("counter", shard)) or [0, 0]
            txn.write(("counter", shard), [number + 1, total + amount])
            txn.write(("log", shard), [*(txn.latest(("log", shard)) or []), txid])
            yield
        return [txid, amount]

    if rng.random() < 0.3:
        return world.transaction(process, "read", None, read_counters)
    return world.transaction(process, "add", [txid, amount], add)


def read_counters(txn: Transaction) -> Generator[None, None, Any]:
    found = []
    for shard in SHARDS:
        found.append([shard, *(txn.read(("counter", shard)) or [0, 0])])
        yield
    return found


def read_counters_and_logs(txn: Transaction) -> Generator[None, None, Any]:
    counters = yield from read_counters(txn)
    return {
        "counters": counters,
        "logs": [[shard, list(txn.read(("log", shard)) or [])] for shard in SHARDS],
    }
