"""INSERT and REPLACE with VALUES: generated ids, rows to their shards, one answer.

The rules: AUTO_INCREMENT values come from the proxy's sequences, never from a shard; the statement's last insert id is
the first one generated; a client's own values are noted before the INSERT is acknowledged, so that they are not
given again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from proxy.backend.reply import RelayReply
from proxy.backend.statements import Statement, TextStatement
from proxy.errors import NotSupported
from proxy.executor.answers import Answer, Row, figures_of
from proxy.executor.execution import Execution
from proxy.executor.figures import Figures, insert_info, summed
from proxy.executor.routes import Shards
from proxy.executor.unit import Unit
from proxy.executor.writes import check_unmanaged, raise_first_error
from proxy.routing import asked
from proxy.routing.catalog import Catalog
from proxy.routing.sequences import Sequences
from proxy.routing.values import KeyValue
from proxy.sql.plan import AllShards, InsertPlan, InsertRow, OneShard, needs_generated
from tso.types import ShardName


@dataclass(slots=True)
class Insert:
    """One statement. `prepare` finds ids and shards, `run` writes, `answer` answers."""

    plan: InsertPlan
    execution: Execution
    catalog: Catalog
    sequences: Sequences
    limit_bytes: int
    first_generated: int | None = None
    _generated: list[int | None] = field(default_factory=list)
    """The value that each row gets, None: the row brings its own, or there is no such column."""
    _rows_of: dict[ShardName, list[int]] = field(default_factory=dict)

    first_inserted: int | None = None
    """The least id that was generated and is there: of those that had a duplicate none is. To be asked, see below."""
    updated_only: bool = False
    """The id in the answer is that of a row that was there before, which LAST_INSERT_ID() does not give."""

    @property
    def uncertain_ids(self) -> tuple[int, int] | None:
        """The first and the last generated one, where it must be asked which of them are there."""
        plan = self.plan
        if len(plan.rows) == 1 or not (plan.ignore or plan.on_duplicate):
            return None
        generated = [value for value in self._generated if value is not None]
        return (generated[0], generated[-1]) if generated else None

    @property
    def shards(self) -> Shards:
        return tuple(self._rows_of)

    @property
    def native(self) -> bool:
        return not self.execution.binary or not self._rewritten

    @property
    def _rewritten(self) -> bool:
        return self.plan.template_only or self.first_generated is not None or self._split

    @property
    def _split(self) -> bool:
        return len(self._rows_of) > 1 and not self.plan.replicated

    # ------------------------------------------------------------ where the rows go

    async def prepare(self) -> None:
        """Raises NotSupported for a row that cannot be placed, ShardDown when ids cannot be had."""
        await self._generate()
        everything = list(range(len(self.plan.rows)))
        match self.plan.route:
            case AllShards():
                self._rows_of = dict.fromkeys(self.catalog.all_shards, everything)
            case OneShard(home):
                self._rows_of = {home: everything}
            case None:
                for index, row in enumerate(self.plan.rows):
                    shard = await self._shard_of(row, self._generated[index])
                    self._rows_of.setdefault(shard, []).append(index)
        if self._split and self.plan.returns_rows and self.plan.ignore:
            raise NotSupported("INSERT IGNORE … RETURNING of rows on several shards")

    async def _generate(self) -> None:
        plan, execution = self.plan, self.execution
        rows = plan.rows
        self._generated = [None] * len(rows)
        if plan.auto_column is None or isinstance(plan.route, OneShard):
            return  # A single table's ids are its shard's own.
        wanting: list[int] = []
        explicit = 0
        for index, row in enumerate(rows):
            value = None if row.auto is None else execution.scalar(row.auto)
            if needs_generated(value, no_auto_value_on_zero=execution.reading.no_auto_value_on_zero):
                wanting.append(index)
            else:
                explicit = max(explicit, _whole_number(value))
        if explicit:
            await self.sequences.note_explicit(plan.table, explicit)
        if wanting:
            first = self.sequences.allocate_nowait(plan.table, len(wanting))
            if first is None:
                first = await self.sequences.allocate(plan.table, len(wanting))
            self.first_generated = self.first_inserted = first
            for offset, index in enumerate(wanting):
                self._generated[index] = first + offset

    async def _shard_of(self, row: InsertRow, generated: int | None) -> ShardName:
        key: KeyValue = generated if row.key is None else self.execution.key(row.key)
        if self.plan.auto_is_key and generated is not None:
            key = generated
        strict = self.execution.reading.strict and not self.plan.ignore
        return await asked.place(self.catalog, self.plan.table, key, strict=strict)

    # ------------------------------------------------------------ what is sent

    async def run(self, unit: Unit) -> list[RelayReply]:
        check_unmanaged((self.plan.table,), unit, self.shards)
        replies = await unit.transaction.write(self.shards, self._statement, inserts=True)
        return raise_first_error(replies)

    def _statement(self, shard: ShardName) -> Statement:
        if not self._rewritten:
            return self.execution.original(stream=False, limit_bytes=self.limit_bytes)
        execution, plan = self.execution, self.plan
        rows = ", ".join(
            execution.text(plan.rows[index].template, generated=self._generated[index])
            for index in self._rows_of[shard]
        )
        sql = execution.text(plan.head) + rows + execution.text(plan.tail)
        return TextStatement(sql.encode("utf-8", "surrogateescape"), False, self.limit_bytes)

    # ------------------------------------------------------------ the answer

    async def answer(self, replies: list[RelayReply], answer: Answer) -> None:
        if replies[0].has_rows:
            if self._split:
                answer.rows(replies[0].columns(), self._returned(replies))
            else:
                await answer.relay(replies[0], native=self.native)
            return
        answer.ok(self._figures([figures_of(reply) for reply in replies]))

    def _returned(self, replies: list[RelayReply]) -> list[Row]:
        """RETURNING: a shard gives one row for each of its VALUES, in their order; here in the statement's."""
        returned: dict[int, Row] = {}
        for indexes, reply in zip(self._rows_of.values(), replies, strict=True):
            returned.update(zip(indexes, reply.rows(), strict=True))
        return [returned[index] for index in sorted(returned)]

    def _figures(self, parts: list[Figures]) -> Figures:
        if self.plan.replicated:
            parts = parts[:1]
        total = summed(parts, last_insert_id=self._last_insert_id(parts))
        if not self._split:
            return total
        info = insert_info(len(self.plan.rows), parts)
        return Figures(total.affected_rows, total.last_insert_id, total.warnings, info)

    def _last_insert_id(self, parts: list[Figures]) -> int | None:
        """None: as the shard says, which is right for explicit ids and for a row that was updated instead."""
        if self.first_generated is None:
            return None
        affected = sum(part.affected_rows for part in parts)
        if affected == 0:
            return 0
        updated = self.plan.on_duplicate and len(self.plan.rows) == 1 and affected != 1
        self.updated_only = updated or self.first_inserted is None
        return None if updated else self.first_inserted


def _whole_number(value: object) -> int:
    """An explicit AUTO_INCREMENT value as the server will store it, near enough to keep the sequence above it."""
    if isinstance(value, str):
        value = value.strip()
        return int(value) if value.isdecimal() and value.isascii() else 0
    if isinstance(value, int | float | Decimal):
        return max(0, round(value))
    return 0
