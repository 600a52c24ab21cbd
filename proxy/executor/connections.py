"""The shard connections that work for one session: settings applied, and known to whoever must stop them.

Owns `SessionConnections`, which is the engine's `Connections`. The rule: a setting that changes inside a
transaction is put on the connections that the transaction holds, with their next packet.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from proxy.backend.connection import BackendConnection
from proxy.backend.pool import BackendPool
from proxy.backend.profile import SessionProfile
from proxy.executor.acquired import acquired
from tso.types import ShardName
from txguard.engine.relay import RelayConnection

Pools = Mapping[ShardName, BackendPool]


class SessionConnections:
    __slots__ = ("_pools", "_protected", "held", "profile")

    def __init__(self, pools: Pools, profile: SessionProfile) -> None:
        self._pools = pools
        self.profile = profile
        self.held: dict[BackendConnection, ShardName] = {}
        self._protected = 0

    def change_profile(self, profile: SessionProfile) -> None:
        """The session has set something."""
        if profile == self.profile:
            return
        self.profile = profile
        for connection in self.held:
            connection.wanted_profile = connection.profile if connection.profile == profile else profile

    def acquire_nowait(self, shard: ShardName) -> BackendConnection | None:
        connection = self._pools[shard].lending.take(self.profile)
        if connection is not None:
            self.held[connection] = shard
        return connection

    def acquire(self, shard: ShardName, timeout_s: float) -> Coroutine[Any, Any, BackendConnection]:
        """Raises ShardUnavailable."""
        return acquired(self, self._pools[shard], shard, timeout_s)

    def release(self, shard: ShardName, connection: RelayConnection) -> None:
        assert isinstance(connection, BackendConnection)
        self.held.pop(connection, None)
        self._pools[shard].lending.give_back(connection)

    @contextmanager
    def protected(self) -> Iterator[None]:
        """During a COMMIT: the client may vanish, the commit comes to its end."""
        self.protect()
        try:
            yield
        finally:
            self.unprotect()

    def protect(self) -> None:
        self._protected += 1

    def unprotect(self) -> None:
        self._protected -= 1

    def abort_all(self) -> None:
        """Drop every connection, unless a COMMIT runs: whoever waits on one gets ConnectionLost."""
        if not self._protected:
            for connection in tuple(self.held):
                connection.abort()

    def about_to_be_killed(self) -> list[tuple[ShardName, int]]:
        """The shard and thread id of every connection that runs a statement now; none during a COMMIT.

        They serve nobody after this session: a KILL that comes late meets what the connection runs then.
        """
        if self._protected:
            return []
        running = [(connection, shard) for connection, shard in self.held.items() if connection.busy]
        for connection, _ in running:
            connection.distrust()
        return [(shard, connection.thread_id) for connection, shard in running]
