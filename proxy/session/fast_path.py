"""Which statements are tried without a task or an await: one place that knows, two that do.

A statement that is declined here takes the ordinary way (`query_engine.py`), as if it had not been tried.
"""

from __future__ import annotations

from proxy.executor.client import Client
from proxy.executor.execution import BoundStatement
from proxy.session.conversation import CarryOn, Conversation
from proxy.session.fast_read import FastRead
from proxy.session.fast_write import FastWrite
from proxy.session.query_engine import QueryEngine
from proxy.sql.plan import Access, BeginPlan, CommitPlan, Planned, QueryPlan


class FastPath:
    __slots__ = ("_read", "_talk", "_write")

    def __init__(
        self, talk: Conversation, client: Client, query_engine: QueryEngine, carry_on: CarryOn
    ) -> None:
        self._talk = talk
        self._read = FastRead(talk, client, query_engine, carry_on)
        self._write = FastWrite(talk, client, query_engine, carry_on)

    def query(self, sql: bytes) -> Planned | None:
        """The plan of a statement that was declined; None: it is answered from a callback. Raises what planning may."""
        talk = self._talk
        talk.begins(sql)
        planned = talk.process.plan(talk.limited(sql), talk.state.database)
        return None if self.start(planned) else planned

    def execute(self, bound: BoundStatement) -> tuple[Planned, BoundStatement] | None:
        """As `query`, of a prepared statement."""
        talk = self._talk
        talk.begins(bound.sql)
        sql = talk.limited(bound.sql)
        if sql is not bound.sql:
            bound = bound._replace(sql=sql)
        planned = talk.process.plan(sql, talk.state.database, prepared=True)
        return None if self.start(planned, bound) else (planned, bound)

    def start(self, planned: Planned, bound: BoundStatement | None = None) -> bool:
        """False: declined, nothing has happened. True: it is answered from a callback."""
        plan = planned.plan
        if isinstance(plan, QueryPlan):
            if plan.access is Access.READ:
                return self._read.read(planned, plan, bound)
            return plan.access is Access.WRITE and self._write.write(planned, plan, bound)
        if isinstance(plan, CommitPlan):
            return self._write.commit(plan)
        return isinstance(plan, BeginPlan) and self._write.begin(plan)
