"""The requests of a shard connection that somebody awaits.

Apart from `connection.py`, which mypyc compiles: a compiled coroutine that is cancelled can bring the interpreter down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from proxy.backend.exchange import CommandExchange, ControlExchange, Exchange, Leading
from proxy.backend.prepared_exchange import PreparedExchange
from proxy.backend.profile import SessionProfile
from proxy.backend.reply import PrepareReply, RelayReply
from proxy.backend.statement_cache import StatementCache
from proxy.backend.statements import Statement
from proxy.wire.commands import Command
from txguard.engine.shard import Rows

OnReply = Callable[[RelayReply | None, Exception | None], None]
"""Called once: the reply, or a ShardError (of a leading statement), ConnectionLost or OutOfMergeMemory."""


class AwaitedRequests(asyncio.Protocol):
    """What BackendConnection is made on. Who is cancelled in the middle of a request aborts the connection."""

    __slots__ = ()

    statements: StatementCache
    wanted_profile: SessionProfile | None
    _loop: asyncio.AbstractEventLoop

    def abort(self) -> None:
        raise NotImplementedError

    def _begin(self, exchange: Exchange, on_done: OnReply, timeout_s: float | None) -> None:
        raise NotImplementedError

    def _leading(self, prefix: Sequence[str], *, decoded: bool = True) -> Leading:
        raise NotImplementedError

    def _relay_exchange(self, statement: Statement, leading: Leading) -> Exchange:
        raise NotImplementedError

    async def relay(
        self, prefix: Sequence[str], statement: Statement, timeout_s: float | None
    ) -> tuple[list[Rows], RelayReply]:
        """The prefix's answers, decoded, and the statement's reply, which may be incomplete (`stream`).

        Raises ShardError when the prefix fails; a failing switch of profile is the prefix's failure, or the
        reply's `error` where there is no prefix.
        """
        exchange = self._relay_exchange(statement, self._leading(prefix))
        reply = await self._run(exchange, timeout_s)
        assert reply is not None
        return exchange.rows, reply

    async def run(self, statements: Sequence[str], timeout_s: float | None) -> list[Rows]:
        """Control statements in one packet, decoded. Raises ShardError at the first that fails."""
        exchange = ControlExchange(self._leading(statements))
        await self._run(exchange, timeout_s)
        return exchange.rows

    async def prepare(self, sql: bytes, timeout_s: float | None) -> PrepareReply:
        """Prepare `sql` for later executes and give its definitions. The reply's `error`: it cannot be."""
        exchange = PreparedExchange(sql, None, self._leading(()), self.statements, self.wanted_profile)
        await self._run(exchange, timeout_s)
        assert exchange.definitions is not None
        return exchange.definitions

    async def ping(self, timeout_s: float | None) -> None:
        """Raises ConnectionLost."""
        await self._run(CommandExchange(bytes((Command.COM_PING,))), timeout_s)

    async def _run(self, exchange: Exchange, timeout_s: float | None) -> RelayReply | None:
        waiter: asyncio.Future[RelayReply | None] = self._loop.create_future()
        self._begin(exchange, partial(_settle, waiter), timeout_s)
        try:
            return await waiter
        except asyncio.CancelledError:
            self.abort()
            raise


def _settle(
    waiter: asyncio.Future[RelayReply | None], reply: RelayReply | None, error: Exception | None
) -> None:
    if waiter.done():
        return
    if error is not None:
        waiter.set_exception(error)
    else:
        waiter.set_result(reply)
