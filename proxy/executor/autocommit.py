"""[R5] A read of one shard outside any transaction: no timestamp, no BEGIN, validated before its rows go out.

A read of several rows stands only where at most one commit was under way on its shard meanwhile; otherwise it may be
a state that no snapshot shows, and the caller takes a snapshot. The same rules on two ways: `AutocommitRead.run` may
wait; the session's fast path does the steps without an await where nothing is in the way.
Source: docs/protocol.md, "Reads outside a snapshot".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proxy.backend.connection import BackendConnection
from proxy.backend.reply import RelayReply
from proxy.backend.statements import Statement
from proxy.executor.connections import SessionConnections
from tso.api import Tso
from tso.errors import TsoTimeout
from tso.types import ShardName
from txguard.engine import failpoints
from txguard.engine.settings import EngineSettings
from txguard.engine.shard import ConnectionLost
from txguard.errors import Conflict, LockWaitTimeout

VALIDATION_TRIES = 10
CONNECTION_TRIES = 2
"""A pooled connection may have died unnoticed: nothing has gone to the client, so the read is made once more."""


@dataclass(slots=True)
class AutocommitRead:
    """`validate`: False for a statement that touches no managed table."""

    shard: ShardName
    statement: Callable[[], Statement]
    connections: SessionConnections
    tso: Tso
    settings: EngineSettings
    validate: bool

    async def run(self) -> tuple[BackendConnection, RelayReply]:
        """A reply that stands; whoever has sent it on releases the connection. Raises the shard's error."""
        lost = 0
        for _ in range(VALIDATION_TRIES + CONNECTION_TRIES):
            connection = await self.connections.acquire(self.shard, self.settings.acquire_timeout_s)
            try:
                token = await self._token()
                _, reply = await connection.relay([], self.statement(), None)
                if await self.stands(token):
                    if reply.error is not None:
                        raise reply.error  # Perhaps about rows, so it too must not come of undecided ones.
                    return connection, reply
                await reply.drain()
            except ConnectionLost:
                self.connections.release(self.shard, connection)
                lost += 1
                if lost == CONNECTION_TRIES:
                    raise
            except BaseException:
                self.connections.release(self.shard, connection)
                raise
            else:
                self.connections.release(self.shard, connection)
        raise Conflict(
            f"reads on shard {self.shard} met commits that were rolled back again and again; try again"
        )

    async def _token(self) -> int:
        if not self.validate:
            return 0
        token = self.tso.read_token_nowait(self.shard)
        return await self.tso.read_token(self.shard) if token is None else token

    async def stands(self, token: int) -> bool:
        """Whether a read that began at `token` shows only what is committed. May wait."""
        if not self.validate or failpoints.active("without_R5"):
            return True
        stands = self.tso.validate_read_nowait(self.shard, token)
        if stands is not None:
            return stands
        try:
            return await self.tso.validate_read(self.shard, token, self.settings.barrier_timeout_s)
        except TsoTimeout as error:
            raise LockWaitTimeout(
                f"an undecided commit on {self.shard} did not end in time (SHOW TXGUARD LOCKS names it); try again"
            ) from error
