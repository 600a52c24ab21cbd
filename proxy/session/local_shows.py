"""SHOW statements that the session answers itself, wholly or by putting its own values into a shard's answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from proxy.executor.answers import Row
from proxy.executor.warnings import Condition
from proxy.session.registry import SessionView
from proxy.session.results import LocalResult
from proxy.session.session_values import SessionValues
from proxy.sql.plan import ShowWarningsPlan

_LIMIT = re.compile(r"\bLIMIT\s+(\d+)(?:\s*(,|OFFSET)\s*(\d+))?\s*$", re.IGNORECASE)


def show_warnings(plan: ShowWarningsPlan, conditions: Sequence[Condition]) -> LocalResult:
    if plan.errors_only:
        conditions = [condition for condition in conditions if condition.level == "Error"]
    if plan.count:
        name = "@@session.error_count" if plan.errors_only else "@@session.warning_count"
        return LocalResult.of((name,), [(len(conditions),)])
    skip, count = _limit(plan.text)
    end = None if count is None else skip + count
    return LocalResult.of(("Level", "Code", "Message"), conditions[skip:end])


def _limit(text: str) -> tuple[int, int | None]:
    """Rows to skip, rows to show."""
    found = _LIMIT.search(text)
    if found is None:
        return 0, None
    first, separator, second = int(found[1]), found[2], found[3]
    if second is None:
        return 0, first
    return (first, int(second)) if separator == "," else (int(second), first)


def overlay_variables(rows: Sequence[Row], values: SessionValues) -> list[Row]:
    """SHOW VARIABLES of a shard, with the values that the proxy holds in place of the shard's."""
    overlaid: list[Row] = []
    for row in rows:
        name = (row[0] or b"").decode("utf-8", "replace")
        shown = values.shown(name)
        overlaid.append(row if shown is None else (row[0], shown.encode()))
    return overlaid


_PROCESSLIST = ("Id", "User", "Host", "db", "Command", "Time", "State", "Info")


def show_processlist(views: Sequence[SessionView], user: str, *, full: bool) -> LocalResult:
    """The sessions that belong to the same account."""
    rows = []
    for view in views:
        if view.user != user:
            continue
        statement = view.statement if full or view.statement is None else view.statement[:100]
        command = "Sleep" if view.statement is None else "Query"
        state = (
            "" if view.transaction is None else f"in transaction {view.transaction.start_ts or ''}".rstrip()
        )
        rows.append(
            (
                view.connection_id,
                view.user,
                view.address,
                view.database,
                command,
                int(view.for_s),
                state,
                statement,
            )
        )
    return LocalResult.of(_PROCESSLIST, rows)
