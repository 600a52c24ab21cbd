"""A client's transaction over the shards: life, snapshot, reads, writes and savepoints.

The rule this file keeps: a view opens only behind the barrier of its `read_ts` [R2] and is read through its X
[R3]; whatever goes wrong on one shard either leaves the statement undone on all or ends the transaction on all.
Committing stands in `commit.py`. Source: docs/protocol.md, "A transaction".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tso.errors import QuietExpired, TransactionUnknown, TsoTimeout, TsoUnavailable
from tso.types import ShardName, Timestamp
from txguard.engine import failpoints
from txguard.engine.branch import (
    CLEAR_VARIABLES,
    Branch,
    Connections,
    Isolation,
    parse_too_new,
    set_snapshot,
    set_variables,
    start_statements,
    too_new_query,
)
from txguard.engine.commit import commit
from txguard.engine.concurrent import gather, settle
from txguard.engine.conflicts import ConflictCheck, raise_on_conflict
from txguard.engine.shard import ConnectionLost, Reply, Rows, ShardError, ShardUnavailable, borrow
from txguard.engine.states import TransactionState
from txguard.errors import (
    Conflict,
    LockWaitTimeout,
    OracleUnavailable,
    ShardDown,
    TransactionLost,
)

if TYPE_CHECKING:
    from txguard.engine.engine import Engine

CONFLICT_ERRNOS = frozenset({1213, 1020})
"""InnoDB's deadlock, the triggers' [R1] conflict, and MariaDB's own snapshot conflict."""

LOST_ERRNOS = frozenset({1053, 1077, 1079, 1152, 1184, 1927, 3169, 4031})
"""Errors with which a server says good-bye: the local transaction is gone, as when the socket ends."""

STATEMENT_SAVEPOINT = "txg_statement"
READ_COMMITTED_TRIES = 3
VALIDATION_TRIES = 10


