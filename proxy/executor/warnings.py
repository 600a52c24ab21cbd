"""SHOW WARNINGS and FOUND_ROWS() of a statement, asked of the shard's connection before another statement uses it."""

from __future__ import annotations

from typing import NamedTuple

from proxy.backend.connection import BackendConnection
from txguard.engine.shard import ConnectionLost, ShardError

LIMIT = 64
"""MySQL's own max_error_count on older versions; later ones keep up to 1,024."""


class Condition(NamedTuple):
    """One line of SHOW WARNINGS."""

    level: str
    errno: int
    message: str


async def fetch_warnings(connection: BackendConnection, timeout_s: float) -> list[Condition]:
    """Those of the connection's last statement; none when it cannot say any more."""
    try:
        answers = await connection.run([f"SHOW WARNINGS LIMIT {LIMIT}"], timeout_s)
    except (ShardError, ConnectionLost):
        return []
    return [
        Condition(_text(level), int(_text(code)), _text(message)) for level, code, message in answers[0].rows
    ]


async def fetch_found_rows(connection: BackendConnection, timeout_s: float) -> int | None:
    """FOUND_ROWS() of the connection's last statement; None when it cannot say any more."""
    try:
        answers = await connection.run(["SELECT FOUND_ROWS()"], timeout_s)
    except (ShardError, ConnectionLost):
        return None
    return int(_text(answers[0].rows[0][0]))


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
