"""A commit that is outstanding, step by step in callbacks: prewrite on all participants at once, and the end.

Owns `Committing`. No task and no await: each step is called by the answer that it needs. What takes time (a prewrite
that failed, an oracle that must be asked over a connection) is left to a coroutine, given to whoever waits.

The rule: once a prewrite may have been sent the outcome is only ever learnt by `resolve`, never guessed.
Source: docs/protocol.md, "A transaction" step 4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tso.types import Outcome, ShardName, Timestamp
from txguard.engine import failpoints, outstanding
from txguard.engine.branch import Branch
from txguard.engine.concurrent import settle
from txguard.engine.install import DATABASE, HELD_BACK, prewrite_procedure
from txguard.engine.shard import ConnectionLost, ShardError
from txguard.engine.states import TransactionState

if TYPE_CHECKING:
    from txguard.engine.transaction import Transaction

Rest = Coroutine[Any, Any, None]
OnDone = Callable[[Rest | None], None]
"""Called once. None: committed. Otherwise what is still to be awaited, and raises what COMMIT raises."""


PREWRITE = f"CALL `{DATABASE}`.`prewrite_"
"""How every prewrite begins. Where it succeeds, the connection is outside any transaction again."""


def prewrite_statement(
    epoch: int,
    start_ts: Timestamp,
    commit_ts: Timestamp,
    participants: Sequence[ShardName],
    *,
    guarded: bool = False,
) -> str:
    """The commit record through the epoch's view, the lock record of a cross-shard commit, COMMIT.

    `guarded`: HELD_BACK instead, where the transaction replaced versions that may be undecided [R4].
    """
    names = f"'{','.join(participants)}'" if len(participants) > 1 else "NULL"
    return f"CALL {prewrite_procedure(epoch)}({start_ts},{commit_ts},{names},{guarded:d})"


class Committing:
    __slots__ = ("_failures", "_guarded", "_held_back", "_on_done", "_participants", "_pending", "_txn")

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
        self._txn, self._participants, self._on_done = txn, participants, on_done
        self._pending = list(writers)
        """Those whose prewrite has not been answered."""
        self._guarded = guarded
        self._held_back: list[Branch] = []
        """Those whose guarded prewrite has found dependencies."""
        self._failures: list[str] = []
        for branch in writers:
            del txn.branches[branch.shard]

    def start(self) -> None:
        failpoints.passing("commit_after_begin", self._begun)

    def abort(self) -> None:
        """Whoever waits was interrupted: the connections come back as lost, and `on_done` is still called."""
        for branch in (*self._pending, *self._held_back):
            branch.connection.abort()

    def _begun(self, error: Exception | None) -> None:
        if error is not None:
            self._drop_pending()
            self._on_done(outstanding.interrupted(self._txn, error))
        elif any(branch.variables_set for branch in self._txn.branches.values()):
            self._on_done(self._after_locks())
        else:
            self._prewrite()

    async def _after_locks(self) -> None:
        """What a branch that changed nothing has locked was locked until now, or there is no commit."""
        rest = self._awaited()
        try:
            lost = await outstanding.end_lockers(self._txn)
        except BaseException:
            self._drop_pending()
            rest.close()
            raise
        if lost is None:
            self._prewrite()
        else:
            for branch in tuple(self._pending):
                self._one_done(branch, ConnectionLost(f"locks were lost: {lost}"))
        await rest

    def _awaited(self) -> Rest:
        """From here on a coroutine waits for the end: to be awaited as its last."""
        done: asyncio.Future[Rest | None] = asyncio.get_running_loop().create_future()
        self._on_done = partial(hand_over, done)
        return _handed_over(done)

    # ---------------------------------------------------------------- prewrite

    def _prewrite(self) -> None:
        for branch in tuple(self._pending):
            failpoints.passing("prewrite_before_send", partial(self._send, branch))

    def _send(self, branch: Branch, error: Exception | None) -> None:
        txn = self._txn
        assert txn.commit_ts is not None
        if error is None:
            statement = prewrite_statement(
                txn.epoch, txn.started(), txn.commit_ts, self._participants, guarded=self._guarded
            )
            timeout_s = txn.engine.settings.prewrite_timeout_s
            try:
                branch.connection.run_nowait([statement], partial(self._answered, branch), timeout_s)
                return
            except Exception as unsent:
                error = unsent
        self._one_done(branch, error)

    def _answered(self, branch: Branch, error: Exception | None) -> None:
        failpoints.passing("prewrite_one_done", lambda failed: self._one_done(branch, error or failed))

    def _one_done(self, branch: Branch, error: Exception | None) -> None:
        self._pending.remove(branch)
        if self._guarded and isinstance(error, ShardError) and error.errno == HELD_BACK:
            self._held_back.append(branch)
        else:
            self._let_go(branch, error)
        if self._pending:
            return
        if self._failures:
            while self._held_back:
                self._let_go(self._held_back.pop(), ConnectionLost("another participant failed"))
            failed = "; ".join(self._failures)
            self._on_done(outstanding.prewrite_failed(self._txn, self._participants, failed))
        elif self._held_back:
            self._on_done(self._settle_dependencies())
        else:
            failpoints.passing("commit_before_end", self._end)

    def _let_go(self, branch: Branch, error: Exception | None) -> None:
        """The connection goes back, or is dropped with all that the transaction has done on it."""
        if error is not None:
            self._failures.append(f"{branch.shard}: {error}")
            branch.connection.abort()
        self._txn.connections.release(branch.shard, branch.connection)

    def _drop_pending(self) -> None:
        """Nothing of them is under way, so no answer will give them back."""
        pending, self._pending = self._pending, []
        for branch in pending:
            self._let_go(branch, ConnectionLost("the commit was interrupted"))

    async def _settle_dependencies(self) -> None:
        """[R4] Wait until what was replaced is decided, then prewrite where that was held back."""
        held_back, self._held_back, self._guarded = self._held_back, [], False
        self._pending = held_back
        rest = self._awaited()
        try:
            results = await settle([outstanding.wait_dependencies(self._txn, branch) for branch in held_back])
        except BaseException:
            self._drop_pending()
            rest.close()
            raise
        for branch, result in zip(tuple(held_back), results, strict=True):
            self._send(branch, result)
        await rest

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


async def _handed_over(done: asyncio.Future[Rest | None]) -> None:
    rest = await done
    if rest is not None:
        await rest


def hand_over(done: asyncio.Future[Rest | None], rest: Rest | None) -> None:
    """An `on_done` for a coroutine that waits."""
    if not done.done():
        done.set_result(rest)
    elif rest is not None:
        rest.close()  # Whoever waited was interrupted, and has given the commit up.
