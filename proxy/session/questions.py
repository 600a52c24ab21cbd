"""A session's questions to any one shard: `shard_questions.Shards`, by way of the executor."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from proxy.executor.executor import Executor
from proxy.executor.services import Services
from proxy.session.state import UserValue
from proxy.wire.columns import BINARY_COLLATION, ColumnDefinition
from proxy.wire.field_types import INTEGER_WIDTHS, FieldType
from txguard.engine.shard import Rows, ShardError


class Questions:
    def __init__(self, services: Services, executor: Executor) -> None:
        self._services, self._executor = services, executor

    async def evaluate(self, expression: str) -> UserValue:
        """Raises ShardError as the shard does."""
        reply = await self._executor.ask(self._services.pick_any(), f"SELECT {expression}")
        return typed(reply.rows()[0][0], reply.columns()[0])

    async def ask(self, statements: Sequence[str]) -> list[Rows]:
        """Statements that leave the connection's settings as they found them; one that fails half-way is dropped."""
        settings = self._services.engine.settings
        shard = self._services.pick_any()
        connection = await self._executor.connections.acquire(shard, settings.acquire_timeout_s)
        try:
            return await connection.run(statements, settings.control_timeout_s)
        except ShardError:
            connection.abort()
            raise
        finally:
            self._executor.connections.release(shard, connection)


def typed(text: bytes | None, column: ColumnDefinition) -> UserValue:
    """A value of the text protocol, in the type of its column."""
    if text is None:
        return None
    if column.type in INTEGER_WIDTHS:
        return int(text)
    if column.type in (FieldType.DECIMAL, FieldType.NEWDECIMAL):
        return Decimal(text.decode("ascii"))
    if column.type in (FieldType.FLOAT, FieldType.DOUBLE):
        return float(text)
    if column.character_set == BINARY_COLLATION and column.type in _STRINGS:
        return text
    return text.decode("utf-8", "surrogateescape")


_STRINGS = frozenset(
    (
        FieldType.VAR_STRING,
        FieldType.STRING,
        FieldType.VARCHAR,
        FieldType.BLOB,
        FieldType.TINY_BLOB,
        FieldType.MEDIUM_BLOB,
        FieldType.LONG_BLOB,
        FieldType.BIT,
    )
)
