"""Simulated clients of the workloads whose rows come and go, or only grow."""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import Any

from tests.unit.torture.simulated import Body, Client, Transaction, World


def set_(world: World, process: int, rng: random.Random, ids: Any) -> Client:
    element = next(ids)

    def add(txn: Transaction) -> Generator[None, None, Any]:
        yield
        txn.write(("set", element), 1)
        return element

    if rng.random() < 0.3:
        return world.transaction(process, "read", None, read_set)
    return world.transaction(process, "add", element, add)


def read_set(txn: Transaction) -> Generator[None, None, Any]:
    yield
    return [key[1] for key in txn.scan("set")]


def set_cas(world: World, process: int, rng: random.Random, ids: Any) -> Client:
    element = next(ids)

    def add(txn: Transaction) -> Generator[None, None, Any]:
        old = txn.read(("cas",)) or []
        yield
        txn.write(("cas",), [*old, element])
        return element

    if rng.random() < 0.3:
        return world.transaction(process, "read", None, read_cas)
    return world.transaction(process, "add", element, add)


def read_cas(txn: Transaction) -> Generator[None, None, Any]:
    yield
    return list(txn.read(("cas",)) or [])


def monotonic(world: World, process: int, rng: random.Random, ids: Any) -> Client:
    key = rng.randrange(8)

    def increment(txn: Transaction) -> Generator[None, None, Any]:
        value = (txn.read(("counter", key)) or 0) + 1
        yield
        txn.write(("counter", key), value)
        return [key, value]

    def read(txn: Transaction) -> Generator[None, None, Any]:
        found = []
        for key in rng.sample(range(8), 8):
            found.append([key, txn.read(("counter", key)) or 0])
            yield
        return found

    if rng.random() < 0.4:
        return world.transaction(process, "read", None, read)
    return world.transaction(process, "increment", [key, None], increment)


def long_fork(world: World, process: int, rng: random.Random, ids: Any) -> Client:
    key = next(ids)
    group = key // 10

    def write(txn: Transaction) -> Generator[None, None, Any]:
        yield
        txn.write(("fork", key), 1)
        return [group, key]

    def read(txn: Transaction) -> Generator[None, None, Any]:
        found = []
        for key in rng.sample(range(group * 10, group * 10 + 10), 10):
            found.append([key, txn.read(("fork", key)) or 0])
            yield
        return [group, found]

    if rng.random() < 0.5:
        return world.transaction(process, "read", [group, None], read)
    return world.transaction(process, "write", [group, key], write)


def sequential(world: World, process: int, rng: random.Random, ids: Any) -> Client:
    def read_one(key: int) -> Body:
        def read(txn: Transaction) -> Generator[None, None, Any]:
            there = []
            for subkey in range(5):
                there.append(txn.read((f"sub{subkey}", key)) or 0)
                yield
            return [key, there]

        return read

    def insert_one(key: int, subkey: int) -> Body:
        def insert(txn: Transaction) -> Generator[None, None, Any]:
            yield
            txn.write((f"sub{subkey}", key), 1)
            return [key, subkey]

        return insert

    if rng.random() < 0.7:
        key = rng.randint(1, max(1, next(ids)))
        yield from world.transaction(process, "read", [key, None], read_one(key))
        return
    key = next(ids)
    for subkey in range(5):
        yield from world.transaction(process, "insert", [key, subkey], insert_one(key, subkey), certain=True)


def causal_reverse(world: World, process: int, rng: random.Random, ids: Any) -> Client:
    element = next(ids)

    def insert(txn: Transaction) -> Generator[None, None, Any]:
        yield
        txn.write(("causal", element), 1)
        return element

    def read(txn: Transaction) -> Generator[None, None, Any]:
        found = []
        for shard in range(3):
            found += [key[1] for key in txn.scan("causal") if key[1] % 3 == shard]
            yield
        return found

    if rng.random() < 0.4:
        return world.transaction(process, "read", None, read)
    return world.transaction(process, "insert", element, insert)


def mav(world: World, process: int, rng: random.Random, ids: Any) -> Client:
    pair = rng.randrange(2)

    def increment(txn: Transaction) -> Generator[None, None, Any]:
        txn.write(("a", pair), (txn.latest(("a", pair)) or 0) + 1)
        yield
        txn.write(("b", pair), (txn.latest(("b", pair)) or 0) + 1)
        return pair

    def read(txn: Transaction) -> Generator[None, None, Any]:
        a1 = txn.read(("a", pair)) or 0
        yield
        txn.write(("b", pair), txn.latest(("b", pair)) or 0)
        b = txn.read(("b", pair))
        yield
        return [pair, a1, b, txn.read(("a", pair)) or 0]

    if rng.random() < 0.5:
        return world.transaction(process, "read", [pair, None, None, None], read)
    return world.transaction(process, "increment", pair, increment)


