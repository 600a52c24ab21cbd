"""A database in memory that keeps an isolation level, or breaks one rule of it, and a scheduler of clients.

Multi-version: a transaction reads at its start, or at each statement (READ COMMITTED), and its writes become a
version at its commit. Clients are generators; between two of their steps any other may run. Time is the number of
steps. Everything follows from the seed.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Generator, Sequence
from typing import Any

from tests.torture.anomalies import Level
from tests.torture.history import Header, History, Outcome, Recorder

Key = tuple[Any, ...]
"""(table, …)"""
Client = Generator[None, None, None]
Body = Callable[["Transaction"], Generator[None, None, Any]]


class Broken(enum.Enum):
    FIRST_COMMITTER_WINS = "no conflicts are seen"
    ONE_SNAPSHOT = "each read takes a snapshot of its own"
    CLEAN_READS = "writes of transactions under way are read"
    FRESH_SNAPSHOT = "snapshots are of the past"
    DURABILITY = "an acknowledged commit is forgotten"
    ATOMICITY = "only the first write of a commit happens"


class Aborted(Exception):
    """Nothing of the transaction has happened."""


class Store:
    def __init__(self, level: Level, rng: random.Random, broken: Broken | None = None) -> None:
        self.level, self.rng, self.broken = level, rng, broken
        self.now = 0
        self.versions: dict[Key, list[tuple[int, Any]]] = {}
        self.active: list[Transaction] = []

    def begin(self) -> Transaction:
        transaction = Transaction(self)
        self.active.append(transaction)
        return transaction

    def at(self, key: Key, instant: int) -> Any:
        return next((value for ts, value in reversed(self.versions.get(key, [])) if ts <= instant), None)

    def changed_since(self, key: Key, instant: int) -> bool:
        versions = self.versions.get(key, [])
        return bool(versions) and versions[-1][0] > instant

    def is_broken(self, rule: Broken, probability: float = 1.0) -> bool:
        return self.broken is rule and self.rng.random() < probability


class Transaction:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.start = store.now
        if store.is_broken(Broken.FRESH_SNAPSHOT, 0.3):
            self.start = max(0, self.start - 60)
        self.writes: dict[Key, Any] = {}
        self.keys_read: set[Key] = set()
        self.tables_read: set[str] = set()

    @property
    def _instant(self) -> int:
        fresh = self.store.level is Level.READ_COMMITTED or self.store.is_broken(Broken.ONE_SNAPSHOT)
        return self.store.now if fresh else self.start

    def read(self, key: Key) -> Any:
        self.keys_read.add(key)
        if key in self.writes:
            return self.writes[key]
        if self.store.is_broken(Broken.CLEAN_READS, 0.3):
            for other in self.store.active:
                if key in other.writes:
                    return other.writes[key]
        return self.store.at(key, self._instant)

    def scan(self, table: str) -> dict[Key, Any]:
        self.tables_read.add(table)
        keys = {key for key in (*self.store.versions, *self.writes) if key[0] == table}
        if self.store.broken is Broken.CLEAN_READS:
            keys |= {key for other in self.store.active for key in other.writes if key[0] == table}
        found = {key: self.read(key) for key in sorted(keys)}
        return {key: value for key, value in found.items() if value is not None}

    def write(self, key: Key, value: Any) -> None:
        self.writes[key] = value

    def latest(self, key: Key) -> Any:
        """What UPDATE starts from: under READ COMMITTED the latest version, which it locks."""
        if self.store.level is not Level.READ_COMMITTED or key in self.writes:
            return self.read(key)
        if any(key in other.writes for other in self.store.active if other is not self):
            self.abort()  # in place of waiting
        return self.store.at(key, self.store.now)

    def commit(self) -> None:
        store = self.store
        store.active.remove(self)
        if self._conflicts() and not store.is_broken(Broken.FIRST_COMMITTER_WINS):
            raise Aborted
        if self.writes and store.is_broken(Broken.DURABILITY, 0.05):
            return
        store.now += 1
        writes = list(self.writes.items())
        if store.is_broken(Broken.ATOMICITY, 0.2):
            writes = writes[:1]
        for key, value in writes:
            store.versions.setdefault(key, []).append((store.now, value))

    def abort(self) -> None:
        self.store.active.remove(self)
        raise Aborted

    def _conflicts(self) -> bool:
        watched = set(self.writes) if self.store.level is not Level.READ_COMMITTED else set()
        if self.store.level is Level.SERIALIZABLE:
            watched |= self.keys_read
            watched |= {key for key in self.store.versions if key[0] in self.tables_read}
        return any(self.store.changed_since(key, self.start) for key in watched)


class World:
    """One simulated run: a store, a recorder, and clients that take turns."""

    def __init__(
        self,
        workload: str,
        level: Level,
        seed: int,
        *,
        broken: Broken | None = None,
        claimed: Level | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        """`claimed`: the level that the checker is told, in place of the one kept."""
        self.rng = random.Random(f"{workload} {level} {seed}")
        self.store = Store(level, self.rng, broken)
        self.steps = 0.0
        header = Header(workload, claimed or level, seed, parameters or {})
        self.recorder = Recorder(header, lambda: self.steps)

    def run(self, clients: Sequence[Generator[None, None, None]]) -> History:
        waiting = list(clients)
        while waiting:
            client = self.rng.choice(waiting)
            self.steps += 1
            self.store.now += 1
            try:
                next(client)
            except StopIteration:
                waiting.remove(client)
        return self.recorder.history()

    def transaction(
        self, process: int, f: str, asked: Any, body: Body, *, certain: bool = False
    ) -> Generator[None, None, None]:
        """One operation. `body` returns the value to record. `certain`: its outcome is always told."""
        self.recorder.invoke(process, f, asked)
        yield
        value = asked
        transaction = self.store.begin()
        try:
            value = yield from body(transaction)
            yield
            if not certain and self.rng.random() < 0.05:
                transaction.abort()
            if not certain and self.rng.random() < 0.03:
                yield from self._lose_the_answer(transaction, process, f, value)
                return
            transaction.commit()
        except Aborted:
            yield
            self.recorder.complete(process, Outcome.FAIL, f, value)
            return
        yield
        self.recorder.complete(process, Outcome.OK, f, value)

    def _lose_the_answer(
        self, transaction: Transaction, process: int, f: str, value: Any
    ) -> Generator[None, None, None]:
        """The client hears nothing; the commit happens later, or never."""
        self.recorder.complete(process, Outcome.INFO, f, value)
        yield
        try:
            transaction.commit() if self.rng.random() < 0.5 else transaction.abort()
        except Aborted:
            pass
