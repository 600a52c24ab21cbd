"""The events of a session's transaction that somebody awaits. Apart as `proxy/backend/awaited.py` is."""

from __future__ import annotations

import time

from proxy.executor.connections import SessionConnections
from proxy.executor.unit import Unit
from proxy.session.errors import UnknownSavepoint
from proxy.session.phases import Action, Event, Phase, transition
from proxy.session.state import Characteristics
from tso.types import Timestamp
from txguard.engine.branch import Isolation
from txguard.engine.commit_on import Rest
from txguard.engine.transaction import Transaction
from txguard.errors import TransactionLost


class AwaitedTransactions:
    """What SessionTransactions is made on."""

    phase: Phase
    unit: Unit | None
    _connections: SessionConnections
    _since: float

    def past(self, instant: Timestamp, *, implicit: bool = True) -> Unit:
        raise NotImplementedError

    def _open(self, isolation: Isolation, read_only: bool) -> Unit:
        raise NotImplementedError

    async def begin(self, characteristics: Characteristics, *, read_only: bool | None = None) -> Unit:
        """BEGIN, START TRANSACTION; `read_only` None: as the session's characteristics say."""
        await self._apply(Event.BEGIN)
        return self._open(*characteristics.take(read_only=read_only))

    async def begin_past(self, instant: Timestamp) -> Unit:
        """START TRANSACTION READ ONLY AS OF TIMESTAMP."""
        await self._apply(Event.BEGIN)
        self.unit = self.past(instant, implicit=False)
        self._since = time.monotonic()
        return self.unit

    async def for_statement(self, characteristics: Characteristics, *, autocommit: bool) -> Unit | None:
        """The transaction in which a statement on tables runs; None: none is open, it is its own."""
        if self.phase is Phase.IDLE and autocommit:
            return None
        action, phase = transition(self.phase, Event.STATEMENT)
        if action is Action.REFUSE:
            raise self._lost()
        self.phase = phase
        return self._open(*characteristics.take()) if action is Action.START else self.unit

    async def commit(self) -> None:
        await self._apply(Event.COMMIT)

    async def commit_implicit(self, unit: Unit) -> None:
        """The COMMIT of a unit that was made for one statement."""
        with self._connections.protected():
            await unit.transaction.commit()

    async def implicit_commit(self) -> None:
        await self._apply(Event.IMPLICIT_COMMIT)

    async def rollback(self) -> None:
        await self._apply(Event.ROLLBACK)

    async def reset(self) -> None:
        """The connection is reset, changes its user or ends."""
        await self._apply(Event.RESET)

    # ------------------------------------------------------------ savepoints

    async def savepoint(self, name: str) -> None:
        """Outside a transaction there is nothing to come back to: MySQL says OK."""
        if transaction := self._usable():
            await transaction.savepoint(name)

    async def rollback_to(self, name: str) -> None:
        await self._with_savepoint(name).rollback_to(name)

    async def release_savepoint(self, name: str) -> None:
        await self._with_savepoint(name).release_savepoint(name)

    def _with_savepoint(self, name: str) -> Transaction:
        transaction = self._usable()
        if transaction is None or not transaction.has_savepoint(name):
            raise UnknownSavepoint(name)
        return transaction

    # ------------------------------------------------------------ inside

    async def _apply(self, event: Event) -> None:
        action, phase = transition(self.phase, event)
        if action is Action.REFUSE:
            raise self._lost()
        self.phase = phase
        if action not in (Action.COMMIT, Action.COMMIT_AND_START, Action.ROLLBACK):
            return
        unit, self.unit = self.unit, None
        assert unit is not None
        if action is Action.ROLLBACK:
            await unit.transaction.rollback()
            return
        try:
            with self._connections.protected():
                await unit.transaction.commit()
        except BaseException:
            self.phase = Phase.IDLE
            raise

    def _usable(self) -> Transaction | None:
        if self.phase is Phase.LOST:
            raise self._lost()
        return None if self.unit is None else self.unit.transaction

    def _lost(self) -> TransactionLost:
        reason = "a shard was lost" if self.unit is None else self.unit.transaction.lost_reason
        return TransactionLost(f"{reason}; the transaction must be rolled back: send ROLLBACK")


async def unprotected_after(connections: SessionConnections, rest: Rest) -> None:
    try:
        await rest
    finally:
        connections.unprotect()
