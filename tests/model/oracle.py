"""The oracle's window, one for each epoch: clock, floors, outstanding commits, roll-backs, safe point."""

from __future__ import annotations

import collections
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.model.rows import Record
from tests.model.rules import Abort


@dataclass(slots=True)
class Commit:
    """One outstanding commit."""

    start_ts: int
    commit_ts: int
    participants: tuple[int, ...]
    outcome: Record | None = None

    @property
    def cross_shard(self) -> bool:
        return len(self.participants) > 1


@dataclass(slots=True, eq=False)
class Oracle:
    epoch: int = 0
    clock: int = 0
    live: bool = True
    """False: a newer leader serves. This one may not know it; its lease has run out."""
    keeps_lease: bool = True
    """[F-lease] An oracle without a live lease serves nothing."""
    active: dict[int, int] = field(default_factory=dict)
    """start_ts -> floor"""
    outstanding: dict[int, Commit] = field(default_factory=dict)
    adopted: set[int] = field(default_factory=set)
    rolled_back: set[int] = field(default_factory=set)
    rollbacks: collections.Counter[int] = field(default_factory=collections.Counter)
    added: collections.Counter[int] = field(default_factory=collections.Counter)
    highest_ended: collections.Counter[int] = field(default_factory=collections.Counter)
    orphans: list[int] = field(default_factory=list)
    fenced: set[int] = field(default_factory=set)
    """The shards that this epoch may use."""

    def require_lease(self) -> None:
        if not self.live and self.keeps_lease:
            raise Abort("the oracle is not the leader any more")

    def now(self) -> int:
        self.require_lease()
        self.clock += 2
        return self.clock

    def begin(self) -> tuple[int, int]:
        start_ts = self.now()
        floor = min([start_ts, *self.active, *self.adopted])
        self.active[start_ts] = floor
        return start_ts, floor

    def require(self, start_ts: int) -> None:
        self.require_lease()
        if start_ts not in self.active:
            raise Abort("the transaction is not known to the oracle")

    def end(self, start_ts: int) -> None:
        """Without a commit; one whose commit is outstanding becomes an orphan."""
        if start_ts in self.outstanding:
            self.orphans.append(start_ts)
        else:
            self.active.pop(start_ts, None)

    def token(self, shard: int) -> tuple[int, int]:
        """[R5] No token outlives its epoch."""
        return self.epoch, self.rollbacks[shard]

    def cross_shard_on(self, shards: Iterable[int]) -> list[Commit]:
        wanted = set(shards)
        return [
            commit
            for commit in self.outstanding.values()
            if commit.cross_shard and not wanted.isdisjoint(commit.participants)
        ]

    def behind_barrier(self, shard: int, read_ts: int) -> bool:
        return not any(
            commit.commit_ts < read_ts and shard in commit.participants
            for commit in self.outstanding.values()
        )

    def begin_commit(self, start_ts: int, participants: tuple[int, ...]) -> int:
        self.require(start_ts)
        commit_ts = self.now()
        self._add(Commit(start_ts, commit_ts, participants))
        return commit_ts

    def adopt(self, start_ts: int, commit_ts: int, participants: tuple[int, ...]) -> None:
        if start_ts not in self.outstanding:
            self._add(Commit(start_ts, commit_ts, participants))
            if start_ts not in self.active:
                self.adopted.add(start_ts)
            self.orphans.append(start_ts)

    def _add(self, commit: Commit) -> None:
        self.outstanding[commit.start_ts] = commit
        self.added.update(commit.participants)

    def calm_token(self, shard: int) -> int | None:
        """[R8] None: several commits are under way on the shard, or one that a later one overtook."""
        under_way = [c.commit_ts for c in self.outstanding.values() if shard in c.participants]
        if len(under_way) > 1 or any(ts < self.highest_ended[shard] for ts in under_way):
            return None
        return self.added[shard] - len(under_way)

    def was_calm(self, shard: int, token: int) -> bool:
        return self.added[shard] - token <= 1

    def decide(self, start_ts: int, outcome: Record) -> None:
        commit = self.outstanding.get(start_ts)
        if commit is not None:
            commit.outcome = outcome
            if outcome is Record.ROLLED_BACK:
                self.rolled_back.add(start_ts)

    def end_commit(self, start_ts: int, outcome: Record) -> None:
        commit = self.outstanding.get(start_ts)
        if commit is None:
            return
        self.decide(start_ts, outcome)
        if outcome is Record.ROLLED_BACK:
            self.rollbacks.update(commit.participants)
        del self.outstanding[start_ts]
        for shard in commit.participants:
            self.highest_ended[shard] = max(self.highest_ended[shard], commit.commit_ts)
        self.active.pop(start_ts, None)
        self.adopted.discard(start_ts)

    def safe_point(self, retention: int) -> int:
        return min([self.now() - retention, *self.active.values(), *self.adopted])
