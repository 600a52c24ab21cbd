"""One client's session: what the front connection hands commands to (`proxy.server.handler.Session`).

Owns the commands; those that bring a statement come by `entry.py`. What takes time runs as a coroutine under
`_guarded`, which turns whatever goes wrong into the client's error and keeps the phase of the transaction in line
with the engine's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Final

from proxy.executor.answers import Answer
from proxy.executor.client import Client, Login
from proxy.executor.client_errors import client_error
from proxy.executor.execution import BoundStatement
from proxy.executor.warnings import Condition
from proxy.session.conversation import Conversation
from proxy.session.entry import Pending, StatementEntry
from proxy.session.fast_path import FastPath
from proxy.session.field_list import field_list
from proxy.session.killing import kill_thread
from proxy.session.preparing import definitions
from proxy.session.process import Process
from proxy.session.query_engine import QueryEngine
from proxy.session.registry import Holding, SessionView
from proxy.sql.lexer import split_statements
from proxy.sql.plan import Planned
from proxy.wire.capabilities import Capability
from proxy.wire.packets import frame_all
from proxy.wire.responses import EofPacket, make_eof, make_variable_change
from proxy.wire.statements import make_prepare_ok
from txguard.engine.concurrent import gather

KILL_AGAIN_S: Final = 0.1


class Session(StatementEntry):
    def __init__(self, process: Process, client: Client, login: Login) -> None:
        super().__init__(process, client)
        self._login = login
        self._talk = Conversation(process, login, client.connection_id)
        self._query_engine = QueryEngine(self._talk)
        self._fast_path = FastPath(self._talk, client, self._query_engine, self._carry_on)
        if login.capabilities & Capability.SESSION_TRACK:
            client.session_state = self._session_state
        process.registry.add(self)

    # ------------------------------------------------------------ login and the end

    def on_login(self) -> Pending:
        database = self._login.database
        try:
            if database is not None:
                self._talk.access.require_database(database)
        except Exception as error:
            self._send_error(error)
            return None
        self._client.send_ok(status=self._talk.status())
        return None

    def on_change_user(self, login: Login) -> Pending:
        return self._guarded(b"COM_CHANGE_USER", self._change_user(login))

    async def _change_user(self, login: Login) -> None:
        await self._talk.transactions.reset()
        self._statements.clear()
        self._login = login
        self._talk = Conversation(self._process, login, self._client.connection_id)
        self._query_engine = QueryEngine(self._talk)
        self._fast_path = FastPath(self._talk, self._client, self._query_engine, self._carry_on)
        self.on_login()

    def on_reset_connection(self) -> Pending:
        return self._guarded(b"COM_RESET_CONNECTION", self._reset())

    async def _reset(self) -> None:
        await self._talk.transactions.reset()
        self._statements.clear()
        self._talk.start_afresh()
        self._client.send_ok(status=self._talk.status())

    def on_disconnect(self) -> None:
        """Nobody waits any more: stop what runs, so that its row locks are freed. A COMMIT comes to its end."""
        self._stop_running(query_only=False)
        self._talk.connections.abort_all()

    async def close(self) -> None:
        self._process.registry.discard(self)
        try:
            await self._talk.transactions.reset()
        except Exception as error:
            client_error(error)

    # ------------------------------------------------------------ statements

    async def _query_several(self, sql: bytes) -> None:
        """Each statement has its own result; the first that fails ends the command."""
        texts = split_statements(sql.decode("utf-8", "surrogateescape")) or [""]
        for index, text in enumerate(texts):
            self._talk.begins(sql)  # Each has its own time, and a KILL QUERY is for the one that it met.
            part = self._talk.limited(text.encode("utf-8", "surrogateescape"))
            planned = self._process.plan(part, self._talk.state.database)
            await self._query(planned, more=index + 1 < len(texts))

    async def _query(
        self, planned: Planned, bound: BoundStatement | None = None, *, more: bool = False
    ) -> None:
        talk = self._talk
        talk.executor.conditions = []
        answer = Answer(self._client, talk.status, binary=bound is not None, more=more)
        await self._query_engine.run(planned, answer, bound)
        self._finish(answer)

    def _finish(self, answer: Answer) -> None:
        """The last thing of a statement: the next command may begin inside."""
        self._talk.is_over()
        ends = self._talk.ends_with_answer
        answer.finish()
        if ends:
            self._client.kill()

    # ------------------------------------------------------------ prepared statements

    def on_prepare(self, sql: bytes) -> Pending:
        return self._guarded(sql, self._prepare(sql))

    async def _prepare(self, sql: bytes) -> None:
        talk = self._talk
        self._statements.forget_last()
        planned = self._process.plan(sql, talk.state.database, prepared=True)
        parameters, columns = await definitions(planned, sql, talk)
        prepared = self._statements.add(sql, planned.parameters)
        packets = make_prepare_ok(prepared.statement_id, parameters, columns, status=talk.status())
        self._client.finish(packets)

    def on_stmt_reset(self, statement_id: int) -> Pending:
        try:
            self._statements.reset(statement_id)
        except Exception as error:
            self._send_error(error)
            return None
        self._client.send_ok(status=self._talk.status())
        return None

    def on_stmt_close(self, statement_id: int) -> None:
        self._statements.close(statement_id)

    def on_send_long_data(self, statement_id: int, parameter: int, data: bytes) -> None:
        self._statements.add_long_data(statement_id, parameter, data)

    # ------------------------------------------------------------ the small commands

    def on_init_db(self, database: bytes) -> Pending:
        name = self._talk.state.charset.client.decode(database)
        try:
            self._talk.access.require_database(name)
        except Exception as error:
            self._send_error(error)
            return None
        self._talk.use(name)
        self._client.send_ok(status=self._talk.status())
        return None

    def on_ping(self) -> Pending:
        self._client.send_ok(status=self._talk.status())
        return None

    def on_field_list(self, table: bytes, wildcard: bytes) -> Pending:
        return self._guarded(b"COM_FIELD_LIST", self._field_list(table, wildcard))

    async def _field_list(self, table: bytes, wildcard: bytes) -> None:
        """The columns' definitions, each with its default at the end; no count in front."""
        talk = self._talk
        decode = talk.state.charset.client.decode
        fields = await field_list(talk, decode(table), decode(wildcard))
        talk.is_over()
        self._client.finish(
            frame_all([*fields, make_eof(EofPacket(talk.status()))], self._client.sequence)[0]
        )

    def on_statistics(self) -> str:
        registry = self._process.registry
        uptime = int(time.monotonic() - registry.started_at)
        return f"Uptime: {uptime}  Threads: {len(registry)}  Questions: {registry.counters.queries}"

    def on_kill(self, connection_id: int) -> Pending:
        return self._guarded(b"COM_PROCESS_KILL", self._kill(connection_id))

    async def _kill(self, connection_id: int) -> None:
        await self._process.registry.kill(connection_id, query_only=False, user=self.user)
        self._talk.is_over()
        self._client.send_ok(status=self._talk.status())

    # ------------------------------------------------------------ as others see it

    @property
    def connection_id(self) -> int:
        return self._client.connection_id

    @property
    def user(self) -> str:
        return self._login.user

    def view(self) -> SessionView:
        running = self._talk.running
        return SessionView(
            connection_id=self.connection_id,
            user=self.user,
            address=self._login.address,
            database=self._talk.state.database,
            phase=self._talk.transactions.phase,
            statement=None if running is None else running.decode("utf-8", "replace"),
            for_s=time.monotonic() - self._talk.since,
            transaction=self._talk.transactions.view(),
        )

    def holding(self, waits_long_s: float) -> Holding | None:
        talk = self._talk
        unit = talk.executor.unit or talk.transactions.unit
        if unit is None or unit.transaction.start_ts is None:
            return None
        if talk.running is None or time.monotonic() - talk.since <= waits_long_s:
            return None
        if not any(branch.variables_set for branch in unit.transaction.branches.values()):
            return None  # It has locked nothing, so nobody waits for it.
        threads = tuple((shard, held.thread_id) for held, shard in talk.connections.held.items())
        return Holding(self.connection_id, unit.transaction.start_ts, threads, talk.running)

    def lose(self, start_ts: int) -> None:
        unit = self._talk.executor.unit
        if unit is not None and unit.transaction.start_ts == start_ts:
            unit.lost_deadlock = True
            self._stop_running(query_only=True)

    def kill_query(self) -> None:
        if self._talk.running is not None:
            self._process.spawn(self._kill_statement())

    async def _kill_statement(self) -> None:
        """Again until it is over: a shard forgets a KILL that comes before the statement, as while that waits here."""
        talk, services = self._talk, self._process.services
        statement, since = talk.running, talk.since
        while talk.running is statement and talk.since == since:
            running = talk.connections.about_to_be_killed()
            await gather([kill_thread(services, shard, thread, "QUERY") for shard, thread in running])
            await asyncio.sleep(KILL_AGAIN_S)

    def kill_connection(self) -> None:
        self._client.kill()

    def _stop_running(self, *, query_only: bool) -> None:
        """From another connection: a thread that waits for a row lock does not notice that its socket ended."""
        for shard, thread_id in self._talk.connections.about_to_be_killed():
            self._process.kill_on_shard(shard, thread_id, query_only=query_only)

    def _session_state(self) -> bytes:
        """The start_ts of the open transaction, once: whoever loses the proxy in COMMIT then knows what to ask for."""
        unit = self._talk.transactions.unit
        if unit is None or unit.told or unit.transaction.start_ts is None:
            return b""
        unit.told = True
        return make_variable_change("txguard_start_ts", str(unit.transaction.start_ts))

    # ------------------------------------------------------------ errors

    async def _guarded(self, statement: bytes, work: Coroutine[Any, Any, None]) -> None:
        if statement:
            self._talk.begins(statement)
        try:
            await work
        except Exception as error:
            self._talk.transactions.observe()
            self._talk.is_over()
            self._send_error(error)

    def _carry_on(self, work: Coroutine[Any, Any, None]) -> None:
        """The fast path met something that takes time."""
        self._process.spawn(self._guarded(b"", work))

    def _send_error(self, error: Exception) -> None:
        answer = client_error(error)
        self._process.registry.counters.errors += 1
        self._talk.note_error(Condition("Error", answer.errno, answer.message))
        self._client.send_error(answer.errno, answer.sqlstate, answer.message)
