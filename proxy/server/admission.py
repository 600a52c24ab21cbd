"""Whether a shard that returns may be used: fenced for the epoch, and agreeing with what was decided without it.

Owns the hook of the pools. The verdicts of all shards are read over connections of its own, because pools of shards
that return together would wait for each other; once for all shards that return within `REMEMBERED_S`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Final

from tso.types import ShardName
from txguard.engine.aiomysql_shard import AiomysqlConnection, Dsn
from txguard.engine.concurrent import settle
from txguard.engine.engine import Engine
from txguard.engine.shard import Connection
from txguard.engine.verdicts import (
    GivenVerdict,
    concerning,
    read_verdicts,
    require_agreement,
    undo_on_return,
)

REMEMBERED_S: Final = 0.5
READ_TIMEOUT_S: Final = 1.0


class Admission:
    def __init__(self, engine: Engine, addresses: Mapping[ShardName, Dsn]) -> None:
        self._engine, self._addresses = engine, addresses
        self._turn = asyncio.Lock()
        self._held: dict[ShardName, list[GivenVerdict]] = {}
        self._read_at = -REMEMBERED_S

    async def admit(self, name: ShardName, connection: Connection) -> None:
        """The pools' `on_connect`. Raises ShardUnavailable, or what fencing raises: the shard stays down then."""
        timeout_s = self._engine.settings.control_timeout_s
        verdicts = concerning(name, await self._verdicts())
        await require_agreement(name, connection, verdicts, timeout_s)
        await self._engine.prepare(name, connection)
        await undo_on_return(self._engine, connection, verdicts, timeout_s)

    async def _verdicts(self) -> Mapping[ShardName, list[GivenVerdict]]:
        """Of every shard that answers. Each holds copies of all verdicts that were given while it did."""
        async with self._turn:
            if monotonic() - self._read_at >= REMEMBERED_S:
                names = list(self._addresses)
                answers = await settle([self._read(name) for name in names])
                self._held = {
                    name: answer
                    for name, answer in zip(names, answers, strict=True)
                    if not isinstance(answer, Exception)
                }
                self._read_at = monotonic()
            return self._held

    async def _read(self, name: ShardName) -> list[GivenVerdict]:
        connection = await AiomysqlConnection.connect(self._addresses[name], READ_TIMEOUT_S)
        try:
            return await read_verdicts(connection, READ_TIMEOUT_S)
        finally:
            connection.abort()
