"""A session's transaction: opens, ends and gives up the engine's, by the table in `phases.py`.

The rule: the phase and the engine's transaction always agree. After every failed statement `observe` brings the phase
in line with what the engine did (1213 rolls everything back; a lost shard leaves only ROLLBACK).
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from proxy.executor.connections import SessionConnections
from proxy.executor.unit import Unit
from proxy.session.awaited_transactions import AwaitedTransactions, unprotected_after
from proxy.session.phases import Event, Phase, transition
from proxy.session.registry import TransactionView
from proxy.session.state import Characteristics
from tso.types import Timestamp
from txguard.engine.branch import Isolation
from txguard.engine.commit_on import OnDone, Rest
from txguard.engine.committing import commit_nowait
from txguard.engine.engine import Engine
from txguard.engine.past import PastTransaction
from txguard.engine.states import TransactionState
from txguard.engine.transaction import Transaction

_BEGUN: Final = transition(Phase.IDLE, Event.BEGIN)[1]
_COMMITTED: Final = transition(Phase.OPEN, Event.COMMIT)[1]


class SessionTransactions(AwaitedTransactions):
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

    def begin_nowait(self, characteristics: Characteristics, *, read_only: bool | None) -> bool:
        """As `begin`, where no transaction is open. False: one is, nothing has happened."""
        if self.phase is not Phase.IDLE:
            return False
        self.phase = _BEGUN
        self._open(*characteristics.take(read_only=read_only))
        return True

    def chain(self, ended: Unit | None, characteristics: Characteristics) -> Unit:
        """AND CHAIN: a new transaction like the one that has ended, or, when there was none, as BEGIN makes it."""
        _, self.phase = transition(self.phase, Event.BEGIN)
        if ended is None:
            return self._open(*characteristics.take())
        return self._open(ended.transaction.isolation, ended.read_only)

    def commit_nowait(self, on_done: OnDone) -> bool:
        """As `commit`, without a task. False: declined, nothing has happened."""
        unit = self.unit
        if self.phase is not Phase.OPEN or unit is None or not self.commit_implicit_nowait(unit, on_done):
            return False
        self.unit = None
        self.phase = _COMMITTED
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
            on_done(unprotected_after(self._connections, rest))
        else:
            self._connections.unprotect()
            on_done(None)

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

    # ------------------------------------------------------------ inside

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
