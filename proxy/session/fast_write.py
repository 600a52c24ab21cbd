"""The hot path of a transaction: BEGIN, a point write on one shard, COMMIT, each without a task or an await.

    BEGIN    the session opens its unit, OK
    a write  text → plan (cache) → shard → idle connection → the expected number of rows → OK
    COMMIT   commit_ts → prewrite on all participants at once → the oracle told → OK

A write with autocommit is the last two in a row. Each step may decline: the statement then takes the ordinary way, as
if this one had not been tried. Once a write was sent, whatever is not the plain, expected reply is carried on by a
coroutine, which takes that reply for the statement's first try. Source: docs/protocol.md, "A transaction".
"""

from __future__ import annotations

from proxy.backend.reply import RelayReply
from proxy.executor.client import Client
from proxy.executor.execution import BoundStatement, Execution
from proxy.executor.routes import shards_nowait
from proxy.executor.unit import Unit
from proxy.routing.catalog import Catalog
from proxy.session.conversation import CarryOn, Conversation
from proxy.session.phases import Phase
from proxy.session.query_engine import QueryEngine
from proxy.session.write_on import commit_on, commit_write, write_on
from proxy.sql.plan import BeginPlan, CommitPlan, Planned, QueryPlan
from proxy.wire.responses import parse_ok
from tso.types import ShardName
from txguard.engine import point_write
from txguard.engine.commit_on import Rest
from txguard.engine.point_write import FirstTry


class FastWrite:
    """One session's; what is in hand belongs to the one statement that runs."""

    __slots__ = (
        "_carry_on",
        "_catalog",
        "_expected_rows",
        "_shard",
        "client",
        "execution",
        "query_engine",
        "reply",
        "talk",
        "unit",
    )

    def __init__(
        self, talk: Conversation, client: Client, query_engine: QueryEngine, carry_on: CarryOn
    ) -> None:
        self.talk = talk
        self.client = client
        self.query_engine = query_engine
        self._carry_on = carry_on
        self._catalog: Catalog
        self.execution: Execution
        self.reply: RelayReply
        self._shard: ShardName
        self.unit: Unit
        self._expected_rows = 0

    # ------------------------------------------------------------ a write

    def write(self, planned: Planned, plan: QueryPlan, bound: BoundStatement | None) -> bool:
        """False: declined, nothing has happened."""
        if plan.expected_rows is None or plan.template_only or plan.reads or plan.replicated:
            return False
        if (
            plan.look is not None
            or plan.inserts
            or plan.returns_rows
            or not plan.written[0].managed
            or len(plan.written) != 1
        ):
            return False
        talk = self.talk
        services = talk.process.services
        catalog = services.catalog_store.current
        execution = Execution(planned, talk.values.literal, talk.reading, bound)
        where = shards_nowait(plan.route, execution, catalog, services.pick_any)
        if where is None or len(where) != 1 or not talk.access.allows(plan.tables):
            return False
        unit = self._writable_unit()
        if unit is None:
            return False
        self._catalog, self.execution, self.unit = catalog, execution, unit
        self._shard, self._expected_rows = where[0], plan.expected_rows
        statement = execution.original(stream=False, limit_bytes=services.max_merge_bytes)
        talk.executor.conditions = []
        talk.executor.unit = unit
        try:
            if point_write.send(unit.transaction, where[0], statement, self._on_reply):
                return True
        except Exception as error:
            self._on_reply(None, error)
            return True
        talk.executor.unit = None
        return False

    def _writable_unit(self) -> Unit | None:
        """The session's transaction, or one for this statement alone. None: the ordinary way knows what to say."""
        talk = self.talk
        transactions, state = talk.transactions, talk.state
        if state.snapshot_ts is not None:
            return None
        if transactions.phase is Phase.IDLE:
            characteristics = state.characteristics
            if not state.autocommit or characteristics.one_shot or characteristics.read_only:
                return None
            return talk.implicit()
        unit = transactions.unit
        if unit is None or transactions.phase is not Phase.OPEN or unit.read_only or unit.unmanaged:
            return None
        return unit

    def _on_reply(self, reply: RelayReply | None, error: Exception | None) -> None:
        unit, talk = self.unit, self.talk
        if (
            reply is None
            or not reply.complete
            or reply.warnings
            or self._catalog is not talk.process.services.catalog_store.current
            or not point_write.stands(unit.transaction, self._shard, reply, self._expected_rows)
        ):
            self._carry_on(write_on(self, FirstTry(reply, error)))
        elif not unit.implicit:
            self.answer_write(reply)
        else:
            self.reply = reply
            if not talk.transactions.commit_implicit_nowait(unit, self._write_committed):
                self._carry_on(commit_write(self))

    def _write_committed(self, rest: Rest | None) -> None:
        if rest is None:
            self.answer_write(self.reply)
        else:
            self._carry_on(commit_write(self, rest))

    def answer_write(self, reply: RelayReply) -> None:
        talk, client = self.talk, self.client
        talk.executor.unit = None
        talk.process.registry.counters.fast_writes += 1
        diagnostics = talk.state.diagnostics
        diagnostics.row_count, diagnostics.found_rows, diagnostics.conditions = reply.affected_rows, 0, []
        if reply.last_insert_id:
            diagnostics.last_insert_id = reply.last_insert_id
        talk.is_over()
        if client.session_state is None or self.unit.implicit or self.unit.told:
            client.finish(reply.to_client(talk.status(), client.sequence))
            return
        ok = parse_ok(bytes(reply.packets[4:]))
        client.send_ok(
            affected_rows=ok.affected_rows,
            last_insert_id=ok.last_insert_id,
            status=talk.status(),
            info=ok.info,
        )

    # ------------------------------------------------------------ BEGIN and COMMIT

    def begin(self, plan: BeginPlan) -> bool:
        """False: declined, nothing has happened."""
        talk = self.talk
        if (
            plan.consistent_snapshot
            or plan.as_of is not None
            or not talk.transactions.begin_nowait(talk.state.characteristics, read_only=plan.read_only)
        ):
            return False
        talk.executor.conditions = []
        self.answer_ok()
        return True

    def commit(self, plan: CommitPlan) -> bool:
        """False: declined, nothing has happened."""
        if plan.chain or plan.release or not self.talk.transactions.commit_nowait(self._committed):
            return False
        self.talk.executor.conditions = []
        return True

    def _committed(self, rest: Rest | None) -> None:
        if rest is None:
            self.answer_ok()
        else:
            self._carry_on(commit_on(self, rest))

    def answer_ok(self) -> None:
        talk = self.talk
        diagnostics = talk.state.diagnostics
        diagnostics.row_count = diagnostics.found_rows = 0
        talk.is_over()
        self.client.send_ok(status=talk.status())
