"""SHOW TXGUARD TRANSACTIONS: the open transactions of the sessions on this address, oldest first."""

from __future__ import annotations

from proxy.admin.sources import Sources
from proxy.session.results import LocalResult

_NAMES = ("Session", "User", "Start_ts", "Read_ts", "State", "Age_s", "Shards", "Statement")


async def show_transactions(sources: Sources) -> LocalResult:
    rows = []
    for view in await sources.registry.all_views():
        transaction = view.transaction
        if transaction is None:
            continue
        rows.append(
            (
                view.connection_id,
                view.user,
                transaction.start_ts,
                transaction.read_ts,
                transaction.state,
                f"{transaction.age_s:.3f}",
                ", ".join(transaction.shards),
                view.statement,
            )
        )
    rows.sort(key=lambda row: -float(str(row[5])))
    return LocalResult.of(_NAMES, rows)
