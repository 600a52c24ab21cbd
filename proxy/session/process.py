"""What every session of the process is given: the services below it, and the doors to what stands above it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from proxy.ddl.ddl import Ddl
from proxy.executor.services import Services
from proxy.session.profiles import ServerDefaults
from proxy.session.registry import SessionRegistry
from proxy.session.results import LocalResult
from proxy.session.shard_questions import SettingsMemory
from proxy.sql.plan import AdminShowPlan, Planned
from proxy.sql.planner import Planner
from tso.types import ShardName
from txguard.engine.shard import ConnectionLost, ShardError, ShardUnavailable, borrow

AdminCommand = Callable[[AdminShowPlan], Awaitable[LocalResult]]


@dataclass(frozen=True, slots=True)
class Limits:
    max_packet_bytes: int
    port: int


@dataclass(frozen=True, slots=True)
class Process:
    services: Services
    planner: Planner
    registry: SessionRegistry
    ddl: Ddl
    admin: AdminCommand
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    """Runs what no command waits for; the server owns it and ends it."""
    allowed_databases: Callable[[str], frozenset[str] | None]
    """Those that a user may use; None: all."""
    limits: Limits
    memory: SettingsMemory = field(default_factory=SettingsMemory)
    defaults: ServerDefaults = field(default_factory=ServerDefaults)

    def plan(self, sql: bytes, database: str | None, *, prepared: bool = False) -> Planned:
        """Raises ParseError, NotSupported and the errors of names that do not exist."""
        return self.planner.plan(sql, self.services.catalog_store.current, database, prepared=prepared)

    def kill_on_shard(self, shard: ShardName, thread_id: int, *, query_only: bool) -> None:
        """Stop what a shard's thread runs, from another connection; in the background."""
        self.spawn(_kill(self.services, shard, thread_id, "QUERY" if query_only else "CONNECTION"))


async def _kill(services: Services, shard: ShardName, thread_id: int, what: str) -> None:
    """A shard that does not answer, or a thread that is gone already, needs no killing."""
    settings = services.engine.settings
    try:
        async with borrow(services.engine.shards[shard], settings.acquire_timeout_s) as connection:
            await connection.run([f"KILL {what} {thread_id}"], settings.control_timeout_s)
    except (ShardUnavailable, ShardError, ConnectionLost):
        pass
