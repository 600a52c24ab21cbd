"""The oracle's calls that never wait: the hot path of a coordinator that has the oracle in its process.

Apart from `oracle.py`, whose coroutines are not compiled (scripts/compile_hook.py). What they mean, `tso.api.Tso` says.
"""

from __future__ import annotations

from collections.abc import Collection

from mypy_extensions import mypyc_attr

from tso.clock import BoundReached, HybridClock
from tso.errors import DependencyRolledBack, TransactionUnknown
from tso.lease import Lease
from tso.types import Begun, CommitBegun, Outcome, ShardName, Timestamp
from tso.window import LOCAL_SESSION, SessionId, Window


@mypyc_attr(allow_interpreted_subclasses=True)
class NowaitOracle:
    def __init__(self, clock: HybridClock, lease: Lease) -> None:
        self._clock = clock
        self._lease = lease
        # So that a read that began in an older epoch never validates in this one.
        self._window = Window(token_base=lease.epoch << 32)

    @property
    def epoch(self) -> int:
        return self._lease.epoch

    def begin_nowait(self, session: SessionId = LOCAL_SESSION) -> Begun | None:
        try:
            start_ts = self._clock.next()
        except BoundReached:
            return None
        return Begun(start_ts, self._window.begin(start_ts, session))

    def latest_nowait(self) -> Timestamp:
        return self._clock.last

    def begin_commit_nowait(
        self,
        start_ts: Timestamp,
        participants: tuple[ShardName, ...],
        inserted: Collection[ShardName],
        written_by: Timestamp,
    ) -> CommitBegun | None:
        window = self._window
        commits = window.commits
        if window.gates.any_closed or window.any_adopted or commits.cross_shard_before(inserted, written_by):
            return None
        guarded = commits.cross_shard_before(participants, written_by)
        try:
            return CommitBegun(self._make_outstanding(start_ts, participants, LOCAL_SESSION), guarded)
        except (BoundReached, TransactionUnknown):
            return None

    def _make_outstanding(
        self, start_ts: Timestamp, participants: tuple[ShardName, ...], session: SessionId
    ) -> Timestamp:
        self._window.require(start_ts, session)
        commit_ts = self._clock.next()
        self._window.begin_commit(start_ts, commit_ts, participants)
        return commit_ts

    def dependencies_decided_nowait(
        self, start_ts: Timestamp, dependencies: Collection[Timestamp], shard: ShardName
    ) -> bool:
        try:
            waiter = self._window.wait_earlier(start_ts, dependencies, shard)
        except (DependencyRolledBack, TransactionUnknown):
            return False
        if waiter is None:
            return True
        waiter.withdraw()
        return False

    def end_commit_nowait(self, start_ts: Timestamp, outcome: Outcome) -> None:
        self._window.end_commit(start_ts, outcome)

    def read_token_nowait(self, shard: ShardName) -> int | None:
        return self._window.read_token(shard)

    def calm_token_nowait(self, shard: ShardName) -> int | None:
        return self._window.commits.calm_token(shard)

    def was_calm_nowait(self, shard: ShardName, token: int) -> bool:
        return self._window.commits.was_calm(shard, token)

    def validate_read_nowait(self, shard: ShardName, token: int) -> bool | None:
        if not self._lease.live:  # a newer oracle may know of commits that this one does not
            return None
        valid = self._window.validate_read(shard, token)
        if valid is True:
            return True
        waiter = valid or self._window.wait_undone(shard)
        if not waiter:
            return False
        waiter.withdraw()
        return None