def predicate(world: World, process: int, rng: random.Random, ids: Any) -> Client:
    number = next(ids)

    def insert(txn: Transaction) -> Generator[None, None, Any]:
        txn.write(("row", 2 * number), 1)
        yield
        txn.write(("row", 2 * number + 1), 1)
        return number

    def read(txn: Transaction) -> Generator[None, None, Any]:
        yield
        return [key[1] for key in txn.scan("row")]

    if rng.random() < 0.4:
        return world.transaction(process, "read", None, read)
    return world.transaction(process, "insert", number, insert)


def write_skew(world: World, process: int, rng: random.Random, ids: Any) -> Client:
    key, side = next(ids) // 6, rng.randrange(2)

    def insert(txn: Transaction) -> Generator[None, None, Any]:
        for table in ("left", "right"):
            if txn.read((table, key)):
                txn.abort()
            yield
        txn.write((("left", "right")[side], key), 30)
        return [key, side]

    return world.transaction(process, "insert", [key, side], insert)


def open_slots(txn: Transaction) -> Generator[None, None, Any]:
    for token in range(4):
        txn.write(("slot", token), [0, token])
    yield


def unique_keys(world: World, process: int, rng: random.Random, ids: Any) -> Client:
    move_id, token = next(ids), rng.randrange(4)

    def move(txn: Transaction) -> Generator[None, None, Any]:
        number, owner = txn.read(("slot", token)) or [0, 0]
        yield
        owner = (owner + 4) % 16
        txn.write(("slot", token), [number + 1, owner])
        yield
        txn.write(("journal", move_id), [token, number + 1, owner])
        return [move_id, token, number + 1, owner]

    if rng.random() < 0.3:
        return world.transaction(process, "read", None, read_slots)
    return world.transaction(process, "move", [move_id, token, None, None], move)


def read_slots(txn: Transaction) -> Generator[None, None, Any]:
    yield
    return [[key[1], *value] for key, value in txn.scan("slot").items()]


def read_slots_and_journal(txn: Transaction) -> Generator[None, None, Any]:
    slots = yield from read_slots(txn)
    return {"slots": slots, "journal": [[key[1], *value] for key, value in txn.scan("journal").items()]}


def insert_delete(world: World, process: int, rng: random.Random, ids: Any) -> Client:
    flip_id, key = next(ids), rng.randrange(4)

    def flip(txn: Transaction) -> Generator[None, None, Any]:
        present = txn.read(("row", key))
        yield
        what, incarnation = ("delete", present) if present else ("insert", flip_id)
        txn.write(("row", key), None if present else flip_id)
        yield
        txn.write(("journal", flip_id), [key, what, incarnation])
        return [flip_id, key, what, incarnation]

    return world.transaction(process, "flip", [flip_id, key, None, None], flip)


def read_rows_and_journal(txn: Transaction) -> Generator[None, None, Any]:
    yield
    return {
        "rows": [[key[1], value] for key, value in txn.scan("row").items()],
        "journal": [[key[1], *value] for key, value in txn.scan("journal").items()],
    }


def foreign_keys(world: World, process: int, rng: random.Random, ids: Any) -> Client:
    child, parent = next(ids), rng.randrange(4)

    def enter(txn: Transaction) -> Generator[None, None, Any]:
        txn.write(("parent", parent), 1)
        yield
        txn.write(("child", parent, child), 1)
        return [child, parent]

    def remove(txn: Transaction) -> Generator[None, None, Any]:
        children = [key[2] for key in txn.scan("child") if key[1] == parent]
        yield
        for each in children:
            txn.write(("child", parent, each), None)
        txn.write(("parent", parent), None)
        return [parent, children]

    kind = rng.random()
    if kind < 0.3:
        return world.transaction(process, "read", None, read_family)
    if kind < 0.5:
        return world.transaction(process, "remove", [parent, []], remove, certain=True)
    return world.transaction(process, "enter", [child, parent], enter)


def read_family(txn: Transaction) -> Generator[None, None, Any]:
    children = [[key[1], key[2]] for key in txn.scan("child")]
    yield
    return [[key[1] for key in txn.scan("parent")], children]
