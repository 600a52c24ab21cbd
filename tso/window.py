"""The window: every transaction that has not ended, and the rules [R2], [R4] and [R5] over them. Sans-IO.

A transaction waits here only before it is outstanding, and only for those that are: no waits in a circle.
Methods that may have to wait return a `Waiter` in place of the answer. `floor` of a transaction is the oldest
`start_ts` that had not ended when it began: each writer below it is decided and visible to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import NewType

from tso.commits import (
    Commit,
    Custody,
    OutstandingCommits,
    wait_for_decision,
    wait_for_end,
)
from tso.errors import DependencyRolledBack, TransactionUnknown
from tso.gates import Gates
from tso.types import Orphan, Outcome, ShardName, Timestamp
from tso.waiter import Waiter, WaitingPlace

SessionId = NewType("SessionId", int)
LOCAL_SESSION = SessionId(0)
"""The implicit session of a coordinator in the oracle's own process."""
NO_SESSION = SessionId(-1)
"""Whose coordinator is gone."""

_REMEMBERED_MIN = 64
_BEGUN_SLACK = 1024


class Transaction:
    __slots__ = ("floor", "read_ts", "session", "start_ts")

    def __init__(self, start_ts: Timestamp, session: SessionId) -> None:
        self.start_ts = start_ts
        self.floor = start_ts
        self.session = session
        self.read_ts: Timestamp | None = None


