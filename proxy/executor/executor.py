"""Runs the plans that need shards: finds the shards, the transaction, and the way from replies to an answer.

    QueryPlan READ       autocommit and one shard: `autocommit.py`; otherwise in a unit: `reads.py`
    QueryPlan WRITE, …   `writes.py`, in a unit
    InsertPlan           `inserts.py`, in a unit
    ShowPlan             one shard, or all and merged; what must not show is filtered out

A unit is the session's open transaction, or one that is made for this statement and ends with it. An error means
that the statement did nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from proxy.backend.connection import BackendConnection
from proxy.backend.reply import RelayReply
from proxy.backend.statements import TextStatement
from proxy.executor.answers import Answer
from proxy.executor.asked_routes import shards
from proxy.executor.autocommit import AutocommitRead
from proxy.executor.away_rows import away_rows
from proxy.executor.collate import filter_show
from proxy.executor.connections import SessionConnections
from proxy.executor.execution import Execution
from proxy.executor.inserts import Insert
from proxy.executor.reads import Read
from proxy.executor.routes import Shards
from proxy.executor.services import Services
from proxy.executor.table_changes import TableChanged, require_unchanged
from proxy.executor.table_status import merge_table_status
from proxy.executor.unit import Unit
from proxy.executor.warnings import Condition, fetch_found_rows, fetch_warnings
from proxy.executor.writes import Write
from proxy.routing.tables import Table, TableKind
from proxy.sql.operands import quote_name
from proxy.sql.plan import Access, InsertPlan, QueryPlan, ShowFilter, ShowPlan, reads_one_row
from tso.types import ShardName
from txguard.engine import failpoints
from txguard.engine.concurrent import gather
from txguard.engine.point_write import FirstTry
from txguard.engine.shard import ShardError, borrow
from txguard.errors import Conflict

MakeUnit = Callable[[], Unit]

ER_QUERY_INTERRUPTED = 1317
DEADLOCK = "Deadlock found when trying to get lock; try restarting transaction"


class Executor:
    """One session's. `conditions` are the last statement's warnings."""

    def __init__(self, services: Services, connections: SessionConnections) -> None:
        self._services = services
        self.connections = connections
        self.conditions: list[Condition] = []
        self.unit: Unit | None = None
        """The transaction of the statement that runs."""

    @property
    def _control_timeout_s(self) -> float:
        return self._services.engine.settings.control_timeout_s

    # ------------------------------------------------------------ queries

    async def query(
        self,
        plan: QueryPlan,
        execution: Execution,
        unit: Unit | None,
        implicit: MakeUnit,
        answer: Answer,
        first: FirstTry | None = None,
    ) -> None:
        """`unit`: the session's open transaction; `implicit` makes one where the statement needs its own.

        `first`: what became of a write that was sent already.
        """
        if plan.away:
            results = self.connections.profile.character_set_results
            execution.away = {part: await away_rows(part, self.ask, results) for part in plan.away}
        where = await self._shards(plan, execution, unit)
        if plan.access is Access.READ:
            await self._read(
                Read(plan, execution, where, self._services.max_merge_bytes), unit, implicit, answer
            )
            return
        async with self._ended(unit, implicit) as own:
            write = Write(plan, execution, own, where, self._services.max_merge_bytes)
            replies = await write.run(first)
            if plan.inserts:
                async with _undone_on_error(own):
                    await self._note_copied_ids(plan.written[0], where)
            await self._require_unchanged(own, plan.tables)
            await self._collect_conditions(own, where, replies)
            await write.answer(replies, answer)
            if plan.counts_all:
                answer.rows_sent = None

    async def _note_copied_ids(self, table: Table, where: Shards) -> None:
        """An INSERT … SELECT has brought its ids: none up to them is to be generated.

        Asked beside the transaction, which must get no view by it; what others have not committed counts, too.
        """
        if table.kind is TableKind.SINGLE or not any(column.auto_increment for column in table.columns):
            return
        found = await gather([self._ask_ids(shard, table, "MAX({0})") for shard in where])
        await self._services.sequences.note_explicit(table, max(largest or 0 for largest in found))

    async def _first_there(self, table: Table, ids: tuple[int, int], where: Shards) -> int | None:
        """The least of the ids from the first to the last that a row has."""
        condition = f"{{0}} BETWEEN {ids[0]} AND {ids[1]}"
        found = await gather([self._ask_ids(shard, table, "MIN({0})", condition) for shard in where])
        return min((value for value in found if value is not None), default=None)

    async def _ask_ids(
        self, shard: ShardName, table: Table, question: str, condition: str = "TRUE"
    ) -> int | None:
        """Of the AUTO_INCREMENT column ({0}), beside all transactions, on a connection of the engine's own."""
        engine = self._services.engine
        column = quote_name(next(column.name for column in table.columns if column.auto_increment))
        asked, only = question.format(column), condition.format(column)
        query = f"SELECT {asked} FROM {quote_name(table.schema)}.{quote_name(table.name)} WHERE {only}"
        async with borrow(engine.shards[shard], engine.settings.acquire_timeout_s) as connection:
            answers = await connection.run(
                ["SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED", query],
                self._control_timeout_s,
            )
        value = answers[-1].rows[0][0]
        return None if value is None else int(value)

    async def insert(
        self, plan: InsertPlan, execution: Execution, unit: Unit | None, implicit: MakeUnit, answer: Answer
    ) -> Insert:
        services = self._services
        catalog = services.catalog_store.current
        insert = Insert(plan, execution, catalog, services.sequences, services.max_merge_bytes)
        await insert.prepare()
        async with self._ended(unit, implicit) as own:
            replies = await insert.run(own)
            if insert.uncertain_ids is not None:
                async with _undone_on_error(own):
                    insert.first_inserted = await self._first_there(
                        plan.table, insert.uncertain_ids, insert.shards
                    )
            await self._require_unchanged(own, (plan.table,))
            await self._collect_conditions(own, insert.shards, replies)
            await insert.answer(replies, answer)
        return insert

    @asynccontextmanager
    async def _ended(self, unit: Unit | None, implicit: MakeUnit) -> AsyncIterator[Unit]:
        """The unit of one statement: the open one as it is, or an implicit one, committed or rolled back at the end."""
        own = self.unit = implicit() if unit is None else unit
        try:
            yield own
        except BaseException as error:
            lost_deadlock = _lost_deadlock(own, error)
            if own.implicit or lost_deadlock:
                await own.transaction.rollback()
            if lost_deadlock:
                raise Conflict(DEADLOCK) from error
            raise
        finally:
            self.unit = None
        if own.implicit:
            with self.connections.protected():
                await own.transaction.commit()

    async def _require_unchanged(self, unit: Unit, tables: Sequence[Table]) -> None:
        """After a write: what it did to a table that is no more must not be committed."""
        try:
            require_unchanged(self._services.catalog_store, tables)
        except TableChanged:
            await unit.transaction.rollback()
            raise

    async def _shards(self, plan: QueryPlan, execution: Execution, unit: Unit | None) -> Shards:
        preferred = () if unit is None else tuple(unit.transaction.branches)
        return await shards(
            plan.route,
            execution,
            self._services.catalog_store.current,
            partial(self._services.pick_any, preferred),
            plan.scatter_refusal,
        )

    async def _read(self, read: Read, unit: Unit | None, implicit: MakeUnit, answer: Answer) -> None:
        outside = unit is None or not read.plan.tables
        if outside and len(read.shards) == 1 and await self._read_outside(read, answer):
            return
        async with self._ended(unit, implicit) as own:
            replies = await read.in_transaction(own)
            require_unchanged(self._services.catalog_store, read.plan.tables)
            await self._collect_conditions(own, read.shards, replies)
            await read.answer(replies, answer)
            if read.plan.counts_all:
                branch = own.transaction.branches[read.shards[0]]
                assert isinstance(branch.connection, BackendConnection)
                answer.rows_sent = await fetch_found_rows(branch.connection, self._control_timeout_s)

    async def _read_outside(self, read: Read, answer: Answer) -> bool:
        """False: it read several rows while commits overtook each other, and must be made in a snapshot."""
        engine, shard = self._services.engine, read.shards[0]
        managed = any(table.managed for table in read.plan.tables)
        if managed:  # Otherwise what an older epoch left undecided there would not be known [R5].
            await engine.require_fenced(shard)
        several = managed and not reads_one_row(read.plan) and not failpoints.active("without_R5")
        calm = engine.tso.calm_token_nowait(shard) if several else 0
        if calm is None:
            return False
        autocommit = AutocommitRead(
            shard=shard,
            statement=read.statement,
            connections=self.connections,
            tso=engine.tso,
            settings=engine.settings,
            validate=managed,
        )
        connection, reply = await autocommit.run()
        try:
            if several and not engine.tso.was_calm_nowait(shard, calm):
                await reply.drain()
                return False
            require_unchanged(self._services.catalog_store, read.plan.tables)
            await answer.relay(reply, native=read.native)
            if read.plan.counts_all:
                answer.rows_sent = await fetch_found_rows(connection, self._control_timeout_s)
            if reply.warnings:
                self.conditions = await fetch_warnings(connection, self._control_timeout_s)
        finally:
            self.connections.release(shard, connection)
        return True

    # ------------------------------------------------------------ SHOW

    async def show(self, plan: ShowPlan, execution: Execution, answer: Answer) -> None:
        catalog = self._services.catalog_store.current
        where = await shards(plan.route, execution, catalog, self._services.pick_any, "SHOW")
        if plan.filter is ShowFilter.EXPLAIN:
            where = where[:1]
        replies = [await self.ask(shard, plan.text) for shard in where]
        if plan.filter is ShowFilter.TABLE_STATUS:
            known = catalog.tables(plan.schema)
            whole = {table.name for table in known if table.kind is TableKind.REFERENCE}
            columns = replies[0].columns()
            rows = merge_table_status(columns, [reply.rows() for reply in replies], whole)
        else:
            columns, rows = filter_show(plan.filter, replies)
        answer.rows(columns, rows)

    async def ask(self, shard: ShardName, sql: str) -> RelayReply:
        """One statement on one shard outside any transaction, with the session's settings. Raises its error."""
        engine = self._services.engine
        text = TextStatement(
            sql.encode("utf-8", "surrogateescape"), stream=False, limit_bytes=self._services.max_merge_bytes
        )
        read = AutocommitRead(
            shard, lambda: text, self.connections, engine.tso, engine.settings, validate=False
        )
        connection, reply = await read.run()
        self.connections.release(shard, connection)
        return reply

    # ------------------------------------------------------------ warnings

    async def _collect_conditions(self, unit: Unit, where: Shards, replies: Sequence[RelayReply]) -> None:
        """While the shards' connections still have them: before COMMIT."""
        for shard, reply in zip(where, replies, strict=True):
            branch = unit.transaction.branches.get(shard)
            if reply.complete and reply.warnings and branch is not None:
                assert isinstance(branch.connection, BackendConnection)
                self.conditions += await fetch_warnings(branch.connection, self._control_timeout_s)


@asynccontextmanager
async def _undone_on_error(unit: Unit) -> AsyncIterator[None]:
    """For what is asked after a write: where that fails nothing of the transaction stands, and its client knows."""
    try:
        yield
    except BaseException as error:
        await unit.transaction.rollback()
        if isinstance(error, Exception):
            raise Conflict(
                f"what was written could not be looked at ({error}); run the transaction again"
            ) from error
        raise


def _lost_deadlock(unit: Unit, error: BaseException) -> bool:
    return unit.lost_deadlock and isinstance(error, ShardError) and error.errno == ER_QUERY_INTERRUPTED
