"""Do the user's invariants hold? All of them in one transaction on one snapshot, through the proxy.

`START TRANSACTION WITH CONSISTENT SNAPSHOT` is a quiet snapshot there: every shard at the same instant,
writers held back for milliseconds at most. `@transactional` repeats the whole transaction where it meets a
conflict or loses its connection.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from pymysql.err import MySQLError

from txguard.errors import TxGuardError
from txguard.inspector.invariants import Invariant, is_expected
from txguard.inspector.report import Finding, Verdict
from txguard.transactional import AiomysqlConnection, transactional
from txguard.transactional.classify import Failure, classify

_TOLD: Final = 3
"""How many of the rows that should not be there a finding shows."""


async def check_invariants(
    dsn: str, invariants: Sequence[Invariant], deadline_s: float
) -> tuple[Finding, ...]:
    """Never raises for a proxy that does not answer: the invariants are then unchecked."""

    @transactional(dsn, read_only=True, consistent_snapshot=True, deadline_s=deadline_s)
    async def check(connection: AiomysqlConnection) -> tuple[Finding, ...]:
        return tuple([await _check(connection, invariant) for invariant in invariants])

    try:
        return await check()
    except (OSError, MySQLError, TxGuardError) as error:
        reason = f"the proxy cannot be asked: {error.__cause__ or error}"
        return tuple(Finding(invariant.name, Verdict.UNCHECKED, reason) for invariant in invariants)


async def _check(connection: AiomysqlConnection, invariant: Invariant) -> Finding:
    """Raises what makes the transaction run again; an error of the query itself is the finding."""
    started = time.monotonic()
    try:
        async with connection.cursor() as cursor:
            await cursor.execute(invariant.query)
            rows = await cursor.fetchall()
    except MySQLError as error:
        if classify(error) is not Failure.FATAL:
            raise
        verdict, detail = Verdict.UNCHECKED, str(error)
    else:
        verdict, detail = judge(invariant, rows)
    return Finding(invariant.name, verdict, detail, (time.monotonic() - started) * 1000)


def judge(invariant: Invariant, rows: Sequence[Sequence[Any]]) -> tuple[Verdict, str]:
    """Compare what was read with what must be."""
    if invariant.expected is None:
        if not rows:
            return Verdict.HOLDS, ""
        shown = "; ".join(", ".join(map(_shown, row)) for row in rows[:_TOLD])
        return Verdict.VIOLATED, f"{len(rows)} row(s): {shown}{' …' if len(rows) > _TOLD else ''}"
    if not rows:
        return Verdict.VIOLATED, f"no row, expected {invariant.expected}"
    if len(rows) > 1 or len(rows[0]) != 1:
        return Verdict.UNCHECKED, f"{len(rows)} row(s) of {len(rows[0])} column(s), where one value is wanted"
    (value,) = rows[0]
    if is_expected(value, invariant.expected):
        return Verdict.HOLDS, ""
    return Verdict.VIOLATED, f"{_shown(value)}, expected {invariant.expected}"


def _shown(value: object) -> str:
    if value is None:
        return "NULL"
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
