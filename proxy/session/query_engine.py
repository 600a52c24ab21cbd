"""The life of one statement: plan, intercept what is the session's own, execute the rest, answer.

    plan       text to a `Planned`, from the planner's cache
    intercept  transaction control, SET, USE, KILL and the SHOW statements that the session answers itself
    execute    everything that needs shards, in the session's transaction or one of its own
    reply      `Answer.finish`, the last step, by the caller

Each plan has its method below; `_STEPS` is the table from one to the other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from proxy.backend.profile import switch_statements
from proxy.ddl.workshop import Client as DdlClient
from proxy.errors import NotSupported
from proxy.executor.answers import Answer, Row
from proxy.executor.execution import BoundStatement, Execution
from proxy.executor.figures import Figures
from proxy.executor.unit import Unit
from proxy.session.conversation import Conversation
from proxy.session.errors import ReadOnlyTransaction
from proxy.session.local_shows import overlay_variables, show_processlist, show_warnings
from proxy.session.results import LocalResult
from proxy.session.set_statement import SetStatement, require_for_one_statement, uses_one_shot_form
from proxy.session.time_travel import instant_of
from proxy.sql import plan as plans
from proxy.sql.plan import Access, Planned
from proxy.sql.template import Template
from tso.types import Timestamp
from txguard.engine.past import PastTransaction
from txguard.engine.point_write import FirstTry
from txguard.errors import ReadsThePast

OK = Figures()


class QueryEngine:
    """One session's; all it knows is in `conversation`."""

    def __init__(self, conversation: Conversation) -> None:
        self._talk = conversation

    async def run(self, planned: Planned, answer: Answer, bound: BoundStatement | None = None) -> None:
        """Carry a planned statement out; its answer is ready to be finished. Raises what the client is to get."""
        talk = self._talk
        execution = Execution(planned, talk.values.literal, talk.reading, bound)
        await _STEPS[type(planned.plan)](self, planned.plan, execution, answer)

    # ------------------------------------------------------------ statements on tables

    async def _query(self, plan: plans.QueryPlan, execution: Execution, answer: Answer) -> None:
        talk = self._talk
        talk.access.check_tables(plan.tables)
        instant = await self._instant(plan, execution)
        if instant is not None:
            unit: Unit | None = talk.transactions.past(instant)
        else:
            unit = await self._unit(touches_tables=bool(plan.tables))
        if plan.access is Access.WRITE:
            self._require_writable(unit)
        elif plan.access is Access.LOCKING_READ:
            self._require_present(unit)
        implicit = talk.implicit_read if plan.access is Access.READ else talk.implicit
        await talk.executor.query(plan, execution, unit, implicit, answer)
        self._note_query(plan, answer)

    async def _instant(self, plan: plans.QueryPlan, execution: Execution) -> Timestamp | None:
        """At which a statement reads by itself, whatever transaction is open."""
        talk = self._talk
        if plan.as_of is not None:
            return await instant_of(execution.text(plan.as_of), talk.questions)
        return talk.state.snapshot_ts if plan.access is Access.READ and plan.tables else None

    async def go_on_writing(self, execution: Execution, unit: Unit, first: FirstTry, answer: Answer) -> None:
        """A point write that was sent already, with what became of it."""
        plan = execution.planned.plan
        assert isinstance(plan, plans.QueryPlan)
        session_unit = None if unit.implicit else unit
        await self._talk.executor.query(plan, execution, session_unit, lambda: unit, answer, first)
        self._note_query(plan, answer)

    def _note_query(self, plan: plans.QueryPlan, answer: Answer) -> None:
        talk = self._talk
        talk.note_result(answer, touches_tables=bool(plan.tables))
        if answer.figures is not None and answer.figures.last_insert_id:
            talk.state.diagnostics.last_insert_id = answer.figures.last_insert_id

    async def _insert(self, plan: plans.InsertPlan, execution: Execution, answer: Answer) -> None:
        talk = self._talk
        talk.access.check_tables((plan.table,))
        unit = await self._unit(touches_tables=True)
        self._require_writable(unit)
        insert = await talk.executor.insert(plan, execution, unit, talk.implicit, answer)
        talk.note_result(answer, touches_tables=True)
        generated = insert.first_generated is not None or not any(row.auto for row in plan.rows)
        generated &= not insert.updated_only
        if generated and answer.figures is not None and answer.figures.last_insert_id:
            talk.state.diagnostics.last_insert_id = answer.figures.last_insert_id

    async def _define(self, plan: plans.DdlPlan, execution: Execution, answer: Answer) -> None:
        talk = self._talk
        for table in plan.tables:
            talk.access.check_database(table.schema)
        for schema in plan.references:
            talk.access.check_database(schema)
        if plan.database is not None:
            talk.access.check_database(plan.database)
        self._require_writable(talk.transactions.unit)
        await talk.transactions.implicit_commit()
        settings = switch_statements(None, talk.executor.connections.profile)
        settings = [statement for statement in settings if not statement.startswith("USE ")]
        result = await talk.process.ddl.run(plan, DdlClient(talk.state.database, tuple(settings)))
        talk.executor.conditions = list(result.warnings)
        answer.ok(Figures(result.affected_rows, warnings=len(result.warnings)))
        talk.note_result(answer, touches_tables=True)
        if plan.kind is plans.DdlKind.DROP_DATABASE and plan.database == talk.state.database:
            talk.use(None)

    async def _show(self, plan: plans.ShowPlan, execution: Execution, answer: Answer) -> None:
        access = self._talk.access
        access.check_tables(plan.tables)
        if plan.schema is not None:
            access.check_database(plan.schema)
        await self._talk.executor.show(plan, execution, answer)
        self._talk.note_result(answer)

    async def _unit(self, *, touches_tables: bool) -> Unit | None:
        """The transaction that the statement runs in; None: it is its own."""
        talk = self._talk
        if not touches_tables and not talk.transactions.in_transaction:
            return None
        return await talk.transactions.for_statement(
            talk.state.characteristics, autocommit=talk.state.autocommit
        )

    def _require_present(self, unit: Unit | None) -> None:
        if self._talk.state.snapshot_ts is not None or (
            unit is not None and isinstance(unit.transaction, PastTransaction)
        ):
            raise ReadsThePast

    def _require_writable(self, unit: Unit | None) -> None:
        self._require_present(unit)
        read_only = self._talk.state.characteristics.effective_read_only if unit is None else unit.read_only
        if read_only:
            raise ReadOnlyTransaction

    # ------------------------------------------------------------ transaction control

    async def _begin(self, plan: plans.BeginPlan, execution: Execution, answer: Answer) -> None:
        transactions = self._talk.transactions
        if plan.as_of is not None:
            await self._begin_past(plan.as_of, execution)
            self._done(answer)
            return
        unit = await transactions.begin(self._talk.state.characteristics, read_only=plan.read_only)
        if plan.consistent_snapshot:
            shards = self._talk.process.services.catalog_store.current.all_shards
            await unit.transaction.open_snapshot(shards)
        self._done(answer)

    async def _begin_past(self, as_of: Template, execution: Execution) -> None:
        """All views open now, so that nothing which the transaction may read can be cleaned away under it."""
        talk = self._talk
        instant = await instant_of(execution.text(as_of), talk.questions)
        unit = await talk.transactions.begin_past(instant)
        try:
            await unit.transaction.open_snapshot(talk.process.services.catalog_store.current.all_shards)
        except BaseException:
            await talk.transactions.rollback()
            raise

    async def _commit(self, plan: plans.CommitPlan, execution: Execution, answer: Answer) -> None:
        await self._end(self._talk.transactions.commit, plan.chain, plan.release, answer)

    async def _rollback(self, plan: plans.RollbackPlan, execution: Execution, answer: Answer) -> None:
        await self._end(self._talk.transactions.rollback, plan.chain, plan.release, answer)

    async def _end(
        self, end: Callable[[], Awaitable[None]], chain: bool, release: bool, answer: Answer
    ) -> None:
        transactions = self._talk.transactions
        unit = transactions.unit
        await end()
        if chain:
            transactions.chain(unit, self._talk.state.characteristics)
        self._talk.ends_with_answer = release
        self._done(answer)

    async def _savepoint(self, plan: plans.SavepointPlan, execution: Execution, answer: Answer) -> None:
        await self._unit(touches_tables=True)
        await self._talk.transactions.savepoint(plan.name)
        self._done(answer)

    async def _rollback_to(self, plan: plans.RollbackToPlan, execution: Execution, answer: Answer) -> None:
        await self._talk.transactions.rollback_to(plan.name)
        self._done(answer)

    async def _release(self, plan: plans.ReleasePlan, execution: Execution, answer: Answer) -> None:
        await self._talk.transactions.release_savepoint(plan.name)
        self._done(answer)

    # ------------------------------------------------------------ the session's own

    async def _set(self, plan: plans.SetPlan, execution: Execution, answer: Answer) -> None:
        await self._assign(plan, execution)
        self._done(answer)

    async def _assign(self, plan: plans.SetPlan, execution: Execution) -> None:
        talk = self._talk
        statement = SetStatement(
            state=talk.state,
            values=talk.values,
            shards=talk.questions,
            memory=talk.process.memory,
            literals=execution.planned.literals,
            in_transaction=talk.transactions.in_transaction,
            one_shot=uses_one_shot_form(execution.planned.sql),
            usual=talk.process.defaults.variables,
        )
        autocommit_switched_on = await statement.run(plan)
        talk.settings_changed()
        if autocommit_switched_on:
            await talk.transactions.implicit_commit()

    async def _set_statement(
        self, plan: plans.SetStatementPlan, execution: Execution, answer: Answer
    ) -> None:
        talk, bound = self._talk, execution.bound
        for item in plan.settings.items:
            require_for_one_statement(item)
        before = dict(talk.state.shard_variables)
        await self._assign(plan.settings, execution)
        try:
            text = plan.statement.encode("utf-8", "surrogateescape")
            planned = talk.process.plan(text, talk.state.database, prepared=bound is not None)
            if not isinstance(planned.plan, plans.QueryPlan | plans.InsertPlan):
                raise NotSupported("SET STATEMENT … FOR anything but a query or a change of rows")
            await self.run(planned, answer, None if bound is None else bound._replace(sql=text))
        finally:
            talk.state.shard_variables = before
            talk.settings_changed()

    async def _use(self, plan: plans.UsePlan, execution: Execution, answer: Answer) -> None:
        self._talk.access.require_database(plan.database)
        self._talk.use(plan.database)
        self._done(answer)

    async def _kill(self, plan: plans.KillPlan, execution: Execution, answer: Answer) -> None:
        talk = self._talk
        await talk.process.registry.kill(
            plan.connection_id, query_only=plan.query_only, user=talk.values.identity.user
        )
        self._done(answer)

    async def _do(self, plan: plans.DoPlan, execution: Execution, answer: Answer) -> None:
        await self._talk.executor.ask(self._talk.process.services.pick_any(), execution.text(plan.template))
        self._done(answer)

    async def _nothing(self, plan: plans.EmptyPlan, execution: Execution, answer: Answer) -> None:
        self._done(answer)

    def _done(self, answer: Answer) -> None:
        answer.ok(OK)
        self._talk.note_result(answer)

    # ------------------------------------------------------------ SHOW

    async def _show_variables(
        self, plan: plans.ShowVariablesPlan, execution: Execution, answer: Answer
    ) -> None:
        talk = self._talk
        reply = await talk.executor.ask(talk.process.services.pick_any(), plan.text)
        rows: list[Row] = list(reply.rows())
        if plan.scope is not plans.VariableScope.GLOBAL:
            rows = overlay_variables(rows, talk.values)
        answer.rows(reply.columns(), rows)

    async def _show_warnings(
        self, plan: plans.ShowWarningsPlan, execution: Execution, answer: Answer
    ) -> None:
        _answer_local(answer, show_warnings(plan, self._talk.state.diagnostics.conditions))

    async def _show_processlist(
        self, plan: plans.ShowProcesslistPlan, execution: Execution, answer: Answer
    ) -> None:
        talk = self._talk
        views = await talk.process.registry.all_views()
        _answer_local(answer, show_processlist(views, talk.values.identity.user, full=plan.full))

    async def _show_admin(self, plan: plans.AdminShowPlan, execution: Execution, answer: Answer) -> None:
        _answer_local(answer, await self._talk.process.admin(plan))


