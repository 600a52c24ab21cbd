"""The commands that bring a statement: the fast path first, and what it declines to a coroutine.

Apart from `session.py`, whose coroutines are not compiled (scripts/compile_hook.py).
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from mypy_extensions import mypyc_attr

from proxy.executor.client import Client
from proxy.executor.execution import BoundStatement
from proxy.session.conversation import Conversation
from proxy.session.fast_path import FastPath
from proxy.session.prepared import PreparedStatements
from proxy.session.process import Process
from proxy.sql.plan import Planned

Pending = Coroutine[Any, Any, None] | None


@mypyc_attr(allow_interpreted_subclasses=True)
class StatementEntry:
    """One session's, which `Session` fills in."""

    def __init__(self, process: Process, client: Client) -> None:
        self._process = process
        self._client = client
        self._talk: Conversation
        self._fast_path: FastPath
        self._statements = PreparedStatements(process.limits.max_packet_bytes)

    def on_query(self, sql: bytes) -> Pending:
        self._process.registry.counters.queries += 1
        if self._client.multi_statements and b";" in sql:
            return self._guarded(sql, self._query_several(sql))
        try:
            planned = self._fast_path.query(sql)
        except Exception as error:
            self._talk.is_over()
            self._send_error(error)
            return None
        return None if planned is None else self._guarded(sql, self._query(planned))

    def on_execute(self, payload: bytes) -> Pending:
        self._process.registry.counters.queries += 1
        try:
            prepared, bound = self._statements.bind(payload)
            declined = self._fast_path.execute(bound)
        except Exception as error:
            self._talk.is_over()
            self._send_error(error)
            return None
        return None if declined is None else self._guarded(prepared.sql, self._query(*declined))

    # ------------------------------------------------------------ the session's

    def _query(
        self, planned: Planned, bound: BoundStatement | None = None, *, more: bool = False
    ) -> Coroutine[Any, Any, None]:
        raise NotImplementedError

    def _query_several(self, sql: bytes) -> Coroutine[Any, Any, None]:
        raise NotImplementedError

    def _guarded(self, statement: bytes, work: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
        raise NotImplementedError

    def _send_error(self, error: Exception) -> None:
        raise NotImplementedError
