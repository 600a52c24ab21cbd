"""The hot path of an autocommit read of one shard: from the client's packet to its answer without a task or an await.

    text → plan (cache) → shard → idle connection → the reply's packets → [R5] by two integers → the client

Each step may decline: the statement then takes the ordinary way, as if this one had not been tried. Once it was sent,
whatever is not a plain, complete, valid reply is carried on by a coroutine: a large answer, warnings, an undecided
commit on the shard, a lost connection. Source: docs/protocol.md, "Reads outside a snapshot" [R5].
"""

from __future__ import annotations

from proxy.backend.connection import BackendConnection
from proxy.backend.reply import RelayReply
from proxy.executor.client import Client
from proxy.executor.execution import BoundStatement, Execution
from proxy.executor.routes import shards_nowait
from proxy.routing.catalog import Catalog
from proxy.session.conversation import CarryOn, Conversation
from proxy.session.phases import Phase
from proxy.session.query_engine import QueryEngine
from proxy.session.read_on import read_again, read_on
from proxy.sql.plan import Planned, QueryPlan, reads_one_row
from proxy.wire.capabilities import Status
from tso.types import ShardName
from txguard.engine import failpoints

AUTOCOMMIT = int(Status.AUTOCOMMIT)


class FastRead:
    """One session's; what is in hand belongs to the one read that runs."""

    __slots__ = (
        "_calm",
        "_carry_on",
        "_catalog",
        "_counters",
        "_tso",
        "client",
        "connection",
        "execution",
        "query_engine",
        "shard",
        "talk",
        "token",
        "validate",
    )

    def __init__(
        self, talk: Conversation, client: Client, query_engine: QueryEngine, carry_on: CarryOn
    ) -> None:
        self.talk = talk
        self.client = client
        self.query_engine = query_engine
        self._carry_on = carry_on
        self._tso = talk.process.services.engine.tso
        self._counters = talk.process.registry.counters
        self._catalog: Catalog
        self.connection: BackendConnection
        self.execution: Execution
        self.shard: ShardName
        self._calm: int | None = None
        """Of a read of several rows."""
        self.token = 0
        self.validate = False

    def read(self, planned: Planned, plan: QueryPlan, bound: BoundStatement | None) -> bool:
        """False: declined, nothing has happened. True: the reply's callback answers."""
        if plan.template_only:
            return False
        talk = self.talk
        state = talk.state
        if (
            talk.transactions.phase is not Phase.IDLE
            or not state.autocommit
            or state.characteristics.one_shot
            or state.snapshot_ts is not None
        ):
            return False
        services = talk.process.services
        catalog = services.catalog_store.current
        execution = Execution(planned, talk.values.literal, talk.reading, bound)
        where = shards_nowait(plan.route, execution, catalog, services.pick_any)
        if where is None or len(where) != 1 or not talk.access.allows(plan.tables):
            return False
        shard = where[0]
        token = self._tso.read_token_nowait(shard)
        if token is None or not services.engine.is_fenced(shard):
            return False
        calm = None
        if plan.tables and not reads_one_row(plan):
            calm = self._tso.calm_token_nowait(shard)
            if calm is None:
                return False
        connection = talk.connections.acquire_nowait(shard)
        if connection is None:
            return False
        self._calm = calm
        self.connection, self.shard, self.token, self.execution = connection, shard, token, execution
        self._catalog = catalog
        self.validate = bool(plan.tables)
        try:
            connection.relay_nowait(execution.original(), self._on_reply)
        except Exception:
            talk.connections.release(shard, connection)
            raise
        return True

    def _on_reply(self, reply: RelayReply | None, error: Exception | None) -> None:
        if (
            reply is None
            or not reply.complete
            or reply.warnings
            or reply.error is not None
            or (self.validate and not self._stands())
        ):
            self._unusual(reply)
            return
        talk, client = self.talk, self.client
        talk.connections.release(self.shard, self.connection)
        self._counters.fast_reads += 1
        diagnostics = talk.state.diagnostics
        diagnostics.row_count, diagnostics.found_rows = -1, reply.row_count
        if diagnostics.conditions and self.validate:
            diagnostics.conditions = []
        talk.is_over()
        client.finish(reply.to_client(AUTOCOMMIT, client.sequence))

    def _stands(self) -> bool:
        """[R5]; and the tables are still those that the statement was planned with."""
        if self._catalog is not self.talk.process.services.catalog_store.current:
            return False
        if failpoints.active("without_R5"):
            return True
        return self.was_calm() and self._tso.validate_read_nowait(self.shard, self.token) is True

    def was_calm(self) -> bool:
        return self._calm is None or self._tso.was_calm_nowait(self.shard, self._calm)

    def _unusual(self, reply: RelayReply | None) -> None:
        if self.client.closed:
            self.talk.connections.release(self.shard, self.connection)
            self.client.finish()
        elif reply is None:
            self.talk.connections.release(self.shard, self.connection)
            self._carry_on(read_again(self))
        else:
            self._carry_on(read_on(self, reply))