Build = Callable[[ShardName, Sequence[Timestamp]], Any]


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
            if self.isolation is Isolation.READ_COMMITTED:
                return await self._read_committed(shards, build)
            await self._begin()
            branches = await self._branches(shards)
            if self.read_ts is None and quiet:
                await self._open_quietly(branches)
            else:
                await self._pass_barrier(branches)
            return await gather([self._read_one(branch, build) for branch in branches])
        except Exception as error:
            raise await self._failed(error) from error

    async def _read_one(self, branch: Branch, build: Build) -> Reply:
        """One round trip: the view opens in the same packet, and only a view with an X needs a second."""
        if branch.view_open:
            return await self._relay(branch, [], build(branch.shard, branch.too_new))
        opening = self._opening(branch)
        answers, reply = await branch.connection.relay(opening, build(branch.shard, ()), None)
        await self._view_opened(branch, answers[-1])
        if branch.too_new:
            await reply.drain()
            return await self._relay(branch, [], build(branch.shard, branch.too_new))
        self._require_alive(branch, reply)
        return reply

    async def open_snapshot(self, shards: Sequence[ShardName], *, quiet: bool = False) -> None:
        """Have a view at `read_ts` on every one of `shards`, taking `read_ts` now if there is none."""
        self._require_active()
        await self._begin()
        branches = await self._branches(shards)
        if self.read_ts is None and quiet:
            await self._open_quietly(branches)
            return
        await self._pass_barrier(branches)
        await gather([self._open_view(branch) for branch in branches if not branch.view_open])

    async def _pass_barrier(self, branches: Sequence[Branch]) -> None:
        """Take `read_ts` if there is none, and let views at it be opened on `branches` [R2]."""
        if self.read_ts is None:
            self.read_ts = await self._oracle(self.engine.tso.read_ts(self._started()))
        closed = [branch.shard for branch in branches if not branch.view_open]
        if closed:
            await self._barrier(closed, self.read_ts)

    async def _open_quietly(self, branches: Sequence[Branch]) -> None:
        shards = [branch.shard for branch in branches]
        timeout_s = self.engine.settings.quiet_timeout_s
        try:
            async with self.engine.tso.quiet(self._started(), shards, timeout_s) as read_ts:
                self.read_ts = read_ts
                await gather([self._open_view(branch) for branch in branches])
        except QuietExpired:
            pass  # The views stand behind the barrier all the same; their X says what is too new.
        except TsoTimeout as error:
            raise LockWaitTimeout(
                "no quiet snapshot could be had: undecided commits did not end in time; try again"
            ) from error

    async def _barrier(self, shards: Sequence[ShardName], read_ts: Timestamp) -> None:
        if failpoints.active("without_R2"):
            return
        try:
            await self.engine.tso.wait_barrier(shards, read_ts, self.engine.settings.barrier_timeout_s)
        except TsoTimeout as error:
            raise LockWaitTimeout(
                f"an undecided commit on {', '.join(shards)} did not end in time (SHOW TXGUARD LOCKS names it); "
                "try again"
            ) from error

    def _opening(self, branch: Branch) -> list[str]:
        assert self.read_ts is not None
        query = too_new_query(self.read_ts)
        if branch.opened:
            return [query]
        return [*start_statements(self.isolation, with_view=True), query]

    async def _open_view(self, branch: Branch) -> None:
        answers = await self._run(branch, self._opening(branch))
        await self._view_opened(branch, answers[-1])

    async def _view_opened(self, branch: Branch, too_new: Rows) -> None:
        assert self.read_ts is not None
        branch.opened = branch.view_open = True
        branch.view_depth = len(branch.savepoints)
        branch.too_new = parse_too_new(too_new)
        if branch.variables_set:
            await self._run(branch, [set_snapshot(self.read_ts, branch.too_new)])

    async def _read_committed(self, shards: Sequence[ShardName], build: Build) -> list[Reply]:
        """A snapshot per statement. On one shard any fresh view is one [R5]; over several the views must agree."""
        await self._begin()
        branches = await self._branches(shards)
        if len(branches) == 1:
            return [await self._validated(branches[0], partial(build, branches[0].shard, ()))]
        for _ in range(READ_COMMITTED_TRIES):
            read_ts = await self._oracle(self.engine.tso.read_ts(self._started()))
            await self._barrier(shards, read_ts)
            replies = await gather(
                [self._relay_opening(branch, build(branch.shard, ())) for branch in branches]
            )
            # A later view than the statement's own: when even it holds nothing too new, neither did that one.
            later = await gather([self._run(branch, [too_new_query(read_ts)]) for branch in branches])
            if not any(parse_too_new(answers[-1]) for answers in later):
                return replies
            for reply in replies:
                await reply.drain()
        try:
            async with self.engine.tso.quiet(self._started(), shards, self.engine.settings.quiet_timeout_s):
                return await gather(
                    [self._relay_opening(branch, build(branch.shard, ())) for branch in branches]
                )
        except (QuietExpired, TsoTimeout) as error:
            raise LockWaitTimeout("no consistent snapshot could be had in time; try again") from error

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
                await self.open_snapshot(shards)
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
                [self._validated(branch, partial(build, branch.shard)) for branch in branches]
            )
        else:
            replies = await gather(
                [self._relay_opening(branch, build(branch.shard), savepoint=savepoint) for branch in branches]
            )
        errors = [reply.error for reply in replies if reply.error is not None]
        for error in errors:
            if error.errno in CONFLICT_ERRNOS:
                raise error
        if errors and savepoint:
            undo = [f"ROLLBACK TO SAVEPOINT {STATEMENT_SAVEPOINT}"]
            await gather([self._run(branch, undo) for branch in branches])
        return replies

    async def _validated(self, branch: Branch, build: Callable[[], Any]) -> Reply:
        """[R5] inside a transaction: a locking read, or a READ COMMITTED read, may have met undecided rows."""
        tso, timeout_s = self.engine.tso, self.engine.settings.barrier_timeout_s
        for _ in range(VALIDATION_TRIES):
            token = tso.read_token_nowait(branch.shard)
            if token is None:
                token = await self._oracle(tso.read_token(branch.shard))
            reply = await self._relay_opening(branch, build())
            if reply.error is not None or failpoints.active("without_R5"):
                return reply
            try:
                stands = tso.validate_read_nowait(branch.shard, token)
                if stands is None:
                    stands = await tso.validate_read(branch.shard, token, timeout_s)
            except TsoTimeout as error:
                raise LockWaitTimeout(
                    f"an undecided commit on {branch.shard} did not end in time; try again"
                ) from error
            if stands:
                return reply
            await reply.drain()
        raise Conflict(f"reads on shard {branch.shard} met commits that were rolled back again and again")

    async def _check_conflicts(
        self, shards: Sequence[ShardName], checks: Sequence[ConflictCheck], *, locking_read: bool
    ) -> None:
        """[R1] for the rows that a current read passed over or met: asked on a second connection."""
        assert self.read_ts is not None

        settings = self.engine.settings

        async def check(name: ShardName) -> None:
            assert self.read_ts is not None
            async with borrow(self.engine.shards[name], settings.acquire_timeout_s) as connection:
                await raise_on_conflict(
                    connection,
                    checks,
                    self.read_ts,
                    self._started(),
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
            await gather([self._run(b, [f"SAVEPOINT {quoted}"]) for b in self.branches.values() if b.opened])
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
                    await self._end_branch(self.branches.pop(shard), "ROLLBACK")
                    continue
                await self._run(branch, [f"ROLLBACK TO SAVEPOINT {quoted}"])
                branch.savepoints = [s for s in branch.savepoints if s not in later]
                if branch.view_open and branch.view_depth > branch.savepoints.index(name):
                    branch.view_open = (
                        False  # InnoDB may have dropped the view: the next statement looks again.
                    )
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
                    await self._run(branch, [f"RELEASE SAVEPOINT {quote(name)}"])
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
        await settle([self._end_branch(branch, "ROLLBACK") for branch in branches])
        if self.state in (TransactionState.ACTIVE, TransactionState.LOST):
            self.state = TransactionState.ROLLED_BACK
            self.engine.counters.rolled_back += 1
            await self._forget()

    def abandon(self) -> None:
        """The client is gone in the middle of a statement: drop every connection, so that its locks are freed."""
        for branch in self.branches.values():
            branch.connection.abort()

    async def _forget(self) -> None:
        if self.start_ts is not None:
            try:
                await self.engine.tso.end(self.start_ts)
            except (TsoUnavailable, TsoTimeout, TransactionUnknown):
                pass  # The oracle forgets it with the session.

    async def _end_branch(self, branch: Branch, how: str) -> None:
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

    def _started(self) -> Timestamp:
        assert self.start_ts is not None
        return self.start_ts

    async def _begin(self) -> None:
        if self.start_ts is None:
            begun = await self._oracle(self.engine.tso.begin())
            self.start_ts, self.floor = begun

    async def _oracle(self, call: Any) -> Any:
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

    async def _relay_opening(self, branch: Branch, statement: Any, *, savepoint: bool = False) -> Reply:
        """Relay a current read or a write; START TRANSACTION and the variables go in the same packet."""
        prefix: list[str] = []
        if not branch.opened:
            prefix += start_statements(self.isolation, with_view=False)
        if not branch.variables_set:
            prefix.append(set_variables(self._started(), self.floor, self.read_ts, branch.too_new))
        if savepoint:
            prefix.append(f"SAVEPOINT {STATEMENT_SAVEPOINT}")
        branch.opened = branch.variables_set = True
        return await self._relay(branch, prefix, statement)

    async def _relay(self, branch: Branch, prefix: list[str], statement: Any) -> Reply:
        _, reply = await branch.connection.relay(prefix, statement, None)
        self._require_alive(branch, reply)
        return reply

    def _require_alive(self, branch: Branch, reply: Reply) -> None:
        if reply.error is not None and reply.error.errno in LOST_ERRNOS:
            raise ConnectionLost(f"{branch.shard}: {reply.error.message}")

    async def _run(self, branch: Branch, statements: list[str]) -> list[Any]:
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
