"""A commit that is outstanding, step by step in callbacks: prewrite on all participants at once, and the end.

Owns `Committing` and `commit_nowait`. No task and no await: each step is called by the answer that it needs. What takes
time (a prewrite that failed, an oracle that must be asked over a connection) is left to a coroutine (`commit_on.py`,
`outstanding.py`), given to whoever waits.

The rule: once a prewrite may have been sent the outcome is only ever learnt by `resolve`, never guessed.
Source: docs/protocol.md, "A transaction" step 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from tso.types import Outcome, ShardName, Timestamp
from txguard.engine import commit_on, failpoints, outstanding
from txguard.engine.branch import Branch
from txguard.engine.commit_on import OnDone
from txguard.engine.install import DATABASE, HELD_BACK, prewrite_procedure
from txguard.engine.shard import ConnectionLost, ShardError
from txguard.engine.states import TransactionState
from txguard.engine.triggers import EVERYTHING

if TYPE_CHECKING:
    from txguard.engine.transaction import Transaction

PREWRITE = f"CALL `{DATABASE}`.`prewrite_"
"""How every prewrite begins. Where it succeeds, the connection is outside any transaction again."""


def prewrite_statement(
    epoch: int,
    commit_ts: Timestamp,
    participants: Sequence[ShardName],
    *,
    guarded: bool = False,
) -> str:
    """The commit record through the epoch's view, COMMIT, of the transaction whose variables the connection has.

    `guarded`: HELD_BACK instead, where the transaction replaced versions that may be undecided [R4].
    """
    names = f"'{','.join(participants)}'" if len(participants) > 1 else "NULL"
    return f"CALL {prewrite_procedure(epoch, guarded=guarded)}({commit_ts},{names})"


def _passing(name: str, go_on: Callable[[Exception | None], None]) -> None:
    """As `failpoints.passing`; this module is compiled and that one is not, so a call of it is not free."""
    if failpoints.armed:
        failpoints.passing(name, go_on)
    else:
        go_on(None)


class Committing:
    __slots__ = ("_failures", "_participants", "guarded", "held_back", "on_done", "pending", "txn")

    def __init__(
        self,
        txn: Transaction,
        writers: Sequence[Branch],
        participants: tuple[ShardName, ...],
        on_done: OnDone,
        *,
        guarded: bool = False,
    ) -> None:
        """`txn.commit_ts` has been taken. The writers' connections are this commit's own from now on.

        `guarded`: dependencies have not been waited for; each prewrite looks whether there are any.
        """
        self.txn, self._participants, self.on_done = txn, participants, on_done
        self.pending = list(writers)
        """Those whose prewrite has not been answered."""
        self.guarded = guarded
        self.held_back: list[Branch] = []
        """Those whose guarded prewrite has found dependencies."""
        self._failures: list[str] = []
        for branch in writers:
            del txn.branches[branch.shard]

    def start(self) -> None:
        _passing("commit_after_begin", self._begun)

    def abort(self) -> None:
        """Whoever waits was interrupted: the connections come back as lost, and `on_done` is still called."""
        for branch in (*self.pending, *self.held_back):
            branch.connection.abort()

    def _begun(self, error: Exception | None) -> None:
        if error is not None:
            self.drop_pending()
            self.on_done(outstanding.interrupted(self.txn, error))
        elif any(branch.variables_set for branch in self.txn.branches.values()):
            self.on_done(commit_on.after_locks(self))
        else:
            self.prewrite()

    # ---------------------------------------------------------------- prewrite

    def prewrite(self) -> None:
        for branch in tuple(self.pending):
            _passing("prewrite_before_send", partial(self.send, branch, guarded=self.guarded))

    def send(self, branch: Branch, error: Exception | None, *, guarded: bool = False) -> None:
        txn = self.txn
        assert txn.commit_ts is not None
        if error is None:
            statement = prewrite_statement(txn.epoch, txn.commit_ts, self._participants, guarded=guarded)
            timeout_s = txn.engine.settings.prewrite_timeout_s
            try:
                branch.connection.run_nowait([statement], partial(self._answered, branch), timeout_s)
                return
            except Exception as unsent:
                error = unsent
        self.one_done(branch, error)

    def _answered(self, branch: Branch, error: Exception | None) -> None:
        _passing("prewrite_one_done", lambda failed: self.one_done(branch, error or failed))

    def one_done(self, branch: Branch, error: Exception | None) -> None:
        if self.guarded and isinstance(error, ShardError) and error.errno == HELD_BACK:
            if not self._failures and self._are_decided(error.message, branch.shard):
                self.send(branch, None)
                return
            self.held_back.append(branch)
            self.pending.remove(branch)
        else:
            self.pending.remove(branch)
            self._let_go(branch, error)
        if self.pending:
            return
        if self._failures:
            while self.held_back:
                self._let_go(self.held_back.pop(), ConnectionLost("another participant failed"))
            failed = "; ".join(self._failures)
            self.on_done(outstanding.prewrite_failed(self.txn, self._participants, failed))
        elif self.held_back:
            self.on_done(commit_on.settle_dependencies(self))
        else:
            _passing("commit_before_end", self._end)

    def _are_decided(self, listed: str, shard: ShardName) -> bool:
        """[R4] Of what HELD_BACK has listed: whether there is nothing to wait for any more, as mostly."""
        if not listed or listed == EVERYTHING:
            return False
        txn = self.txn
        dependencies = [Timestamp(int(writer)) for writer in listed.split(",")]
        return txn.engine.tso.dependencies_decided_nowait(txn.started(), dependencies, shard)

    def _let_go(self, branch: Branch, error: Exception | None) -> None:
        """The connection goes back, or is dropped with all that the transaction has done on it."""
        if error is not None:
            self._failures.append(f"{branch.shard}: {error}")
            branch.connection.abort()
        self.txn.connections.release(branch.shard, branch.connection)

    def drop_pending(self) -> None:
        """Nothing of them is under way, so no answer will give them back."""
        pending, self.pending = self.pending, []
        for branch in pending:
            self._let_go(branch, ConnectionLost("the commit was interrupted"))

    # ---------------------------------------------------------------- the commit point has passed

    def _end(self, error: Exception | None) -> None:
        if error is None:
            error = self._tell()
        if error is not None:
            self.on_done(outstanding.interrupted(self.txn, error))
        else:
            _passing("commit_after_end", self._committed)

    def _tell(self) -> Exception | None:
        """An oracle that cannot be told learns of the commit from the janitor."""
        try:
            self.txn.engine.tso.end_commit_nowait(self.txn.started(), Outcome.COMMITTED)
        except Exception as defect:
            return defect
        return None

    def _committed(self, error: Exception | None) -> None:
        if error is not None:
            self.on_done(outstanding.interrupted(self.txn, error))
            return
        self._count()
        self.on_done(self.txn.end_branches("COMMIT") if self.txn.branches else None)

    def _count(self) -> None:
        txn, participants = self.txn, self._participants
        txn.state = TransactionState.COMMITTED
        counters = txn.engine.counters
        counters.committed += 1
        if len(participants) > 1:
            counters.committed_cross_shard += 1
            txn.engine.decided.add(participants)


def commit_nowait(txn: Transaction, on_done: OnDone) -> bool:
    """As `commit.commit`, without a task where nothing is in the way. False: declined, nothing has happened.

    Not before a `commit_ts` has been taken: then `on_done` is called in any case.
    """
    writers = [branch for branch in txn.branches.values() if branch.wrote]
    if not writers or txn.state is not TransactionState.ACTIVE or "commit_before_begin" in failpoints.armed:
        return False
    participants = tuple(sorted(branch.shard for branch in writers))
    looked_at = [branch.shard for branch in txn.branches.values() if branch.depends_on_all]
    without_r4 = "without_R4" in failpoints.armed
    begun = txn.engine.tso.begin_commit_nowait(
        txn.started(), participants, () if without_r4 else looked_at, txn.written_by
    )
    if begun is None:
        return False
    txn.commit_ts = begun.commit_ts
    Committing(txn, writers, participants, on_done, guarded=begun.guarded and not without_r4).start()
    return True
