"""A transaction as a value: what it has begun, seen and written, and what of it needs no wait.

Apart from `transaction.py`, whose coroutines are not compiled (scripts/compile_hook.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

from tso.clock import MAX_TIMESTAMP
from tso.types import ShardName, Timestamp
from txguard.engine import savepoints
from txguard.engine.branch import Branch, Isolation, set_snapshot, set_variables, start_statements
from txguard.engine.failures import CONFLICT_ERRNOS, LOST_ERRNOS
from txguard.engine.relay import Connections
from txguard.engine.shard import ConnectionLost, Reply
from txguard.engine.sqltext import quote
from txguard.engine.states import TransactionState
from txguard.errors import Conflict, TransactionLost

if TYPE_CHECKING:
    from txguard.engine.engine import Engine


@mypyc_attr(allow_interpreted_subclasses=True)
class TransactionBase:
    def __init__(
        self,
        engine: Engine,
        connections: Connections,
        isolation: Isolation = Isolation.REPEATABLE_READ,
        *,
        implicit: bool = False,
    ) -> None:
        self.engine = engine
        self.connections = connections
        self.isolation = isolation
        self.implicit = implicit
        """A single autocommit statement: a failed one is rolled back as a whole, with no savepoint."""
        self.state = TransactionState.ACTIVE
        self.start_ts: Timestamp | None = None
        self.floor = Timestamp(0)
        self.read_ts: Timestamp | None = None
        self.commit_ts: Timestamp | None = None
        self.branches: dict[ShardName, Branch] = {}
        self.written_by = MAX_TIMESTAMP
        """What `Tso.latest_nowait` said once the last write was answered."""
        self.savepoints: list[str] = []
        self.lost_reason = ""
        self.epoch = 0
        """The oracle's when the transaction began: its commit records go through that one's view."""
        self.sent = False
        """Whether the running statement has sent what may change something."""

    @property
    def compared_ts(self) -> Timestamp | None:
        """[R1] The snapshot that a write may overwrite nothing newer than; None: it may overwrite what it finds."""
        return None if self.isolation is Isolation.LAX_REPEATABLE_READ else self.read_ts

    def require_active(self) -> None:
        if self.state is TransactionState.LOST:
            raise TransactionLost(f"{self.lost_reason}; the transaction must be rolled back: send ROLLBACK")
        if self.state is not TransactionState.ACTIVE:
            raise Conflict(f"the transaction is already {self.state.value}")

    def started(self) -> Timestamp:
        assert self.start_ts is not None
        return self.start_ts

    def has_savepoint(self, name: str) -> bool:
        return savepoints.key(name) in self.savepoints

    def opening(self, branch: Branch) -> list[str]:
        """What must go in front of a current read or a write on this branch; it counts as sent."""
        prefix: list[str] = []
        if not branch.opened:
            prefix += start_statements(self.isolation, with_view=False)
            if self.savepoints and self.isolation is Isolation.SERIALIZABLE:
                # So that no roll-back frees what it is going to lock.
                branch.savepoints = list(self.savepoints)
                prefix += [f"SAVEPOINT {quote(name)}" for name in branch.savepoints]
        if not branch.variables_set:
            prefix.append(set_variables(self.started(), self.floor, self.compared_ts, branch.too_new))
        elif branch.snapshot_unset:
            prefix.append(set_snapshot(self.compared_ts, branch.too_new))
        branch.opened = branch.variables_set = True
        branch.snapshot_unset = False
        return prefix

    def require_alive(self, branch: Branch, reply: Reply) -> None:
        """Raise where the reply's error has ended the local transaction; other errors are the client's."""
        if reply.error is None:
            return
        if reply.error.errno in LOST_ERRNOS:
            raise ConnectionLost(f"{branch.shard}: {reply.error.message}")
        if reply.error.errno in CONFLICT_ERRNOS:
            raise reply.error

    def abandon(self, reason: str) -> None:
        """Drop every connection at once, so that its locks are freed; nothing but ROLLBACK is left to do."""
        branches = list(self.branches.values())
        self.branches.clear()
        for branch in branches:
            branch.connection.abort()
            self.connections.release(branch.shard, branch.connection)
        if self.state is TransactionState.ACTIVE:
            self.state, self.lost_reason = TransactionState.LOST, reason
