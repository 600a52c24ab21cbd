"""The outstanding commits and who waits for them, indexed by shard. Sans-IO.

A commit is outstanding from the moment it has its `commit_ts` until its outcome is carried out on every
participant. Its life, as a table: UNDECIDED -> COMMITTED or ROLLED_BACK (decided, maybe still outstanding)
-> gone. An outcome never changes. Each check looks at the commits of the shards in question only, and costs
one dictionary look-up per shard when there are none.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Iterator, ValuesView

from tso.clock import physical_ms
from tso.errors import CommitOutstanding, OutcomeContradiction
from tso.types import Orphan, Outcome, OutstandingCommit, ShardName, Timestamp
from tso.waiter import Waiter, WaitingPlace

NO_COMMITS: dict[Timestamp, Commit] = {}


class Custody(enum.Enum):
    """Who sees to the commit's end."""

    COORDINATOR = "coordinator"
    QUEUED = "queued"
    """An orphan that no janitor has taken yet."""
    JANITOR = "janitor"


class Commit:
    """One outstanding commit."""

    __slots__ = (
        "commit_ts",
        "custody",
        "decision",
        "end",
        "janitor",
        "outcome",
        "participants",
        "start_ts",
    )

    def __init__(
        self, start_ts: Timestamp, commit_ts: Timestamp, participants: tuple[ShardName, ...], custody: Custody
    ) -> None:
        self.start_ts = start_ts
        self.commit_ts = commit_ts
        self.participants = participants
        self.custody = custody
        self.janitor: int | None = None
        self.outcome: Outcome | None = None
        self.decision = WaitingPlace()
        self.end = WaitingPlace()

    @property
    def cross_shard(self) -> bool:
        return len(self.participants) > 1

    def as_orphan(self) -> Orphan:
        return Orphan(self.start_ts, self.commit_ts, self.participants)


class OutstandingCommits:
    """All outstanding commits by `start_ts` and by shard."""

    __slots__ = ("_added", "_by_start_ts", "_cross_on_shard", "_highest_ended", "_on_shard")

    def __init__(self) -> None:
        self._by_start_ts: dict[Timestamp, Commit] = {}
        self._on_shard: dict[ShardName, dict[Timestamp, Commit]] = {}
        self._cross_on_shard: dict[ShardName, dict[Timestamp, Commit]] = {}
        self._added: dict[ShardName, int] = {}
        self._highest_ended: dict[ShardName, Timestamp] = {}

    def __len__(self) -> int:
        return len(self._by_start_ts)

    def __iter__(self) -> Iterator[Commit]:
        return iter(self._by_start_ts.values())

    def __contains__(self, start_ts: object) -> bool:
        return start_ts in self._by_start_ts

    def get(self, start_ts: Timestamp) -> Commit | None:
        return self._by_start_ts.get(start_ts)

    def add(self, commit: Commit) -> None:
        """Raises CommitOutstanding when the transaction has an outstanding commit already."""
        if commit.start_ts in self._by_start_ts:
            raise CommitOutstanding(f"the commit of transaction {commit.start_ts} is outstanding already")
        self._by_start_ts[commit.start_ts] = commit
        for shard in commit.participants:
            self._on_shard.setdefault(shard, {})[commit.start_ts] = commit
            self._added[shard] = self._added.get(shard, 0) + 1
        if commit.cross_shard:
            for shard in commit.participants:
                self._cross_on_shard.setdefault(shard, {})[commit.start_ts] = commit

    def decide(self, commit: Commit, outcome: Outcome) -> bool:
        """Record the outcome; True when it was not known. Raises OutcomeContradiction."""
        if commit.outcome is outcome:
            return False
        if commit.outcome is not None:
            raise OutcomeContradiction(
                f"commit {commit.start_ts} is {commit.outcome.name} but was now reported {outcome.name}: "
                "run `txguard inspect` and look at its commit records"
            )
        commit.outcome = outcome
        if outcome is Outcome.COMMITTED:
            commit.decision.release()
        else:
            commit.decision.fail()
        return True

    def remove(self, commit: Commit) -> None:
        """No longer outstanding; the outcome must be known. Whoever waited for its end goes on."""
        assert commit.outcome is not None
        del self._by_start_ts[commit.start_ts]
        for shard in commit.participants:
            del self._on_shard[shard][commit.start_ts]
            if commit.commit_ts > self._highest_ended.get(shard, 0):
                self._highest_ended[shard] = commit.commit_ts
        if commit.cross_shard:
            for shard in commit.participants:
                del self._cross_on_shard[shard][commit.start_ts]
        commit.end.release()

    def cross_shard_on(self, shard: ShardName) -> ValuesView[Commit]:
        return self._cross_on_shard.get(shard, NO_COMMITS).values()

    def any_cross_shard_on(self, shards: Iterable[ShardName]) -> bool:
        on_shard = self._cross_on_shard
        return any(on_shard.get(shard) for shard in shards)

    def calm_token(self, shard: ShardName) -> int | None:
        """How many commits have ended on the shard. None: several are under way, or one that a later one overtook."""
        under_way = self._on_shard.get(shard, NO_COMMITS)
        if len(under_way) > 1:
            return None
        for commit in under_way.values():
            if commit.commit_ts < self._highest_ended.get(shard, 0):
                return None
        return self._added.get(shard, 0) - len(under_way)

    def was_calm(self, shard: ShardName, token: int) -> bool:
        """Whether at most one commit was under way on the shard since `calm_token` gave `token`."""
        return self._added.get(shard, 0) - token <= 1

    def cross_shard_before(self, shards: Iterable[ShardName], latest: Timestamp) -> bool:
        """Whether a cross-shard commit with `commit_ts <= latest` is outstanding on any of `shards`."""
        on_shard = self._cross_on_shard
        for shard in shards:
            for commit in on_shard.get(shard, NO_COMMITS).values():
                if commit.commit_ts <= latest:
                    return True
        return False

    def before(self, shards: Collection[ShardName], read_ts: Timestamp) -> list[Commit]:
        """The commits with `commit_ts < read_ts` on any of `shards`, each once."""
        found: dict[Timestamp, Commit] = {}
        for shard in shards:
            for commit in self._on_shard.get(shard, NO_COMMITS).values():
                if commit.commit_ts < read_ts:
                    found[commit.start_ts] = commit
        return list(found.values())

    def snapshot(self, now_ms: int) -> tuple[OutstandingCommit, ...]:
        return tuple(
            OutstandingCommit(
                start_ts=commit.start_ts,
                commit_ts=commit.commit_ts,
                participants=commit.participants,
                age_ms=float(max(0, now_ms - physical_ms(commit.commit_ts))),
                outcome=commit.outcome,
                orphaned=commit.custody is not Custody.COORDINATOR,
            )
            for commit in self
        )


def wait_for_end(commits: Collection[Commit]) -> Waiter | None:
    """Ready once none of `commits` is outstanding. None: there are none."""
    if not commits:
        return None
    waiter = Waiter()
    for commit in commits:
        waiter.join(commit.end)
    return waiter


def wait_for_decision(commits: Collection[Commit]) -> Waiter | None:
    """Ready once all of `commits` (undecided ones) are committed; fails when one is rolled back."""
    if not commits:
        return None
    waiter = Waiter()
    for commit in commits:
        waiter.join(commit.decision)
    return waiter
