"""A client's transaction over the shards: life, statements, savepoints, and what an error makes of it.

The rule this file keeps: whatever goes wrong on one shard either leaves the statement undone on all or ends the
transaction on all. What it sees stands in `snapshot.py`, its commit in `commit.py`.
Source: docs/protocol.md, "A transaction".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tso.errors import TransactionUnknown, TsoTimeout, TsoUnavailable
from tso.types import ShardName, Timestamp
from txguard.engine import failpoints, snapshot
from txguard.engine.branch import (
    CLEAR_VARIABLES,
    Branch,
    Build,
    Connections,
    Isolation,
    set_variables,
    start_statements,
)
from txguard.engine.commit import commit
from txguard.engine.concurrent import gather, settle
from txguard.engine.conflicts import ConflictCheck
from txguard.engine.passed_over import raise_on_conflict
from txguard.engine.shard import ConnectionLost, Reply, ShardError, ShardUnavailable, borrow
from txguard.engine.states import TransactionState
from txguard.errors import Conflict, OracleUnavailable, ShardDown, TransactionLost

if TYPE_CHECKING:
    from txguard.engine.engine import Engine

CONFLICT_ERRNOS = frozenset({1213, 1020})
"""InnoDB's deadlock, the triggers' [R1] conflict, and MariaDB's own snapshot conflict."""

LOST_ERRNOS = frozenset({1053, 1077, 1079, 1152, 1184, 1927, 3169, 4031})
"""Errors with which a server says good-bye: the local transaction is gone, as when the socket ends."""

STATEMENT_SAVEPOINT = "txg_statement"


