"""The table of the admin commands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from proxy.admin.show_deadlocks import show_deadlocks
from proxy.admin.show_locks import show_locks
from proxy.admin.show_shards import show_shards
from proxy.admin.show_status import show_status
from proxy.admin.show_transaction import show_transaction
from proxy.admin.show_transactions import show_transactions
from proxy.admin.sources import Sources
from proxy.session.results import LocalResult
from proxy.sql.plan import AdminShowPlan, AdminTopic

COMMANDS: dict[AdminTopic, Callable[[Sources], Awaitable[LocalResult]]] = {
    AdminTopic.STATUS: show_status,
    AdminTopic.SHARDS: show_shards,
    AdminTopic.TRANSACTIONS: show_transactions,
    AdminTopic.LOCKS: show_locks,
    AdminTopic.DEADLOCKS: show_deadlocks,
}


async def run_admin(sources: Sources, plan: AdminShowPlan) -> LocalResult:
    if plan.start_ts is not None:
        return await show_transaction(sources, plan.start_ts)
    return await COMMANDS[plan.topic](sources)
