"""COM_STMT_PREPARE: what a statement's parameters and columns will be, asked of a shard that prepares it.

The rule: only statements that a shard could run are asked about; the session's own (SET, BEGIN, SHOW …) and DDL have no
parameters, and their columns come with the rows. A read in the past has the columns of the present. The shard is one
that has the tables. Drivers go by its definitions of the parameters, too: MySQL's for Java binds a number as unsigned
only where the server says that the parameter is.
"""

from __future__ import annotations

from proxy.backend.reply import PrepareReply
from proxy.session.conversation import Conversation
from proxy.sql.plan import InsertPlan, OneShard, Planned, QueryPlan
from proxy.sql.template import Bindings
from proxy.wire.capabilities import ColumnFlag
from proxy.wire.columns import BINARY_COLLATION, ColumnDefinition, parse_column_definition
from proxy.wire.field_types import FieldType
from proxy.wire.packets import split_packets
from txguard.engine.shard import ConnectionLost

_PARAMETER = ColumnDefinition(b"?", FieldType.VAR_STRING, BINARY_COLLATION, 0, int(ColumnFlag.BINARY))
TRIES = 2


async def definitions(
    planned: Planned, sql: bytes, talk: Conversation
) -> tuple[list[ColumnDefinition], list[ColumnDefinition]]:
    """Parameters and columns. Raises the shard's error when it cannot prepare the statement."""
    if not isinstance(planned.plan, QueryPlan | InsertPlan):
        return [_PARAMETER] * planned.parameters, []
    plan = planned.plan
    talk.access.check_tables((plan.table,) if isinstance(plan, InsertPlan) else plan.tables)
    if isinstance(planned.plan, QueryPlan) and planned.plan.as_of is not None:
        present = planned.plan.template.render(
            Bindings(planned.literals, ["1"] * planned.parameters, talk.values.literal)
        )
        reply = await _prepare(planned.plan, present.encode("utf-8", "surrogateescape"), talk)
        return [_PARAMETER] * planned.parameters, reply.columns()
    reply = await _prepare(planned.plan, sql, talk)
    payloads = list(split_packets(reply.packets))[1 : reply.num_params + 1]
    return [parse_column_definition(payload) for payload in payloads], reply.columns()


async def _prepare(plan: QueryPlan | InsertPlan, sql: bytes, talk: Conversation) -> PrepareReply:
    services = talk.process.services
    settings = services.engine.settings
    shard = plan.route.home if isinstance(plan.route, OneShard) else services.pick_any()
    for attempt in range(1, TRIES + 1):
        connection = await talk.connections.acquire(shard, settings.acquire_timeout_s)
        try:
            reply = await connection.prepare(sql, settings.control_timeout_s)
            if reply.error is not None:
                raise reply.error
            return reply
        except ConnectionLost:
            if attempt == TRIES:
                raise
        finally:
            talk.connections.release(shard, connection)
    raise AssertionError("unreachable")
