"""What a session asks a shard connection to relay.

`stream` and `limit_bytes` say what may happen to a large answer. Streamed (the default), it is handed over in
chunks while the shard is held back, so memory stays bounded. Not streamed (for merges), it is collected
whole, up to `limit_bytes`.
"""

from __future__ import annotations

from typing import NamedTuple

HIGH_WATER_BYTES = 1024 * 1024
"""How much of a streamed answer is held at once."""


class TextStatement:
    """COM_QUERY: one statement in the session's character set, without a semicolon at its end."""

    __slots__ = ("limit_bytes", "sql", "stream")

    def __init__(self, sql: bytes, stream: bool = True, limit_bytes: int | None = None) -> None:
        self.sql, self.stream, self.limit_bytes = sql, stream, limit_bytes


class PreparedStatement(NamedTuple):
    """COM_STMT_EXECUTE of `sql`, which each connection prepares when it first meets it."""

    sql: bytes
    payload: bytes
    """The client's whole COM_STMT_EXECUTE; its statement id is replaced."""
    num_params: int
    param_types: bytes
    """Two bytes for each parameter, as the client bound them now or in an earlier execute."""
    long_data: tuple[tuple[int, bytes], ...] = ()
    """(parameter, value) of COM_STMT_SEND_LONG_DATA, to be sent ahead."""
    stream: bool = True
    limit_bytes: int | None = None


Statement = TextStatement | PreparedStatement
