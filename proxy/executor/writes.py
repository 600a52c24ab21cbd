"""UPDATE, DELETE, INSERT … SELECT and locking reads: through the engine's transaction, on one shard or several.

Owns how several shards' replies become one answer, and the rule for tables that are not managed (no primary key):
nothing could undo their rows on one shard when another shard fails, so a transaction that writes one writes no
other shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from proxy.backend.reply import RelayReply
from proxy.backend.statements import Statement
from proxy.errors import NotSupported
from proxy.executor.answers import Answer, figures_of
from proxy.executor.execution import Execution
from proxy.executor.figures import summed
from proxy.executor.merged import answer_merged
from proxy.executor.routes import Shards
from proxy.executor.unit import Unit
from proxy.routing.tables import Table
from proxy.sql.plan import Access, Check, QueryPlan
from tso.types import ShardName
from txguard.engine.conflicts import ConflictCheck
from txguard.engine.point_write import FirstTry
from txguard.engine.shard import Reply


@dataclass(slots=True)
class Write:
    """One statement that writes or locks, in `unit`; the caller commits an implicit one."""

    plan: QueryPlan
    execution: Execution
    unit: Unit
    shards: Shards
    limit_bytes: int
    at_once: bool = False
    """[S-again] The shards answered the form that does not wait."""

    async def run(self, first: FirstTry | None = None) -> list[RelayReply]:
        """The shards' replies. Raises the first shard's error, once the statement is undone everywhere."""
        plan = self.plan
        if len(self.shards) > 1 and not plan.replicated and plan.scatter is None:
            raise NotSupported(plan.scatter_refusal)
        check_unmanaged(plan.written, self.unit, self.shards)
        replies = await self.unit.transaction.write(
            self.shards,
            self._statement,
            locking_read=plan.access is Access.LOCKING_READ,
            shares=plan.shares,
            inserts=plan.inserts or bool(plan.reads),
            expected_rows=None if plan.reads else plan.expected_rows,
            checks=[conflict_check(self.execution, check) for check in plan.checks],
            first=first,
            look=self._look if plan.again or plan.look is not None else None,
        )
        return raise_first_error(replies)

    def _statement(self, shard: ShardName) -> Statement:
        plan, execution = self.plan, self.execution
        if len(self.shards) > 1 and not plan.replicated:
            assert plan.scatter is not None
            return execution.rendered(plan.scatter.template, stream=False, limit_bytes=self.limit_bytes)
        if plan.template_only:
            return execution.rendered(plan.template, stream=False, limit_bytes=self.limit_bytes)
        return execution.original(stream=False, limit_bytes=self.limit_bytes)

    def _look(self, _: ShardName, waits: bool) -> Statement:
        """[S-again] A locking read itself, or what a write locks first."""
        plan = self.plan
        whole = plan.template
        if plan.look is not None:
            whole = plan.look
        elif len(self.shards) > 1:
            assert plan.scatter is not None
            whole = plan.scatter.template
        self.at_once = plan.look is None
        return self.execution.rendered(whole, at_once=not waits, stream=False, limit_bytes=self.limit_bytes)

    @property
    def native(self) -> bool:
        """Whether the reply has the form (text or binary) that the client wants."""
        execution = self.execution
        rendered = self.plan.template_only or (len(self.shards) > 1 and not self.plan.replicated)
        rendered |= self.at_once
        return not execution.binary or not rendered or execution.asks_binary

    async def answer(self, replies: Sequence[RelayReply], answer: Answer) -> None:
        plan = self.plan
        if not replies[0].has_rows:
            parts = [figures_of(reply) for reply in replies]
            answer.ok(parts[0] if plan.replicated else summed(parts))
        elif len(replies) == 1 or plan.replicated:
            await answer.relay(replies[0], native=self.native)
        else:
            assert plan.scatter is not None
            assert plan.scatter.merge is not None
            answer_merged(plan.scatter.merge, replies, self.execution, answer, self.limit_bytes)


def raise_first_error(replies: Sequence[Reply]) -> list[RelayReply]:
    """The replies as what they are; raises the first shard's error."""
    for reply in replies:
        if reply.error is not None:
            raise reply.error
    return cast(list[RelayReply], replies)


def conflict_check(execution: Execution, check: Check) -> ConflictCheck:
    """[R1] A WHERE whose bytes are no UTF-8 cannot be asked on the engine's own connection: any row, then."""
    where = None if check.where is None else execution.text(check.where)
    if where is not None and not _is_unicode(where):
        where = None
    return ConflictCheck(check.table.schema, check.table.name, where)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_unmanaged(written: Sequence[Table], unit: Unit, shards: Shards) -> None:
    """Refuse what could leave an unmanaged table changed on one shard when another shard fails."""
    names = unit.unmanaged | {f"{table.schema}.{table.name}" for table in written if not table.managed}
    if not names:
        return
    wrote = {branch.shard for branch in unit.transaction.branches.values() if branch.wrote}
    if len(wrote.union(shards)) > 1:
        raise NotSupported(
            f"writing a table without a primary key ({', '.join(sorted(names))}) in a transaction over several shards"
        )
    unit.unmanaged = names