class Window:
    """`token_base` is where this epoch's rollback counters begin, so that no token outlives its epoch."""

    def __init__(self, token_base: int = 0) -> None:
        self.commits = OutstandingCommits()
        self.gates = Gates()
        self._transactions: dict[Timestamp, Transaction] = {}
        self._begun: deque[Timestamp] = deque()  # in order; those that ended are dropped at the front, lazily
        self._adopted: dict[Timestamp, None] = {}
        self._rolled_back: dict[Timestamp, None] = {}
        self._prune_at = _REMEMBERED_MIN
        self._token_base = token_base
        self._rollbacks: dict[ShardName, int] = {}
        self._orphans: deque[Commit] = deque()
        self._orphan_queued = WaitingPlace()

    # Transactions

    def begin(self, start_ts: Timestamp, session: SessionId = LOCAL_SESSION) -> Timestamp:
        """Register a fresh `start_ts`, above all before it, as active; returns its floor."""
        transactions, begun = self._transactions, self._begun
        begun.append(start_ts)
        transactions[start_ts] = transaction = Transaction(start_ts, session)
        while begun[0] not in transactions:
            begun.popleft()
        floor = begun[0]
        if self._adopted:
            floor = min(floor, min(self._adopted))
        if len(begun) > 2 * len(transactions) + _BEGUN_SLACK:  # one that stays long holds up the front
            self._begun = deque(transactions)
        transaction.floor = floor
        return floor

    def require(self, start_ts: Timestamp, session: SessionId = LOCAL_SESSION) -> Transaction:
        """The active transaction of this session. Raises TransactionUnknown."""
        transaction = self._transactions.get(start_ts)
        if transaction is None or transaction.session != session:
            raise TransactionUnknown(
                f"transaction {start_ts} is not active here: the oracle was restarted or the session lost; "
                "roll it back and run it again"
            )
        return transaction

    def end(self, start_ts: Timestamp) -> None:
        """Forget a transaction without a commit. One whose commit is outstanding becomes an orphan instead.

        (Whoever gives up a commit after `begin_commit` may have sent a prewrite: only a resolver can tell.)
        """
        if start_ts in self.commits:
            self.orphan(start_ts)
        else:
            self._transactions.pop(start_ts, None)

    def end_session(self, session: SessionId) -> None:
        """A coordinator is gone: its active transactions end, its outstanding commits become orphans."""
        for transaction in [t for t in self._transactions.values() if t.session == session]:
            transaction.session = NO_SESSION
            self.end(transaction.start_ts)
        for commit in self.commits:
            if commit.custody is Custody.JANITOR and commit.janitor == session:
                self._queue(commit)

    # Commits

    def needs_dependencies(self, participants: Collection[ShardName]) -> bool:
        """[R4] Whether the transaction may have replaced a version that is not settled yet."""
        return self.commits.any_cross_shard_on(participants)

    def wait_dependencies(
        self, dependencies: Collection[Timestamp], inserted: Collection[ShardName]
    ) -> Waiter | None:
        """[R4] Wait until all cross-shard commits among the dependencies are decided.

        Those are `dependencies`, and all that are outstanding now on the shards `inserted` into. A waiter
        that fails means what DependencyRolledBack does, which is raised when that is known already.
        """
        depended_on: dict[Timestamp, Commit] = {}
        for writer in dependencies:
            if writer in self._rolled_back:
                raise dependency_rolled_back(writer)
            commit = self.commits.get(writer)
            if commit is not None and commit.cross_shard:
                depended_on[writer] = commit
        for shard in inserted:
            for commit in self.commits.cross_shard_on(shard):
                depended_on[commit.start_ts] = commit
        for commit in depended_on.values():
            if commit.outcome is Outcome.ROLLED_BACK:
                raise dependency_rolled_back(commit.start_ts)
        return wait_for_decision([c for c in depended_on.values() if c.outcome is None])

    def wait_earlier(
        self, start_ts: Timestamp, dependencies: Collection[Timestamp] | None, shard: ShardName
    ) -> Waiter | None:
        """[R4] As `wait_dependencies`, for a commit that is outstanding itself: only on those with a lower `commit_ts`.

        So nobody waits in a circle, and none is missed: who replaced a version took `commit_ts` after its writer.
        `dependencies` None: all that are outstanding on `shard`.
        """
        own = self.commits.get(start_ts)
        if own is None:
            raise TransactionUnknown(f"the commit of transaction {start_ts} is not outstanding here")
        if dependencies is None:
            candidates = list(self.commits.cross_shard_on(shard))
        else:
            candidates = [commit for writer in dependencies if (commit := self.commits.get(writer))]
            for writer in dependencies:
                if writer in self._rolled_back:
                    raise dependency_rolled_back(writer)
        undecided: list[Commit] = []
        for commit in candidates:
            if commit.cross_shard and commit.commit_ts < own.commit_ts:
                if commit.outcome is Outcome.ROLLED_BACK:
                    raise dependency_rolled_back(commit.start_ts)
                if commit.outcome is None:
                    undecided.append(commit)
        return wait_for_decision(undecided)

    @property
    def any_adopted(self) -> bool:
        """Whether undecided commits turned up on a shard that came back."""
        return bool(self._adopted)

    def adopted_since(self, start_ts: Timestamp, participants: Collection[ShardName]) -> list[Timestamp]:
        """The undecided commits that turned up on `participants` although they lie below the transaction's floor.

        Their shard came back after it had begun: the triggers took their rows for decided and did not note them.
        """
        if not self._adopted:
            return []
        floor = self._transactions[start_ts].floor
        on_shards = (commit for shard in participants for commit in self.commits.cross_shard_on(shard))
        return [commit.start_ts for commit in on_shards if commit.start_ts < floor]

    def begin_commit(
        self, start_ts: Timestamp, commit_ts: Timestamp, participants: tuple[ShardName, ...]
    ) -> None:
        """Keep the commit as outstanding. Dependencies and gates must have been waited for.

        The caller must have seen the transaction active (`require`) without a pause since.
        """
        if not participants:
            raise ValueError("a commit has at least one participant")
        self.commits.add(Commit(start_ts, commit_ts, participants, Custody.COORDINATOR))

    def adopt(self, start_ts: Timestamp, commit_ts: Timestamp, participants: tuple[ShardName, ...]) -> None:
        """An undecided commit found on a shard: outstanding again, as an orphan. Idempotent."""
        if start_ts in self.commits:
            return
        commit = Commit(start_ts, commit_ts, participants, Custody.COORDINATOR)
        self.commits.add(commit)
        if start_ts not in self._transactions:
            self._adopted[start_ts] = None
        self.gates.expire_on(participants)
        self._queue(commit)

    def decide(self, start_ts: Timestamp, outcome: Outcome) -> None:
        """The outcome is known; the commit stays outstanding. Does nothing when it is not outstanding."""
        commit = self.commits.get(start_ts)
        if commit is not None and self.commits.decide(commit, outcome) and outcome is Outcome.ROLLED_BACK:
            self._remember_rolled_back(start_ts)

    def end_commit(self, start_ts: Timestamp, outcome: Outcome) -> None:
        """The outcome is carried out on every participant. Does nothing when it is not outstanding."""
        commit = self.commits.get(start_ts)
        if commit is None:
            return
        self.decide(start_ts, outcome)
        if outcome is Outcome.ROLLED_BACK:
            for shard in commit.participants:  # [R5]: after the undo, before any reader goes on
                self._rollbacks[shard] = self._rollbacks.get(shard, 0) + 1
        self.commits.remove(commit)
        if self._transactions.pop(start_ts, None) is None:
            self._adopted.pop(start_ts, None)

    # Orphans

    def orphan(self, start_ts: Timestamp) -> None:
        """Hand an outstanding commit to the next janitor; again, when the last one could not resolve it."""
        commit = self.commits.get(start_ts)
        if commit is not None:
            self._queue(commit)

    def take_orphan(self, janitor: SessionId = LOCAL_SESSION) -> Orphan | Waiter:
        while self._orphans:
            commit = self._orphans.popleft()
            if commit.custody is Custody.QUEUED and self.commits.get(commit.start_ts) is commit:
                commit.custody = Custody.JANITOR
                commit.janitor = janitor
                return commit.as_orphan()
        waiter = Waiter()
        waiter.join(self._orphan_queued)
        return waiter

    # Reads

    def wait_barrier(self, shards: Collection[ShardName], read_ts: Timestamp) -> Waiter | None:
        """[R2] Wait until no commit with `commit_ts < read_ts` is outstanding on any of `shards`."""
        if not len(self.commits):
            return None
        return wait_for_end(self.commits.before(shards, read_ts))

    def read_token(self, shard: ShardName) -> int:
        """[R5] The shard's rollback counter."""
        return self._token_base + self._rollbacks.get(shard, 0)

    def validate_read(self, shard: ShardName, token: int) -> bool | Waiter:
        """[R5] Whether a read that began at `token` saw no row of a rolled-back transaction.

        A waiter that is ready: ask `token_holds`; one that failed: False.
        """
        if not self.token_holds(shard, token):
            return False
        undecided: list[Commit] = []
        for commit in self.commits.cross_shard_on(shard):
            if commit.outcome is Outcome.ROLLED_BACK:
                return False
            if commit.outcome is None:
                undecided.append(commit)
        return wait_for_decision(undecided) or True

    def wait_undone(self, shard: ShardName) -> Waiter | None:
        """Ready once the undo of every commit known as rolled back is through: before that a read meets its rows."""
        return wait_for_end(
            [c for c in self.commits.cross_shard_on(shard) if c.outcome is Outcome.ROLLED_BACK]
        )

    def token_holds(self, shard: ShardName, token: int) -> bool:
        return self.read_token(shard) == token

    # The whole

    def safe_point(self, oldest_retained: Timestamp) -> Timestamp:
        """The highest timestamp at and below which no version is needed by anyone.

        min(oldest_retained, floor and read_ts of every transaction, start_ts of every outstanding commit).
        """
        lowest = oldest_retained
        for transaction in self._transactions.values():
            # A read_ts in use and an own commit_ts are above start_ts, and that is at or above the floor.
            lowest = min(lowest, transaction.floor)
        return min(lowest, min(self._adopted, default=lowest))

    def active(self) -> tuple[Timestamp, ...]:
        return tuple(self._transactions)

    def rollbacks(self) -> tuple[tuple[ShardName, int], ...]:
        return tuple(sorted(self._rollbacks.items()))

    def _queue(self, commit: Commit) -> None:
        if commit.custody is Custody.QUEUED:
            return
        commit.custody = Custody.QUEUED
        commit.janitor = None
        self._orphans.append(commit)
        self._orphan_queued.release()

    def _remember_rolled_back(self, start_ts: Timestamp) -> None:
        """Until every active floor is above it, and so the floor of each to come: nobody can depend on it."""
        self._rolled_back[start_ts] = None
        if len(self._rolled_back) < self._prune_at:
            return
        lowest = self.safe_point(start_ts)
        self._rolled_back = {writer: None for writer in self._rolled_back if writer >= lowest}
        self._prune_at = max(_REMEMBERED_MIN, 2 * len(self._rolled_back))


def dependency_rolled_back(writer: Timestamp | None = None) -> DependencyRolledBack:
    name = "a transaction" if writer is None else f"transaction {writer}"
    return DependencyRolledBack(f"{name} whose rows this one replaced was rolled back; run this one again")
