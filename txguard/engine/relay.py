"""What the engine asks of the connections that a client's statements go over: protocols only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tso.types import ShardName
from txguard.engine.shard import Connection, Reply, Rows

OnReply = Callable[[Any, Exception | None], None]
"""Called once, with the client's reply or what was raised."""


class RelayConnection(Connection, Protocol):
    """A connection that can carry a client's statement behind the engine's control statements."""

    async def relay(
        self, prefix: Sequence[str], statement: Any, timeout_s: float | None
    ) -> tuple[list[Rows], Reply]:
        """Send both in one write; answer one Rows per prefix statement and the client's reply, undecoded.

        Raises ShardError when the prefix fails (the statement has then not run) and ConnectionLost.
        """
        ...

    def relay_nowait(
        self,
        statement: Any,
        on_reply: OnReply,
        timeout_s: float | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        """As `relay`, without a task, and without the prefix's answers. Raises ConnectionLost: nothing was sent."""
        ...

    @property
    def server_version(self) -> str:
        """As the server's greeting has it."""
        ...

    @property
    def in_transaction(self) -> bool:
        """SERVER_STATUS_IN_TRANS of the last answer that was no error."""
        ...


class Connections(Protocol):
    """Where a transaction gets its connections; the session's own settings are already applied to them."""

    def acquire_nowait(self, shard: ShardName) -> RelayConnection | None:
        """None: not without a wait."""
        ...

    async def acquire(self, shard: ShardName, timeout_s: float) -> RelayConnection: ...

    def release(self, shard: ShardName, connection: RelayConnection) -> None: ...
