"""Reads in the past: a transaction whose snapshot is an instant that the client has named.

The rule: a past read is any snapshot's read, behind the barrier [R2] and in the form of [R3]; only X is a subquery, as
it may be long. What the view itself shows as not cleaned yet [R7] stays there for as long as the view is open, so
the oracle need not know of the instant, and START TRANSACTION … AS OF opens all its views at once.
Source: docs/protocol.md, "Reads in the past".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tso.types import LOGICAL_BITS, ShardName, Timestamp
from txguard.engine.again import Look
from txguard.engine.branch import Branch, Build, Isolation, start_statements
from txguard.engine.concurrent import gather
from txguard.engine.conflicts import ConflictCheck
from txguard.engine.engine import Engine
from txguard.engine.failures import statement_scope
from txguard.engine.install import ANY_MARK, SINGLE_SHARD_MARK
from txguard.engine.managed_table import history_name
from txguard.engine.patch import NewerThan
from txguard.engine.point_write import FirstTry
from txguard.engine.relay import Connections
from txguard.engine.retention import histories, kept_since_query
from txguard.engine.shard import Reply
from txguard.engine.snapshot import barrier
from txguard.engine.transaction import Transaction
from txguard.errors import FutureInstant, ReadsThePast, SnapshotTooOld


class PastTransaction(Transaction):
    """Sees what was committed before `instant`, on all shards. It writes and locks nothing."""

    def __init__(
        self, engine: Engine, connections: Connections, instant: Timestamp, *, implicit: bool = False
    ) -> None:
        super().__init__(engine, connections, Isolation.REPEATABLE_READ, implicit=implicit)
        self.instant = instant
        self._kept: dict[ShardName, frozenset[str] | None] = {}
        """The histories that go back to `instant`, where the shard was cleaned beyond it; None: all do."""

    async def read(
        self, shards: Sequence[ShardName], build: Build, *, quiet: bool = False, look: Look | None = None
    ) -> list[Reply]:
        async with statement_scope(self):
            branches = await self._open(shards)
            statements = [build(branch.shard, self._too_new(branch.shard)) for branch in branches]
            return await gather(
                [
                    self.relay(branch, [], statement)
                    for branch, statement in zip(branches, statements, strict=True)
                ]
            )

    def _too_new(self, shard: ShardName) -> NewerThan:
        return NewerThan(self.instant, beyond=self._kept[shard] is not None)

    def require_kept(self, shard: ShardName, schema: str, table: str) -> None:
        """[R7] For each table of a statement, once `shard` has a view. Raises SnapshotTooOld."""
        kept = self._kept[shard]
        if kept is not None and history_name(schema, table) not in kept:
            raise _cleaned(f" in {schema}.{table}", shard)

    async def open_snapshot(self, shards: Sequence[ShardName], *, quiet: bool = False) -> None:
        async with statement_scope(self):
            await self._open(shards)

    async def write(
        self,
        shards: Sequence[ShardName],
        build: Callable[[ShardName], Any],
        *,
        locking_read: bool = False,
        shares: bool = False,
        inserts: bool = False,
        checks: Sequence[ConflictCheck] = (),
        expected_rows: int | None = None,
        first: FirstTry | None = None,
        look: Look | None = None,
    ) -> list[Reply]:
        raise ReadsThePast

    async def _open(self, shards: Sequence[ShardName]) -> list[Branch]:
        """Have a view on each of `shards` that shows all that `instant` needs."""
        if self.read_ts is None:
            # Whatever gets its commit_ts from now on gets one above `start_ts`.
            if self.instant > self.started():
                raise FutureInstant(milliseconds_between(self.started(), self.instant))
            self.read_ts = self.instant
        branches = await self._branches(shards)
        closed = [branch for branch in branches if not branch.view_open]
        if closed:
            await barrier(self, [branch.shard for branch in closed], self.instant)
            await gather([self._open_view(branch) for branch in closed])
        return branches

    async def _open_view(self, branch: Branch) -> None:
        begin = [] if branch.opened else start_statements(self.isolation, with_view=True)
        branch.opened = True  # Whatever becomes of the packet, its local transaction may have begun.
        queries = [cleaned_beyond_query(self.instant), kept_since_query(self.instant)]
        cleaned, kept = (await self.run(branch, [*begin, *queries]))[-2:]
        self._kept[branch.shard] = frozenset(histories(kept)) if cleaned.rows else None
        if cleaned.rows and not kept.rows:
            raise _cleaned("", branch.shard)
        branch.view_open, branch.view_depth = True, len(branch.savepoints)


def _cleaned(where: str, shard: ShardName) -> SnapshotTooOld:
    return SnapshotTooOld(
        f"what was replaced{where} since that time is not kept any more on shard {shard} (`txguard retention` says "
        "for how long it is, and changes it)"
    )


def cleaned_beyond_query(instant: Timestamp) -> str:
    """[R7] Answers a row where versions that `instant` needs may be gone."""
    return (
        f"SELECT start_ts FROM _txguard.txn WHERE start_ts IN ({ANY_MARK}, {SINGLE_SHARD_MARK}) "
        f"AND commit_ts > {instant}"
    )


def milliseconds_between(earlier: Timestamp, later: Timestamp) -> int:
    return (later >> LOGICAL_BITS) - (earlier >> LOGICAL_BITS)
