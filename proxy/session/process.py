"""What every session of the process is given: the services below it, and the doors to what stands above it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from proxy.ddl.ddl import Ddl
from proxy.executor.services import Services
from proxy.session.killing import kill_thread
from proxy.session.profiles import ServerDefaults
from proxy.session.registry import SessionRegistry
from proxy.session.results import LocalResult
from proxy.session.shard_questions import SettingsMemory
from proxy.sql.plan import AdminShowPlan, Planned
from proxy.sql.planner import Planner
from tso.types import ShardName

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
        self.spawn(kill_thread(self.services, shard, thread_id, "QUERY" if query_only else "CONNECTION"))
