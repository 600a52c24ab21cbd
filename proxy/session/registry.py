"""All sessions of this process: for KILL, SHOW PROCESSLIST, SHOW TXGUARD STATUS and the graceful stop.

The rule of KILL: a session may stop statements and connections of its own account only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from proxy.session.errors import NotThreadOwner, UnknownThread
from proxy.session.phases import Phase
from tso.types import ShardName, Timestamp


@dataclass(frozen=True, slots=True)
class TransactionView:
    """A session's open transaction at one moment."""

    start_ts: Timestamp | None
    read_ts: Timestamp | None
    state: str
    shards: tuple[ShardName, ...]
    age_s: float


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session at one moment. `statement` is None while it is idle; `for_s`: how long it has been as it is."""

    connection_id: int
    user: str
    address: str
    database: str | None
    phase: Phase
    statement: str | None
    for_s: float
    transaction: TransactionView | None


@dataclass(frozen=True, slots=True)
class Holding:
    """The transaction of a session whose statement has run for a while, with its shard connections at one moment."""

    connection_id: int
    start_ts: int
    threads: tuple[tuple[ShardName, int], ...]
    statement: bytes


class Registered(Protocol):
    """What the registry asks of a session.

    `holding`: None when it has no transaction, or no statement has run for so long. `lose`: give the transaction up,
    if it still is the running one, with 1213 to its client.
    """

    @property
    def connection_id(self) -> int: ...
    @property
    def user(self) -> str: ...
    def view(self) -> SessionView: ...
    def kill_query(self) -> None: ...
    def kill_connection(self) -> None: ...
    def holding(self, waits_long_s: float) -> Holding | None: ...
    def lose(self, start_ts: int) -> None: ...


@dataclass(slots=True)
class Counters:
    """Live figures of the process; SHOW TXGUARD STATUS and the metrics read them."""

    queries: int = 0
    fast_reads: int = 0
    fast_writes: int = 0
    errors: int = 0
    connections_total: int = 0


Answering = Callable[[Any], Any]
"""From what a colleague's question is about to the answer, both of what JSON has; not None."""


class Colleagues(Protocol):
    """The other processes that serve clients on the same address."""

    async def ask(self, question: str, about: Any = None) -> list[Any]:
        """The answers of those who gave one in time."""
        ...

    async def kill(self, connection_id: int, *, query_only: bool, user: str) -> None:
        """Raises UnknownThread or NotThreadOwner."""
        ...


class SessionRegistry:
    colleagues: Colleagues | None = None

    def __init__(self) -> None:
        self.started_at = time.monotonic()
        self.counters = Counters()
        self._sessions: dict[int, Registered] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Registered]:
        return iter(tuple(self._sessions.values()))

    def add(self, session: Registered) -> None:
        self._sessions[session.connection_id] = session
        self.counters.connections_total += 1

    def discard(self, session: Registered) -> None:
        self._sessions.pop(session.connection_id, None)

    def views(self) -> list[SessionView]:
        """Of this process."""
        return [session.view() for session in self]

    async def all_views(self) -> list[SessionView]:
        """Of all processes that share the address."""
        answers = [] if self.colleagues is None else await self.colleagues.ask("sessions")
        return self.views() + [parse_view(view) for answer in answers for view in answer]

    async def kill(self, connection_id: int, *, query_only: bool, user: str) -> None:
        """A session of any process that shares the address. Raises UnknownThread or NotThreadOwner."""
        if self.colleagues is not None and connection_id not in self._sessions:
            await self.colleagues.kill(connection_id, query_only=query_only, user=user)
        else:
            self.kill_here(connection_id, query_only=query_only, user=user)

    def kill_here(self, connection_id: int, *, query_only: bool, user: str) -> None:
        session = self._sessions.get(connection_id)
        if session is None:
            raise UnknownThread(connection_id)
        if session.user != user:
            raise NotThreadOwner(connection_id)
        if query_only:
            session.kill_query()
        else:
            session.kill_connection()

    # ------------------------------------------------------------ what colleagues ask

    def answering(self) -> dict[str, Answering]:
        return {"sessions": self._answer_sessions, "kill": self._answer_kill}

    def _answer_sessions(self, about: Any) -> Any:
        return [{**asdict(view), "phase": view.phase.value} for view in self.views()]

    def _answer_kill(self, about: Any) -> Any:
        """The name of the error, or "" where it worked."""
        connection_id, query_only, user = about
        try:
            self.kill_here(connection_id, query_only=query_only, user=user)
        except (UnknownThread, NotThreadOwner) as error:
            return type(error).__name__
        return ""


def parse_view(view: dict[str, Any]) -> SessionView:
    transaction = view["transaction"]
    if transaction is not None:
        transaction = TransactionView(**{**transaction, "shards": tuple(transaction["shards"])})
    return SessionView(**{**view, "phase": Phase(view["phase"]), "transaction": transaction})
