"""A commit that is outstanding, step by step in callbacks: prewrite on all participants at once, and the end.

Owns `Committing`. No task and no await: each step is called by the answer that it needs. What takes time (a prewrite
that failed, an oracle that must be asked over a connection) is left to a coroutine, given to whoever waits.

The rule: once a prewrite may have been sent the outcome is only ever learnt by `resolve`, never guessed.
Source: docs/protocol.md, "A transaction" step 4.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tso.types import Outcome, ShardName, Timestamp
from txguard.engine import failpoints, outstanding
from txguard.engine.branch import Branch
from txguard.engine.install import prewrite_procedure
from txguard.engine.shard import ConnectionLost, ShardError
from txguard.engine.states import TransactionState

if TYPE_CHECKING:
    from txguard.engine.transaction import Transaction

Rest = Coroutine[Any, Any, None]
OnDone = Callable[[Rest | None], None]
"""Called once. None: committed. Otherwise what is still to be awaited, and raises what COMMIT raises."""


def prewrite_statement(
    epoch: int, start_ts: Timestamp, commit_ts: Timestamp, participants: Sequence[ShardName]
) -> str:
    """The commit record through the epoch's view, the lock record of a cross-shard commit, COMMIT."""
    names = f"'{','.join(participants)}'" if len(participants) > 1 else "NULL"
    return f"CALL {prewrite_procedure(epoch)}({start_ts},{commit_ts},{names})"


class Committing:
    __slots__ = ("_failures", "_on_done", "_participants", "_pending", "_txn")

    def __init__(
        self,
        txn: Transaction,
        writers: Sequence[Branch],
        participants: tuple[ShardName, ...],
        on_done: OnDone,
    ) -> None:
        """`txn.commit_ts` has been taken. The writers' connections are this commit's own from now on."""
        self._txn, self._participants, self._on_done = txn, participants, on_done
        self._pending = list(writers)
        """Those whose prewrite has not been answered."""
        self._failures: list[str] = []
        for branch in writers:
            del txn.branches[branch.shard]

    def start(self) -> None:
        failpoints.passing("commit_after_begin", self._prewrite)

    def abort(self) -> None:
        """Whoever waits was interrupted: the connections come back as lost, and `on_done` is still called."""
        for branch in self._pending:
            branch.connection.abort()

    # ---------------------------------------------------------------- prewrite

    def _prewrite(self, error: Exception | None) -> None:
        if error is not None:
            self.abort()
            for branch in self._pending:
                self._txn.connections.release(branch.shard, branch.connection)
            self._on_done(outstanding.interrupted(self._txn, error))
            return
        txn = self._txn
        assert txn.commit_ts is not None
        statements = [prewrite_statement(txn.epoch, txn.started(), txn.commit_ts, self._participants)]
        for branch in tuple(self._pending):
            failpoints.passing("prewrite_before_send", partial(self._send, branch, statements))

    def _send(self, branch: Branch, statements: Sequence[str], error: Exception | None) -> None:
        if error is None:
            answered = partial(self._answered, branch)
            try:
                branch.connection.run_nowait(
                    statements, answered, self._txn.engine.settings.prewrite_timeout_s
                )
                return
            except (ConnectionLost, ShardError) as lost:
                error = lost
        self._one_done(branch, error)

    def _answered(self, branch: Branch, error: Exception | None) -> None:
        failpoints.passing("prewrite_one_done", lambda failed: self._one_done(branch, error or failed))

    def _one_done(self, branch: Branch, error: Exception | None) -> None:
        if error is not None:
            self._failures.append(f"{branch.shard}: {error}")
            branch.connection.abort()
        self._txn.connections.release(branch.shard, branch.connection)
        self._pending.remove(branch)
        if self._pending:
            return
        if self._failures:
            failed = "; ".join(self._failures)
            self._on_done(outstanding.prewrite_failed(self._txn, self._participants, failed))
        else:
            failpoints.passing("commit_before_end", self._end)

    # ---------------------------------------------------------------- the commit point has passed

    def _end(self, error: Exception | None) -> None:
        if error is None:
            error = self._tell()
        if error is not None:
            self._on_done(outstanding.interrupted(self._txn, error))
        else:
            failpoints.passing("commit_after_end", self._committed)

    def _tell(self) -> Exception | None:
        """An oracle that cannot be told learns of the commit from the janitor."""
        try:
            self._txn.engine.tso.end_commit_nowait(self._txn.started(), Outcome.COMMITTED)
        except Exception as defect:
            return defect
        return None

    def _committed(self, error: Exception | None) -> None:
        if error is not None:
            self._on_done(outstanding.interrupted(self._txn, error))
            return
        self._count()
        self._on_done(self._txn.end_branches("COMMIT") if self._txn.branches else None)

    def _count(self) -> None:
        txn, participants = self._txn, self._participants
        txn.state = TransactionState.COMMITTED
        counters = txn.engine.counters
        counters.committed += 1
        if len(participants) > 1:
            counters.committed_cross_shard += 1
            txn.engine.cleaner.add_decided(txn.started(), participants)
