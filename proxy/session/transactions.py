"""A session's transaction: opens, ends and gives up the engine's, by the table in `phases.py`.

The rule: the phase and the engine's transaction always agree. After every failed statement `observe` brings the phase
in line with what the engine did (1213 rolls everything back; a lost shard leaves only ROLLBACK).
"""

from __future__ import annotations

import time

from proxy.session.errors import UnknownSavepoint
from proxy.session.phases import Action, Event, Phase, transition
from proxy.session.registry import TransactionView
from proxy.session.state import Characteristics
from txguard.engine.branch import Connections, Isolation
from txguard.engine.engine import Engine
from txguard.engine.states import TransactionState
from txguard.engine.transaction import Transaction
from txguard.errors import TransactionLost


class SessionTransactions:
    def __init__(self, engine: Engine, connections: Connections) -> None:
        self._engine, self._connections = engine, connections
        self.phase = Phase.IDLE
        self.current: Transaction | None = None
        self.read_only = False
        self._since = 0.0

    @property
    def in_transaction(self) -> bool:
        """SERVER_STATUS_IN_TRANS."""
        return self.phase is not Phase.IDLE

    # ------------------------------------------------------------ events

    async def begin(self, characteristics: Characteristics, *, read_only: bool | None = None) -> Transaction:
        """BEGIN, START TRANSACTION."""
        await self._apply(Event.BEGIN)
        return self._start(characteristics, read_only)

    def chain(self, isolation: Isolation, read_only: bool) -> Transaction:
        """COMMIT AND CHAIN: a new transaction like the one that has ended."""
        _, self.phase = transition(self.phase, Event.BEGIN)
        return self._open(isolation, read_only)

    async def for_statement(
        self, characteristics: Characteristics, *, autocommit: bool
    ) -> Transaction | None:
        """The transaction in which a statement on tables runs; None: none is open, it is its own."""
        if self.phase is Phase.IDLE and autocommit:
            return None
        action, _ = transition(self.phase, Event.STATEMENT)
        if action is Action.REFUSE:
            raise self._lost()
        if action is Action.START:
            self.phase = Phase.OPEN
            return self._start(characteristics, None)
        return self.current

    async def commit(self) -> None:
        await self._apply(Event.COMMIT)

    async def implicit_commit(self) -> None:
        await self._apply(Event.IMPLICIT_COMMIT)

    async def rollback(self) -> None:
        await self._apply(Event.ROLLBACK)

    async def reset(self) -> None:
        """The connection is reset, changes its user or ends."""
        await self._apply(Event.RESET)

    def implicit(self, characteristics: Characteristics) -> tuple[Transaction, bool]:
        """A transaction for one autocommit statement, and whether it is read only; the caller ends it."""
        isolation, read_only = characteristics.take()
        return self._engine.transaction(self._connections, isolation, implicit=True), read_only

    def observe(self) -> None:
        """After a statement that failed: what the engine made of its transaction."""
        transaction = self.current
        if transaction is None or self.phase is not Phase.OPEN:
            return
        if transaction.state is TransactionState.LOST:
            _, self.phase = transition(self.phase, Event.SHARD_LOST)
        elif transaction.state is not TransactionState.ACTIVE:
            _, self.phase = transition(self.phase, Event.ROLLED_BACK)
            self._forget()

    # ------------------------------------------------------------ savepoints

    async def savepoint(self, name: str) -> None:
        """Outside a transaction there is nothing to come back to: MySQL says OK."""
        if transaction := self._usable():
            await transaction.savepoint(name)

    async def rollback_to(self, name: str) -> None:
        transaction = self._usable()
        if transaction is None or not transaction.has_savepoint(name):
            raise UnknownSavepoint(name)
        await transaction.rollback_to(name)

    async def release_savepoint(self, name: str) -> None:
        transaction = self._usable()
        if transaction is None or not transaction.has_savepoint(name):
            raise UnknownSavepoint(name)
        await transaction.release_savepoint(name)

    # ------------------------------------------------------------ inside

    async def _apply(self, event: Event) -> None:
        action, phase = transition(self.phase, event)
        if action is Action.REFUSE:
            raise self._lost()
        transaction, self.phase = self.current, phase
        if action in (Action.COMMIT, Action.COMMIT_AND_START, Action.ROLLBACK):
            self._forget()
            assert transaction is not None
            if action is Action.ROLLBACK:
                await transaction.rollback()
                return
            try:
                await transaction.commit()
            except BaseException:
                self.phase = Phase.IDLE
                raise

    def _start(self, characteristics: Characteristics, read_only: bool | None) -> Transaction:
        isolation, default_read_only = characteristics.take()
        return self._open(isolation, default_read_only if read_only is None else read_only)

    def _open(self, isolation: Isolation, read_only: bool) -> Transaction:
        self.current = self._engine.transaction(self._connections, isolation)
        self.read_only = read_only
        self._since = time.monotonic()
        return self.current

    def _forget(self) -> None:
        self.current, self.read_only = None, False

    def _usable(self) -> Transaction | None:
        if self.phase is Phase.LOST:
            raise self._lost()
        return self.current

    def _lost(self) -> TransactionLost:
        reason = self.current.lost_reason if self.current is not None else "a shard was lost"
        return TransactionLost(f"{reason}; the transaction must be rolled back: send ROLLBACK")

    def view(self) -> TransactionView | None:
        transaction = self.current
        if transaction is None:
            return None
        return TransactionView(
            transaction.start_ts,
            transaction.read_ts,
            transaction.state.value,
            tuple(transaction.branches),
            time.monotonic() - self._since,
        )
