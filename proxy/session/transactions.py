"""A session's transaction: opens, ends and gives up the engine's, by the table in `phases.py`.

The rule: the phase and the engine's transaction always agree. After every failed statement `observe` brings the phase
in line with what the engine did (1213 rolls everything back; a lost shard leaves only ROLLBACK).
"""

from __future__ import annotations

import time
from functools import partial

from proxy.executor.connections import SessionConnections
from proxy.executor.unit import Unit
from proxy.session.errors import UnknownSavepoint
from proxy.session.phases import Action, Event, Phase, transition
from proxy.session.registry import TransactionView
from proxy.session.state import Characteristics
from tso.types import Timestamp
from txguard.engine.branch import Isolation
from txguard.engine.commit import commit_nowait
from txguard.engine.committing import OnDone, Rest
from txguard.engine.engine import Engine
from txguard.engine.past import PastTransaction
from txguard.engine.states import TransactionState
from txguard.engine.transaction import Transaction
from txguard.errors import TransactionLost


class SessionTransactions:
    def __init__(self, engine: Engine, connections: SessionConnections) -> None:
        self._engine, self._connections = engine, connections
        self.phase = Phase.IDLE
        self.unit: Unit | None = None
        """The session's open transaction, also while it is LOST."""
        self._latest: Transaction | None = None
        """The last one made, of a single statement's too, and the start_ts of the last before it that had one."""
        self._earlier_start_ts = 0
        self._since = 0.0

    @property
    def in_transaction(self) -> bool:
        """SERVER_STATUS_IN_TRANS."""
        return self.phase is not Phase.IDLE

    @property
    def read_only(self) -> bool:
        return self.unit is not None and self.unit.read_only

    @property
    def start_ts(self) -> int:
        """Of the open transaction (0: it has none yet), or of the last one when none is open (0: there was none)."""
        if self.unit is not None:
            return self.unit.transaction.start_ts or 0
        latest = None if self._latest is None else self._latest.start_ts
        return latest or self._earlier_start_ts

    # ------------------------------------------------------------ events

    async def begin(self, characteristics: Characteristics, *, read_only: bool | None = None) -> Unit:
        """BEGIN, START TRANSACTION; `read_only` None: as the session's characteristics say."""
        await self._apply(Event.BEGIN)
        return self._open(*characteristics.take(read_only=read_only))

    def begin_nowait(self, characteristics: Characteristics, *, read_only: bool | None) -> bool:
        """As `begin`, where no transaction is open. False: one is, nothing has happened."""
        if self.phase is not Phase.IDLE:
            return False
        _, self.phase = transition(Phase.IDLE, Event.BEGIN)
        self._open(*characteristics.take(read_only=read_only))
        return True

    async def begin_past(self, instant: Timestamp) -> Unit:
        """START TRANSACTION READ ONLY AS OF TIMESTAMP."""
        await self._apply(Event.BEGIN)
        self.unit = self.past(instant, implicit=False)
        self._since = time.monotonic()
        return self.unit

    def chain(self, ended: Unit | None, characteristics: Characteristics) -> Unit:
        """AND CHAIN: a new transaction like the one that has ended, or, when there was none, as BEGIN makes it."""
        _, self.phase = transition(self.phase, Event.BEGIN)
        if ended is None:
            return self._open(*characteristics.take())
        return self._open(ended.transaction.isolation, ended.read_only)

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

    def commit_nowait(self, on_done: OnDone) -> bool:
        """As `commit`, without a task. False: declined, nothing has happened."""
        unit = self.unit
        if self.phase is not Phase.OPEN or unit is None or not self.commit_implicit_nowait(unit, on_done):
            return False
        self.unit = None
        _, self.phase = transition(Phase.OPEN, Event.COMMIT)
        return True

    def commit_implicit_nowait(self, unit: Unit, on_done: OnDone) -> bool:
        """A unit's own COMMIT, without a task. False: declined, nothing has happened."""
        self._connections.protect()
        if commit_nowait(unit.transaction, partial(self._commit_over, on_done)):
            return True
        self._connections.unprotect()
        return False

    def _commit_over(self, on_done: OnDone, rest: Rest | None) -> None:
        if rest is not None:
            on_done(self._unprotected_after(rest))
        else:
            self._connections.unprotect()
            on_done(None)

    async def _unprotected_after(self, rest: Rest) -> None:
        try:
            await rest
        finally:
            self._connections.unprotect()

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

    def implicit(self, characteristics: Characteristics) -> Unit:
        """A transaction for one autocommit statement that writes or locks; the executor ends it."""
        isolation, read_only = characteristics.take()
        return self._unit(isolation, read_only, implicit=True)

    def implicit_read(self, characteristics: Characteristics) -> Unit:
        """For one autocommit read: a snapshot of its own is what every level promises, and SERIALIZABLE by itself."""
        _, read_only = characteristics.take()
        return self._unit(Isolation.REPEATABLE_READ, read_only, implicit=True)

    def past(self, instant: Timestamp, *, implicit: bool = True) -> Unit:
        """For one read at `instant`, whatever transaction is open."""
        transaction = PastTransaction(self._engine, self._connections, instant, implicit=implicit)
        return self._noted(transaction, read_only=True, implicit=implicit)

    def observe(self) -> None:
        """After a statement that failed: what the engine made of its transaction."""
        if self.unit is None or self.phase is not Phase.OPEN:
            return
        state = self.unit.transaction.state
        if state is TransactionState.LOST:
            _, self.phase = transition(self.phase, Event.SHARD_LOST)
        elif state is not TransactionState.ACTIVE:
            _, self.phase = transition(self.phase, Event.ROLLED_BACK)
            self.unit = None

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

    def _open(self, isolation: Isolation, read_only: bool) -> Unit:
        self.unit = self._unit(isolation, read_only, implicit=False)
        self._since = time.monotonic()
        return self.unit

    def _unit(self, isolation: Isolation, read_only: bool, *, implicit: bool) -> Unit:
        transaction = self._engine.transaction(self._connections, isolation, implicit=implicit)
        return self._noted(transaction, read_only=read_only, implicit=implicit)

    def _noted(self, transaction: Transaction, *, read_only: bool, implicit: bool) -> Unit:
        self._earlier_start_ts = self.start_ts
        self._latest = transaction
        return Unit(transaction, read_only, implicit)

    def _usable(self) -> Transaction | None:
        if self.phase is Phase.LOST:
            raise self._lost()
        return None if self.unit is None else self.unit.transaction

    def _lost(self) -> TransactionLost:
        reason = "a shard was lost" if self.unit is None else self.unit.transaction.lost_reason
        return TransactionLost(f"{reason}; the transaction must be rolled back: send ROLLBACK")

    def view(self) -> TransactionView | None:
        if self.unit is None:
            return None
        transaction = self.unit.transaction
        return TransactionView(
            transaction.start_ts,
            transaction.read_ts,
            transaction.state.value,
            tuple(transaction.branches),
            time.monotonic() - self._since,
        )
