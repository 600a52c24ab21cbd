"""What belongs to one session, gathered where its statements find it.

The rule: whatever changes the session's settings calls `settings_changed`, so that the profile of its shard connections
and the reading of its values are never older than its state.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

from proxy.executor.answers import Answer
from proxy.executor.client import Login
from proxy.executor.connections import SessionConnections
from proxy.executor.execution import Reading
from proxy.executor.executor import Executor
from proxy.executor.unit import Unit
from proxy.executor.warnings import Condition
from proxy.session.access import Access
from proxy.session.process import Process
from proxy.session.profiles import profile_of, reading_of
from proxy.session.questions import Questions
from proxy.session.session_values import Identity, SessionValues
from proxy.session.state import SessionState, fresh_state
from proxy.session.transactions import SessionTransactions
from proxy.sql.select_limit import NO_LIMIT, limited
from proxy.wire.capabilities import Capability

CarryOn = Callable[[Coroutine[Any, Any, None]], None]
"""Runs the rest of a command as a task, with the session's handling of errors."""


class Conversation:
    def __init__(self, process: Process, login: Login, connection_id: int) -> None:
        self.process = process
        services = process.services
        self._found_rows = bool(login.capabilities & Capability.FOUND_ROWS)
        self._collation = login.collation
        self.state: SessionState = fresh_state(login.database, login.collation)
        host = login.address.rpartition(":")[0] or "localhost"
        identity = Identity(
            connection_id, login.user, host, process.limits.port, process.limits.max_packet_bytes
        )
        profile = profile_of(self.state, process.defaults, found_rows=self._found_rows)
        self.connections = SessionConnections(services.pools, profile)
        self.executor = Executor(services, self.connections)
        self.questions = Questions(services, self.executor)
        self.transactions = SessionTransactions(services.engine, self.connections)
        self.values = SessionValues(self.state, identity, self.questions, lambda: self.transactions.start_ts)
        allowed = process.allowed_databases(login.user)
        self.access = Access(login.user, host, allowed, lambda: services.catalog_store.current)
        self.reading: Reading = reading_of(self.state, process.defaults)
        self.ends_with_answer = False
        """COMMIT RELEASE: the connection is closed after this answer."""
        self.running: bytes | None = None
        """The statement in hand, for the process list."""
        self.since = monotonic()

    def limited(self, sql: bytes) -> bytes:
        """The statement under the session's sql_select_limit."""
        limit = self.state.variables.get("sql_select_limit")
        if limit is None or limit == NO_LIMIT:
            return sql
        text = limited(sql.decode("utf-8", "surrogateescape"), int(limit))
        return text.encode("utf-8", "surrogateescape")

    def begins(self, statement: bytes) -> None:
        self.running, self.since = statement, monotonic()

    def is_over(self) -> None:
        self.running, self.since = None, monotonic()

    def settings_changed(self) -> None:
        state, defaults = self.state, self.process.defaults
        self.connections.change_profile(profile_of(state, defaults, found_rows=self._found_rows))
        self.reading = reading_of(state, defaults)

    def use(self, database: str | None) -> None:
        self.state.database = database
        self.settings_changed()

    def start_afresh(self) -> None:
        """COM_RESET_CONNECTION: everything but the current database."""
        self.state = fresh_state(self.state.database, self._collation)
        self.values.state = self.state
        self.settings_changed()

    def status(self) -> int:
        """The flags of an OK or EOF packet."""
        transactions = self.transactions
        return self.state.status(in_transaction=transactions.in_transaction, read_only=transactions.read_only)

    def implicit(self) -> Unit:
        return self.transactions.implicit(self.state.characteristics)

    def implicit_read(self) -> Unit:
        return self.transactions.implicit_read(self.state.characteristics)

    def note_result(self, answer: Answer, *, touches_tables: bool = False) -> None:
        """What ROW_COUNT(), FOUND_ROWS() and SHOW WARNINGS say from now on.

        As in MySQL a statement without tables leaves the warnings of the one before, unless it has some itself.
        """
        diagnostics = self.state.diagnostics
        diagnostics.row_count = -1 if answer.figures is None else answer.figures.affected_rows
        diagnostics.found_rows = answer.rows_sent if answer.figures is None else 0
        if touches_tables or self.executor.conditions:
            diagnostics.conditions = self.executor.conditions

    def note_error(self, condition: Condition) -> None:
        diagnostics = self.state.diagnostics
        diagnostics.row_count = -1
        diagnostics.conditions = [*self.executor.conditions, condition]
