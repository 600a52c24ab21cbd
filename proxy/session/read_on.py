"""What becomes of a fast read that its reply's callback could not answer. Apart as `proxy/backend/awaited.py` is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.backend.reply import RelayReply
from proxy.executor.answers import Answer
from proxy.executor.autocommit import AutocommitRead
from proxy.executor.execution import Execution
from proxy.executor.table_changes import require_unchanged
from proxy.executor.warnings import fetch_warnings
from proxy.routing.tables import Table
from proxy.sql.plan import QueryPlan

if TYPE_CHECKING:
    from proxy.session.fast_read import FastRead


async def read_again(read: FastRead) -> None:
    """The ordinary way, from the beginning: a read that did not come to its end harmed nobody."""
    execution = read.execution
    answer = Answer(read.client, read.talk.status, binary=execution.binary)
    await read.query_engine.run(execution.planned, answer, execution.bound)
    read.talk.is_over()
    answer.finish()


async def read_on(read: FastRead, reply: RelayReply) -> None:
    """Validate with patience, pass a large answer on, fetch warnings."""
    talk, connection, shard, execution = read.talk, read.connection, read.shard, read.execution
    engine = talk.process.services.engine
    validation = AutocommitRead(
        shard, execution.original, talk.connections, engine.tso, engine.settings, read.validate
    )
    answer = Answer(read.client, talk.status, binary=execution.binary)
    try:
        require_unchanged(talk.process.services.catalog_store, _tables(execution))
        stands = read.was_calm() and await validation.stands(read.token)
        if stands:
            if reply.error is not None:
                raise reply.error
            await answer.relay(reply)
            if reply.warnings:
                talk.executor.conditions = await fetch_warnings(connection, engine.settings.control_timeout_s)
        else:
            await reply.drain()
    finally:
        talk.connections.release(shard, connection)
    if stands:
        talk.note_result(answer, touches_tables=read.validate)
        talk.is_over()
        answer.finish()
    else:
        await read_again(read)


def _tables(execution: Execution) -> tuple[Table, ...]:
    plan = execution.planned.plan
    return plan.tables if isinstance(plan, QueryPlan) else ()
