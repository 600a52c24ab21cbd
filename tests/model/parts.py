"""The model's parts: shards as InnoDB has them, the oracle's window, and transactions as the checker sees them."""

from __future__ import annotations

import collections
import enum
from dataclasses import dataclass, field

SHARDS, KEYS = 3, 3

Place = tuple[int, int]
"""(shard, key)"""


class Rule(enum.Enum):
    FIRST_COMMITTER_WINS = "R1"
    BARRIER = "R2"
    TOO_NEW_VERSIONS = "R3"
    DEPENDENCIES = "R4"
    VALIDATED_READS = "R5"
    CLEAN_ONLY_UNLOCKED = "R6"
    """A record stays while any participant still holds the lock record of its transaction."""


class State(enum.Enum):
    ACTIVE = "active"
    READ_ONLY = "read only"
    ACKNOWLEDGED = "acknowledged"
    ROLLED_BACK = "rolled back"
    CRASHED = "crashed"


class Record(enum.Enum):
    COMMITTED = "C"
    ROLLED_BACK = "R"


class Violation(AssertionError):
    """The history is not one that strict snapshot isolation allows."""


class Abort(Exception):
    """The transaction gives up; its coordinator lives and cleans up."""


@dataclass(frozen=True, slots=True)
class Version:
    value: int
    writer: int


@dataclass(frozen=True, slots=True)
class View:
    """What one local transaction sees: rows, history and commit records of one moment."""

    rows: dict[int, Version]
    history: dict[tuple[int, int], Version]
    records: dict[int, tuple[Record, int]]

    def too_new(self, read_ts: int) -> frozenset[int]:
        """X of [R3]. Rolled-back records may be left out: no view shows rows of a writer that it shows as R."""
        return frozenset(
            start_ts
            for start_ts, (record, commit_ts) in self.records.items()
            if record is Record.COMMITTED and commit_ts > read_ts
        )

    def read(self, key: int, too_new: frozenset[int]) -> int:
        versions = [self.rows[key]] if self.rows[key].writer not in too_new else []
        versions += [
            old
            for (successor, at), old in self.history.items()
            if at == key and successor in too_new and old.writer not in too_new
        ]
        if len(versions) != 1:
            raise Violation("a snapshot holds one version of a row")
        return versions[0].value


@dataclass(slots=True)
class Shard:
    rows: dict[int, Version] = field(default_factory=lambda: {key: Version(0, 0) for key in range(KEYS)})
    history: dict[tuple[int, int], Version] = field(default_factory=dict)
    """(the writer that replaced it, key) -> the old version"""
    records: dict[int, tuple[Record, int]] = field(default_factory=dict)
    locks: set[int] = field(default_factory=set)
    """txn_lock: cross-shard transactions not known here to be decided"""
    row_locks: dict[int, int] = field(default_factory=dict)

    def view(self) -> View:
        return View(dict(self.rows), dict(self.history), dict(self.records))

    def prewrite(self, start_ts: int, commit_ts: int, writes: dict[int, int], *, cross_shard: bool) -> bool:
        """One local transaction: data, record and lock. False when a resolver's tombstone is there already."""
        if start_ts in self.records:
            return False
        self.records[start_ts] = (Record.COMMITTED, commit_ts)
        for key, value in writes.items():
            self.history[start_ts, key] = self.rows[key]
            self.rows[key] = Version(value, start_ts)
            del self.row_locks[key]
        if cross_shard:
            self.locks.add(start_ts)
        return True

    def undo(self, start_ts: int, commit_ts: int) -> None:
        """One local transaction: the old rows come back and the record turns to R."""
        for successor, key in [at for at in self.history if at[0] == start_ts]:
            if self.rows[key].writer != start_ts:
                raise Violation("undo over a newer version")
            self.rows[key] = self.history.pop((successor, key))
        self.records[start_ts] = (Record.ROLLED_BACK, commit_ts)


@dataclass(slots=True)
class Transaction:
    start_ts: int
    floor: int
    began: int
    read_ts: int | None = None
    commit_ts: int | None = None
    state: State = State.ACTIVE
    ended: int | None = None
    reads: list[tuple[Place, int]] = field(default_factory=list)
    writes: dict[Place, int] = field(default_factory=dict)
    replaced: set[int] = field(default_factory=set)
    row_locks: list[Place] = field(default_factory=list)
    views: dict[int, tuple[View, frozenset[int]]] = field(default_factory=dict)

    @property
    def participants(self) -> list[int]:
        return sorted({shard for shard, _ in self.writes})


@dataclass(frozen=True, slots=True)
class AutocommitRead:
    place: Place
    value: int
    began: int


@dataclass(slots=True)
class Oracle:
    clock: int = 1
    active: dict[int, int] = field(default_factory=dict)
    """start_ts -> floor"""
    outstanding: dict[int, tuple[int, list[int]]] = field(default_factory=dict)
    """start_ts -> (commit_ts, participants)"""
    decided: dict[int, Record] = field(default_factory=dict)
    rollbacks: collections.Counter[int] = field(default_factory=collections.Counter)
    snapshots: dict[int, int] = field(default_factory=dict)

    def now(self) -> int:
        self.clock += 1
        return self.clock

    def begin(self) -> tuple[int, int]:
        start_ts = self.now()
        floor = min([start_ts, *self.active])
        self.active[start_ts] = floor
        return start_ts, floor

    def snapshot(self, start_ts: int) -> int:
        self.snapshots[start_ts] = self.now()
        return self.snapshots[start_ts]

    def behind_barrier(self, shard: int, read_ts: int) -> bool:
        return not any(
            commit_ts < read_ts and shard in participants
            for commit_ts, participants in self.outstanding.values()
        )

    def safe_point(self) -> int:
        return min([self.clock, *self.active.values(), *self.snapshots.values(), *self.outstanding])

    def end(self, start_ts: int) -> None:
        for kept in (self.outstanding, self.active, self.snapshots):
            kept.pop(start_ts, None)