class Transaction:
    """One at a time: the session runs one statement of a transaction after the other."""

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
        self.savepoints: list[str] = []
        self.lost_reason = ""

    # ---------------------------------------------------------------- reads

    async def read(self, shards: Sequence[ShardName], build: Build, *, quiet: bool = False) -> list[Reply]:
        """A consistent read on `shards`; replies in their order.

        `build(shard, too_new)` gives the statement as the client wrote it for an empty `too_new`, and the
        form of [R3] otherwise. `quiet`: a join, for which that form is slow, so a snapshot is taken quietly.
        """
        self._require_active()
        try:
            await self._begin()
            branches = await self._branches(shards)
            if self.isolation is Isolation.READ_COMMITTED:
                return await snapshot.read_committed(self, branches, build)
            return await snapshot.read(self, branches, build, quiet=quiet)
        except Exception as error:
            raise await self._failed(error) from error

    async def open_snapshot(self, shards: Sequence[ShardName], *, quiet: bool = False) -> None:
        """Have a view at `read_ts` on every one of `shards`, taking `read_ts` now if there is none."""
        self._require_active()
        try:
            await self._begin()
            await snapshot.open_views(self, await self._branches(shards), quiet=quiet)
        except Exception as error:
            raise await self._failed(error) from error

    # ---------------------------------------------------------------- writes

    async def write(
        self,
        shards: Sequence[ShardName],
        build: Callable[[ShardName], Any],
        *,
        locking_read: bool = False,
        inserts: bool = False,
        checks: Sequence[ConflictCheck] = (),
    ) -> list[Reply]:
        """DML or a locking read, the same on all of `shards` or on none.

        An ordinary error of a shard comes back in its reply's `error` once the statement is undone everywhere.
        """
        self._require_active()
        try:
            await self._begin()
            branches = await self._branches(shards)
            if self.read_ts is not None:
                await snapshot.open_views(self, branches, quiet=False)
            replies = await self._write_all(branches, build, locking_read=locking_read)
            if any(reply.error for reply in replies):
                return replies
            for branch, reply in zip(branches, replies, strict=True):
                branch.wrote |= not locking_read and reply.affected_rows > 0
                branch.inserted |= inserts
            if self.read_ts is not None and checks and not failpoints.active("without_R1"):
                await self._check_conflicts(shards, checks, locking_read=locking_read)
            return replies
        except Exception as error:
            raise await self._failed(error) from error

    async def _write_all(
        self, branches: Sequence[Branch], build: Callable[[ShardName], Any], *, locking_read: bool
    ) -> list[Reply]:
        savepoint = len(branches) > 1 and not self.implicit and not locking_read
        if locking_read:
            replies = await gather(
                [snapshot.validated(self, branch, partial(build, branch.shard)) for branch in branches]
            )
        else:
            replies = await gather(
                [self.relay_opening(branch, build(branch.shard), savepoint=savepoint) for branch in branches]
            )
        errors = [reply.error for reply in replies if reply.error is not None]
        if errors and savepoint:
            undo = [f"ROLLBACK TO SAVEPOINT {STATEMENT_SAVEPOINT}"]
            await gather([self.run(branch, undo) for branch in branches])
        return replies

    async def _check_conflicts(
        self, shards: Sequence[ShardName], checks: Sequence[ConflictCheck], *, locking_read: bool
    ) -> None:
        """[R1] for the rows that a current read passed over or met: asked on a second connection."""
        settings, read_ts, start_ts = self.engine.settings, self.read_ts, self.started()
        assert read_ts is not None

        async def check(name: ShardName) -> None:
            async with borrow(self.engine.shards[name], settings.acquire_timeout_s) as connection:
                await raise_on_conflict(
                    connection,
                    checks,
                    read_ts=read_ts,
                    start_ts=start_ts,
                    locking_read=locking_read,
                    timeout_s=settings.control_timeout_s,
                )

        await gather([check(shard) for shard in shards])

    # ---------------------------------------------------------------- savepoints

    async def savepoint(self, name: str) -> None:
        """A client's savepoint: on the branches that are open; one that opens later is ended by a roll-back to it."""
        self._require_active()
        quoted = quote(name)
        try:
            await gather([self.run(b, [f"SAVEPOINT {quoted}"]) for b in self.branches.values() if b.opened])
        except Exception as error:
            raise await self._failed(error) from error
        open_branches = [branch.savepoints for branch in self.branches.values() if branch.opened]
        for savepoints in (self.savepoints, *open_branches):
            if name in savepoints:
                savepoints.remove(name)
            savepoints.append(name)

    def has_savepoint(self, name: str) -> bool:
        return name in self.savepoints

    async def rollback_to(self, name: str) -> None:
        """Undo what came after the savepoint `name`, which stays. The caller has checked that it exists."""
        self._require_active()
        quoted = quote(name)
        later = self.savepoints[self.savepoints.index(name) + 1 :]
        try:
            for shard, branch in list(self.branches.items()):
                if name not in branch.savepoints:
                    await self.end_branch(self.branches.pop(shard), "ROLLBACK")
                    continue
                await self.run(branch, [f"ROLLBACK TO SAVEPOINT {quoted}"])
                branch.savepoints = [s for s in branch.savepoints if s not in later]
                if branch.view_open and branch.view_depth > branch.savepoints.index(name):
                    branch.view_open = False  # InnoDB may have dropped it: the next statement looks again.
        except Exception as error:
            raise await self._failed(error) from error
        self.savepoints = [s for s in self.savepoints if s not in later]

    async def release_savepoint(self, name: str) -> None:
        self._require_active()
        at = self.savepoints.index(name)
        gone = self.savepoints[at:]
        try:
            for branch in self.branches.values():
                if name in branch.savepoints:
                    await self.run(branch, [f"RELEASE SAVEPOINT {quote(name)}"])
                branch.savepoints = [s for s in branch.savepoints if s not in gone]
        except Exception as error:
            raise await self._failed(error) from error
        self.savepoints = self.savepoints[:at]

    # ---------------------------------------------------------------- the end

    async def commit(self) -> None:
        """Returns when the transaction is durable on every participant; see commit.py for what it may raise."""
        self._require_active()
        await commit(self)

    async def rollback(self) -> None:
        """End the transaction on every shard. Never fails: a connection that does not answer is dropped."""
        branches = list(self.branches.values())
        self.branches.clear()
        await settle([self.end_branch(branch, "ROLLBACK") for branch in branches])
        if self.state in (TransactionState.ACTIVE, TransactionState.LOST):
            self.state = TransactionState.ROLLED_BACK
            self.engine.counters.rolled_back += 1
            await self.forget()

    def abandon(self) -> None:
        """The client is gone in the middle of a statement: drop every connection, so that its locks are freed."""
        for branch in self.branches.values():
            branch.connection.abort()

    async def forget(self) -> None:
        if self.start_ts is not None:
            try:
                await self.engine.tso.end(self.start_ts)
            except (TsoUnavailable, TsoTimeout, TransactionUnknown):
                pass  # The oracle forgets it with the session.

    async def end_branch(self, branch: Branch, how: str) -> None:
        connection = branch.connection
        if branch.opened and not connection.closed:
            ending = [how, CLEAR_VARIABLES] if branch.variables_set else [how]
            try:
                await connection.run(ending, self.engine.settings.control_timeout_s)
            except (ShardError, ConnectionLost):
                connection.abort()
        self.connections.release(branch.shard, connection)

    # ---------------------------------------------------------------- plumbing

    def _require_active(self) -> None:
        if self.state is TransactionState.LOST:
            raise TransactionLost(f"{self.lost_reason}; the transaction must be rolled back: send ROLLBACK")
        if self.state is not TransactionState.ACTIVE:
            raise Conflict(f"the transaction is already {self.state.value}")

    def started(self) -> Timestamp:
        assert self.start_ts is not None
        return self.start_ts

    async def _begin(self) -> None:
        if self.start_ts is None:
            begun = await self.oracle(self.engine.tso.begin())
            self.start_ts, self.floor = begun

    async def oracle(self, call: Any) -> Any:
        try:
            return await call
        except TsoUnavailable as error:
            raise OracleUnavailable(f"{error}; nothing was committed, try again") from error
        except TsoTimeout as error:
            raise OracleUnavailable("the timestamp oracle did not answer in time; try again") from error

    async def _branches(self, shards: Sequence[ShardName]) -> list[Branch]:
        """The branches on `shards`, with a connection each: all of them before anything is sent to one."""
        missing = [shard for shard in shards if shard not in self.branches]
        timeout_s = self.engine.settings.acquire_timeout_s
        if missing:
            acquired = await settle([self.connections.acquire(shard, timeout_s) for shard in missing])
            for shard, result in zip(missing, acquired, strict=True):
                if not isinstance(result, Exception):
                    self.branches[shard] = Branch(shard, result)
            for result in acquired:
                if isinstance(result, Exception):
                    raise result
        return [self.branches[shard] for shard in shards]

    async def relay_opening(self, branch: Branch, statement: Any, *, savepoint: bool = False) -> Reply:
        """Relay a current read or a write; START TRANSACTION and the variables go in the same packet."""
        prefix: list[str] = []
        if not branch.opened:
            prefix += start_statements(self.isolation, with_view=False)
        if not branch.variables_set:
            prefix.append(set_variables(self.started(), self.floor, self.read_ts, branch.too_new))
        if savepoint:
            prefix.append(f"SAVEPOINT {STATEMENT_SAVEPOINT}")
        branch.opened = branch.variables_set = True
        return await self.relay(branch, prefix, statement)

    async def relay(self, branch: Branch, prefix: list[str], statement: Any) -> Reply:
        _, reply = await branch.connection.relay(prefix, statement, None)
        self.require_alive(branch, reply)
        return reply

    def require_alive(self, branch: Branch, reply: Reply) -> None:
        """Raise where the reply's error has ended the local transaction; other errors are the client's."""
        if reply.error is None:
            return
        if reply.error.errno in LOST_ERRNOS:
            raise ConnectionLost(f"{branch.shard}: {reply.error.message}")
        if reply.error.errno in CONFLICT_ERRNOS:
            raise reply.error

    async def run(self, branch: Branch, statements: list[str]) -> list[Any]:
        return await branch.connection.run(statements, self.engine.settings.control_timeout_s)

    async def _failed(self, error: Exception) -> Exception:
        """Bring the transaction into the state that `error` means, and give the error for the client."""
        if isinstance(error, ShardError) and error.errno in CONFLICT_ERRNOS:
            await self.rollback()
            self.engine.counters.conflicts += 1
            return Conflict(error.message)
        if isinstance(error, Conflict):
            await self.rollback()
            self.engine.counters.conflicts += 1
            return error
        if isinstance(error, ConnectionLost) or (
            isinstance(error, ShardError) and error.errno in LOST_ERRNOS
        ):
            return await self._lost(f"a shard was lost ({error})")
        if isinstance(error, ShardUnavailable):
            return ShardDown(f"{error}; the statement did nothing, try again")
        if isinstance(error, ShardError):
            return await self._lost(f"a shard refused to go on ({error.errno}: {error.message})")
        if isinstance(error, TransactionUnknown):
            await self.rollback()
            return Conflict("the timestamp oracle was restarted during the transaction; run it again")
        return error

    async def _lost(self, reason: str) -> Exception:
        branches = list(self.branches.values())
        self.branches.clear()
        for branch in branches:
            branch.connection.abort()
            self.connections.release(branch.shard, branch.connection)
        self.state, self.lost_reason = TransactionState.LOST, reason
        if self.implicit:
            await self.rollback()
            return ShardDown(f"{reason}; nothing was changed, try again")
        return TransactionLost(
            f"{reason}; nothing of the transaction will be committed: send ROLLBACK and run it again"
        )


def quote(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
