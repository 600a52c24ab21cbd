"""What a coordinator may ask of the timestamp oracle: what every provider of one has.

The providers are `tso.embedded.EmbeddedTso` and `tso.client.RemoteTso`; `proxy.server.oracles` opens them by name.
The rules behind each call are those of docs/protocol.md; [R2], [R4] and [R5] are its names for them.
Every method that may wait takes `timeout_s` and raises `TsoTimeout` when it passes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from typing import NoReturn, Protocol

from tso.types import Begun, CommitBegun, Orphan, Outcome, ShardName, Timestamp, TsoStatistics


class Leader(Protocol):
    """The oracle of an epoch, to those who prepare the shards for it."""

    @property
    def epoch(self) -> int:
        """It names the view through which commit records are written."""
        ...

    async def adopt(
        self, start_ts: Timestamp, commit_ts: Timestamp, participants: tuple[ShardName, ...]
    ) -> None:
        """Make an undecided commit found on a shard (after a restart) outstanding again, as an orphan."""
        ...


class Tso(Leader, Protocol):
    @property
    def leader(self) -> str:
        """Which oracle this is at the moment, for people: an address, say."""
        ...

    async def until_deposed(self) -> NoReturn:
        """Raises Deposed once this object can never serve again; waits for ever where it follows the leader."""
        ...

    async def aclose(self) -> None:
        """The coordinator ends: its active transactions end, its outstanding commits go to the janitor."""
        ...

    def on_new_epoch(self, prepare: Callable[[Leader], Awaitable[None]]) -> None:
        """Have `prepare` called when the oracle answers again under another epoch, before it answers anybody else.

        Who reads the shards by its word must first have told it what the last epoch left undecided there.
        """
        ...

    async def begin(self) -> Begun:
        """Start a transaction: a fresh `start_ts`, registered as active until `end` or `end_commit`."""
        ...

    def begin_nowait(self) -> Begun | None:
        """As `begin`; None: not without a wait."""
        ...

    def latest_nowait(self) -> Timestamp | None:
        """The last timestamp that anybody was given; None: not known here without a round trip."""
        ...

    async def read_ts(self, start_ts: Timestamp) -> Timestamp:
        """Take a snapshot for an active transaction. Called again (READ COMMITTED) it replaces the last."""
        ...

    async def wait_barrier(self, shards: Collection[ShardName], read_ts: Timestamp, timeout_s: float) -> None:
        """[R2] Wait until no commit with `commit_ts < read_ts` is outstanding on any of `shards`."""
        ...

    async def begin_commit(
        self,
        start_ts: Timestamp,
        participants: tuple[ShardName, ...],
        dependencies: Collection[Timestamp] | None,
        inserted: Collection[ShardName],
        timeout_s: float,
    ) -> Timestamp | None:
        """[R4] Wait for the dependencies, then take `commit_ts` and keep the commit as outstanding.

        `dependencies` are the writers whose versions this transaction replaced. None: not fetched yet; the
        answer is then None when they are needed, that is when a cross-shard commit is outstanding on a
        participant or on one of `inserted`. `inserted` are the shards, participants or not, on which the
        transaction may have met more than it replaced (it inserted rows whose unique keys they may have freed,
        or looked for its rows): it depends on all undecided cross-shard commits there.

        Raises DependencyRolledBack, or TransactionUnknown when `start_ts` is not active in this epoch
        (the oracle was restarted, or the coordinator's session was lost).
        """
        ...

    def begin_commit_nowait(
        self,
        start_ts: Timestamp,
        participants: tuple[ShardName, ...],
        inserted: Collection[ShardName],
        written_by: Timestamp,
    ) -> CommitBegun | None:
        """[R4] `commit_ts` without a wait and without the dependencies; None: use `begin_commit`.

        `written_by` is what `latest_nowait` gave after the transaction's last write was answered: a commit with a
        later `commit_ts` released its row locks after that, so this transaction saw nothing of it.
        """
        ...

    async def wait_dependencies(
        self,
        start_ts: Timestamp,
        dependencies: Collection[Timestamp] | None,
        shard: ShardName,
        timeout_s: float,
    ) -> None:
        """[R4] For an outstanding commit: wait until the earlier ones among `dependencies` are decided.

        None: all that are outstanding on `shard`. Raises DependencyRolledBack, TransactionUnknown.
        """
        ...

    def dependencies_decided_nowait(
        self, start_ts: Timestamp, dependencies: Collection[Timestamp], shard: ShardName
    ) -> bool:
        """[R4] Whether `wait_dependencies` would return at once. False: use it, and it says what is the matter."""
        ...

    async def decide(self, start_ts: Timestamp, outcome: Outcome) -> None:
        """The outcome is known, but the commit stays outstanding (an undo is still to come)."""
        ...

    async def end_commit(self, start_ts: Timestamp, outcome: Outcome) -> None:
        """No longer outstanding. After a rollback the counter of every participant goes up. Idempotent."""
        ...

    def end_commit_nowait(self, start_ts: Timestamp, outcome: Outcome) -> None:
        """As `end_commit`, where nobody waits for the oracle to know it."""
        ...

    async def end(self, start_ts: Timestamp) -> None:
        """The transaction ended without a commit. Idempotent.

        When its commit is outstanding (the coordinator was interrupted) that becomes an orphan instead.
        """
        ...

    def read_token_nowait(self, shard: ShardName) -> int | None:
        """[R5] The shard's rollback counter; None: not known here without a round trip, use `read_token`."""
        ...

    def calm_token_nowait(self, shard: ShardName) -> int | None:
        """[R5] For a read of several rows outside a snapshot, taken before it; None: take a snapshot.

        A shard makes commits durable in an order of its own. Only where at most one was under way at any time can
        the rows not be a state that no snapshot shows.
        """
        ...

    def was_calm_nowait(self, shard: ShardName, token: int) -> bool:
        """[R5] Whether the shard stayed so while the rows were read. False: take a snapshot."""
        ...

    async def read_token(self, shard: ShardName) -> int: ...

    def validate_read_nowait(self, shard: ShardName, token: int) -> bool | None:
        """[R5] True: the read that began at `token` stands. False: read again. None: use `validate_read`."""
        ...

    async def validate_read(self, shard: ShardName, token: int, timeout_s: float) -> bool:
        """[R5] Wait until the cross-shard commits outstanding now on the shard are decided.

        True when none of them was rolled back and the counter still is `token`. False once it makes sense to read
        again: when the undo of what was rolled back is through.
        """
        ...

    def quiet(
        self, start_ts: Timestamp, shards: Collection[ShardName], timeout_s: float
    ) -> AbstractAsyncContextManager[Timestamp]:
        """A quiet snapshot: hold back commits on `shards`, let the outstanding ones end, take `read_ts`.

        The caller opens its views inside the block. Commits are held for 50 ms at most; leaving a block
        that was let go early raises QuietExpired (the views may not be quiet: begin again).
        """
        ...

    async def next_orphan(self) -> Orphan:
        """Wait for the next outstanding commit without a coordinator. Each is handed out once."""
        ...

    async def orphan(self, start_ts: Timestamp) -> None:
        """Give an outstanding commit to the janitor.

        Its coordinator could not learn or carry out the outcome in time; or the last janitor could not, and
        the commit is to be handed out again.
        """
        ...

    async def safe_point(self, retention_ms: int) -> Timestamp:
        """min(floor of every active transaction, every read_ts in use, now - retention)."""
        ...

    async def statistics(self) -> TsoStatistics: ...
