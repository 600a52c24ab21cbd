"""SELECT: what a shard is sent for it, the read at a transaction's snapshot, and the answer, merged where it must be.

A read of one shard outside any transaction is `autocommit.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.backend.reply import RelayReply
from proxy.backend.statements import Statement
from proxy.errors import NotSupported
from proxy.executor.answers import Answer
from proxy.executor.execution import Execution
from proxy.executor.merged import answer_merged
from proxy.executor.routes import Shards
from proxy.executor.unit import Unit
from proxy.executor.writes import raise_first_error
from proxy.sql.patch import patched_lax_table, patched_table
from proxy.sql.plan import QueryPlan
from proxy.sql.template import PatchedSource
from tso.types import ShardName, Timestamp
from txguard.engine.branch import Isolation
from txguard.engine.past import PastTransaction
from txguard.engine.patch import TooNew
from txguard.errors import SnapshotTooOld


@dataclass(slots=True)
class Read:
    """One SELECT on `shards`, as text where its plan demands it."""

    plan: QueryPlan
    execution: Execution
    shards: Shards
    limit_bytes: int
    isolation: Isolation = Isolation.REPEATABLE_READ
    """Of the transaction that it is made in."""
    patched: bool = False
    """[R3] Some view held versions newer than the snapshot, so the shards ran another text than the client's."""
    at_once: bool = False
    """[S-again] The shards ran the form that does not wait."""

    @property
    def native(self) -> bool:
        """Whether a single shard's reply has the form (text or binary) that the client wants."""
        execution = self.execution
        rendered = self.plan.template_only or self.patched or self.at_once
        return not execution.binary or not rendered or execution.asks_binary

    def statement(self, too_new: TooNew = (), *, at_once: bool = False) -> Statement:
        """For a single shard."""
        plan, execution = self.plan, self.execution
        if not too_new and not at_once and not plan.template_only:
            return execution.original(stream=not self._locks, limit_bytes=self._original_limit)
        return execution.rendered(
            plan.template,
            too_new=too_new,
            patched=self._patched_source,
            at_once=at_once,
            stream=not execution.binary and not self._locks,
            limit_bytes=self.limit_bytes,
        )

    def part(self, too_new: TooNew = (), *, at_once: bool = False) -> Statement:
        """For one shard of several."""
        if self.plan.scatter is None or self.plan.scatter.merge is None:
            raise NotSupported(self.plan.scatter_refusal)
        return self.execution.rendered(
            self.plan.scatter.template,
            too_new=too_new,
            patched=self._patched_source,
            at_once=at_once,
            stream=False,
            limit_bytes=self.limit_bytes,
        )

    @property
    def _locks(self) -> bool:
        """Rows are locked, and may be undecided, one after the other: [R5] validates them when all are there."""
        return self.isolation is Isolation.SERIALIZABLE

    @property
    def _original_limit(self) -> int | None:
        return self.limit_bytes if self._locks else None

    @property
    def _patched_source(self) -> PatchedSource:
        return patched_lax_table if self.isolation is Isolation.LAX_REPEATABLE_READ else patched_table

    # ------------------------------------------------------------ in a transaction

    async def in_transaction(self, unit: Unit) -> list[RelayReply]:
        """The shards' replies, at the transaction's snapshot. Raises a shard's error."""
        if len(self.shards) > 1:
            self.part()
        transaction = unit.transaction
        self.isolation = transaction.isolation

        past = isinstance(transaction, PastTransaction)
        if past and not all(table.managed for table in self.plan.tables):
            raise NotSupported("a table without a primary key in the past")

        def build(shard: ShardName, too_new: TooNew) -> Statement:
            self._check_age(transaction.read_ts)
            if isinstance(transaction, PastTransaction):
                for table in self.plan.tables:
                    transaction.require_kept(shard, table.schema, table.name)
            self.patched |= bool(too_new)
            if too_new and not self.plan.patchable:
                when = "in the past" if past else "while a newer version of its table is being committed"
                raise NotSupported(f"this form of SELECT {when}")
            return self.statement(too_new) if len(self.shards) == 1 else self.part(too_new)

        look = self._look if self.plan.again else None
        return raise_first_error(await transaction.read(self.shards, build, quiet=self.plan.joins, look=look))

    def _look(self, _: ShardName, waits: bool) -> Statement:
        """[S-again] The statement itself, as the engine may ask for it."""
        at_once = self.at_once = not waits
        return self.statement(at_once=at_once) if len(self.shards) == 1 else self.part(at_once=at_once)

    def _check_age(self, read_ts: Timestamp | None) -> None:
        if read_ts is None:
            return
        for table in self.plan.tables:
            if table.created_ts > read_ts:
                raise SnapshotTooOld(
                    f"table {table.schema}.{table.name} was created or truncated after this transaction's snapshot; "
                    "begin a new transaction, or name a later time"
                )

    async def answer(self, replies: Sequence[RelayReply], answer: Answer) -> None:
        if len(replies) == 1:
            await answer.relay(replies[0], native=self.native)
            return
        assert self.plan.scatter is not None
        assert self.plan.scatter.merge is not None
        answer_merged(self.plan.scatter.merge, replies, self.execution, answer, self.limit_bytes)
