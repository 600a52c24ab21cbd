"""A client's transaction over the shards: life, statements, savepoints, and what an error makes of it.

The rule this file keeps: whatever goes wrong on one shard either leaves the statement undone on all or ends the
transaction on all. What it sees stands in `snapshot.py` and `read_committed.py`, its writes in `writing.py`, what an
error means in `failures.py`, its commit in `commit.py`.
Source: docs/protocol.md, "A transaction".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from tso.errors import TsoError, TsoTimeout, TsoUnavailable
from tso.types import ShardName
from txguard.engine import savepoints, snapshot
from txguard.engine.again import Look
from txguard.engine.branch import (
    NAME_IT,
    Branch,
    Build,
    Isolation,
)
from txguard.engine.commit import commit
from txguard.engine.concurrent import gather, settle
from txguard.engine.conflicts import ConflictCheck
from txguard.engine.failures import oracle_error, statement_scope
from txguard.engine.install import CLEAR_VARIABLES
from txguard.engine.point_write import FirstTry
from txguard.engine.read_committed import read_committed
from txguard.engine.shard import Reply
from txguard.engine.states import TransactionState
from txguard.engine.transaction_base import TransactionBase
from txguard.engine.writing import WriteStatement, write

T = TypeVar("T")


class Transaction(TransactionBase):
    """One at a time: the session runs one statement of a transaction after the other."""

    # ---------------------------------------------------------------- statements

    async def read(
        self, shards: Sequence[ShardName], build: Build, *, quiet: bool = False, look: Look | None = None
    ) -> list[Reply]:
        """A consistent read on `shards`; replies in their order.

        `build(shard, too_new)` gives the statement as the client wrote it for an empty `too_new`, and the
        form of [R3] otherwise. `quiet`: a join, for which that form is slow, so a snapshot is taken quietly.
        `look`: it may look rows up by a unique secondary key, and this is its form that does not wait [S-again].
        """
        async with statement_scope(self):
            branches = await self._branches(shards)
            if self.isolation is Isolation.READ_COMMITTED:
                return await read_committed(self, branches, build)
            if self.isolation is Isolation.SERIALIZABLE:
                return await snapshot.read_current(self, branches, build, look)
            return await snapshot.read(self, branches, build, quiet=quiet)

    async def open_snapshot(self, shards: Sequence[ShardName], *, quiet: bool = False) -> None:
        """Have a view at `read_ts` on every one of `shards`, taking `read_ts` now if there is none.

        Nothing at the levels without a snapshot, as in MySQL.
        """
        if not self.isolation.has_snapshot:
            return
        async with statement_scope(self):
            await snapshot.open_views(self, await self._branches(shards), quiet=quiet)

    async def write(
        self,
        shards: Sequence[ShardName],
        build: Callable[[ShardName], Any],
        *,
        locking_read: bool = False,
        shares: bool = False,
        inserts: bool = False,
        checks: Sequence[ConflictCheck] = (),
        expected_rows: int | None = None,
        first: FirstTry | None = None,
        look: Look | None = None,
    ) -> list[Reply]:
        """DML or a locking read, the same on all of `shards` or on none.

        An ordinary error of a shard comes back in its reply's `error` once the statement is undone everywhere.
        `shares`: a locking read that takes shared locks only. `inserts`: it may take keys, or read rows, beside those
        that it changes. `expected_rows`: it names this many rows by whole primary key; where it finds them all,
        `checks` need not be asked. `first`: what became of the statement where `point_write` has sent it already.
        `look`: it may look rows up by a unique secondary key; this locks what it is going to read [S-again].
        """
        async with statement_scope(self, sent=first is not None):
            branches = await self._branches(shards)
            if self.read_ts is not None:
                await snapshot.open_views(self, branches, quiet=False)
            statement = WriteStatement(
                build, locking_read, shares, inserts, checks, expected_rows, first, look
            )
            return await write(self, branches, statement)

    # ---------------------------------------------------------------- savepoints

    async def savepoint(self, name: str) -> None:
        """One that opens later is ended by a roll-back to it."""
        async with statement_scope(self):
            await savepoints.savepoint(self, name)

    async def rollback_to(self, name: str) -> None:
        """Undo what came after the savepoint `name`, which stays. The caller has checked that it exists."""
        async with statement_scope(self):
            await savepoints.rollback_to(self, name)

    async def release_savepoint(self, name: str) -> None:
        async with statement_scope(self):
            await savepoints.release_savepoint(self, name)

    # ---------------------------------------------------------------- the end

    async def commit(self) -> None:
        """Returns when the transaction is durable on every participant; see commit.py for what it may raise."""
        self.require_active()
        await commit(self)

    async def rollback(self) -> None:
        """End the transaction on every shard. Never fails: a connection that does not answer is dropped."""
        await self.end_branches("ROLLBACK")
        if self.state in (TransactionState.ACTIVE, TransactionState.LOST):
            self.state = TransactionState.ROLLED_BACK
            self.engine.counters.rolled_back += 1
            await self.forget()

    async def forget(self) -> None:
        if self.start_ts is not None:
            try:
                await self.engine.tso.end(self.start_ts)
            except TsoError:
                pass  # The oracle forgets it with the session.

    async def end_branches(self, how: str) -> None:
        """COMMIT or ROLLBACK on those that are left."""
        branches = list(self.branches.values())
        self.branches.clear()
        await settle([self.end_branch(branch, how) for branch in branches])

    async def end_branch(self, branch: Branch, how: str) -> None:
        """Never fails, whatever state the connection is in: in doubt it is dropped. It always goes back."""
        connection = branch.connection
        try:
            if branch.opened and not connection.closed:
                ending = [how, CLEAR_VARIABLES] if branch.variables_set else [how]
                await connection.run(ending, self.engine.settings.control_timeout_s)
        except Exception:
            connection.abort()
        except BaseException:
            connection.abort()
            raise
        finally:
            self.connections.release(branch.shard, connection)

    # ---------------------------------------------------------------- plumbing

    async def begin(self) -> None:
        if self.start_ts is None:
            # Before the oracle is asked: when its epoch changes meanwhile, the records of this one are refused.
            self.epoch = self.engine.tso.epoch
            self.start_ts, self.floor = await self.oracle(self.engine.tso.begin())

    async def oracle(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except (TsoUnavailable, TsoTimeout) as error:
            raise oracle_error(error) from error

    async def _branches(self, shards: Sequence[ShardName]) -> list[Branch]:
        """The branches on `shards`, with a connection each: all of them before anything is sent to one."""
        missing = [shard for shard in shards if shard not in self.branches]
        if missing:
            await gather([self._acquire(shard) for shard in missing])
        return [self.branches[shard] for shard in shards]

    async def _acquire(self, shard: ShardName) -> None:
        """Known here at once: whatever becomes of the other shards, it is given back in the end."""
        await self.engine.require_fenced(shard)
        connection = await self.connections.acquire(shard, self.engine.settings.acquire_timeout_s)
        self.branches[shard] = Branch(shard, connection)

    async def relay_opening(
        self, branch: Branch, statement: Any, savepoint: str | None = None, *, shares: bool = False
    ) -> Reply:
        """Relay a current read or a write; START TRANSACTION and the variables go in the same packet."""
        prefix = self.opening(branch)
        if shares and not branch.named:
            prefix.append(NAME_IT)
            branch.named = True
        if savepoint is not None:
            prefix.append(f"SAVEPOINT {savepoint}")
        return await self.relay(branch, prefix, statement)

    async def relay(self, branch: Branch, prefix: list[str], statement: Any) -> Reply:
        _, reply = await branch.connection.relay(prefix, statement, None)
        self.require_alive(branch, reply)
        return reply

    async def run(self, branch: Branch, statements: list[str]) -> list[Any]:
        return await branch.connection.run(statements, self.engine.settings.control_timeout_s)