def _answer_local(answer: Answer, result: LocalResult) -> None:
    answer.payloads(result.columns(), result.binary_rows() if answer.binary else result.text_rows())


Step = Callable[[QueryEngine, Any, Execution, Answer], Awaitable[None]]

_STEPS: dict[type, Step] = {
    plans.QueryPlan: QueryEngine._query,
    plans.InsertPlan: QueryEngine._insert,
    plans.DdlPlan: QueryEngine._define,
    plans.ShowPlan: QueryEngine._show,
    plans.BeginPlan: QueryEngine._begin,
    plans.CommitPlan: QueryEngine._commit,
    plans.RollbackPlan: QueryEngine._rollback,
    plans.SavepointPlan: QueryEngine._savepoint,
    plans.RollbackToPlan: QueryEngine._rollback_to,
    plans.ReleasePlan: QueryEngine._release,
    plans.SetPlan: QueryEngine._set,
    plans.SetStatementPlan: QueryEngine._set_statement,
    plans.UsePlan: QueryEngine._use,
    plans.KillPlan: QueryEngine._kill,
    plans.DoPlan: QueryEngine._do,
    plans.EmptyPlan: QueryEngine._nothing,
    plans.ShowVariablesPlan: QueryEngine._show_variables,
    plans.ShowWarningsPlan: QueryEngine._show_warnings,
    plans.ShowProcesslistPlan: QueryEngine._show_processlist,
    plans.AdminShowPlan: QueryEngine._show_admin,
}
