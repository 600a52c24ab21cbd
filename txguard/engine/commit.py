"""COMMIT: dependencies, `commit_ts`, prewrite on all participants at once, and what a failure leads to.

The rule this file keeps: `commit_ts` is taken before any row lock is released, and once a prewrite may have been
sent the outcome is only ever learnt by `resolve`, never guessed. A crash before the first prewrite leaves
nothing; after it, commit records that anyone may resolve. Source: docs/protocol.md, "A transaction" step 4.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tso.errors import DependencyRolledBack, TransactionUnknown, TsoTimeout, TsoUnavailable
from tso.types import Outcome, ShardName, Timestamp
from txguard.engine import failpoints
from txguard.engine.branch import CLEAR_VARIABLES, Branch
from txguard.engine.concurrent import gather, settle
from txguard.engine.shard import ConnectionLost, ShardError
from txguard.engine.states import TransactionState
from txguard.errors import Conflict, OracleUnavailable, OutcomeUndetermined

if TYPE_CHECKING:
    from txguard.engine.transaction import Transaction


async def commit(txn: Transaction) -> None:
    """Commit, or raise: Conflict or OracleUnavailable (rolled back everywhere), OutcomeUndetermined (not known)."""
    writers = [branch for branch in txn.branches.values() if branch.wrote]
    if not writers:
        await _end_reading(txn)
        txn.state = TransactionState.COMMITTED
        await txn.forget()
        return
    participants = tuple(sorted(branch.shard for branch in writers))
    await failpoints.reach("commit_before_begin")
    try:
        txn.commit_ts = await _begin_commit(txn, writers, participants)
    except Exception as error:
        await txn.rollback()
        raise _before_prewrite_error(error) from error
    try:
        await _commit_outstanding(txn, writers, participants)
    except asyncio.CancelledError:
        txn.abandon()
        txn.state = TransactionState.UNDETERMINED
        await asyncio.shield(txn.engine.tso.orphan(txn.started()))
        raise


async def _commit_outstanding(
    txn: Transaction, writers: list[Branch], participants: tuple[ShardName, ...]
) -> None:
    await failpoints.reach("commit_after_begin")
    failed = await _prewrite(txn, writers, participants)
    if failed:
        outcome = await _resolve(txn, participants, failed)
    else:
        await failpoints.reach("commit_before_end")
        outcome = Outcome.COMMITTED
        await _tell_committed(txn)
        await failpoints.reach("commit_after_end")
    await _end_reading(txn)
    if outcome is Outcome.ROLLED_BACK:
        txn.state = TransactionState.ROLLED_BACK
        txn.engine.counters.rolled_back += 1
        raise Conflict(f"rolled back on all shards because a prewrite failed ({failed}); run it again")
    txn.state = TransactionState.COMMITTED
    txn.engine.counters.committed += 1
    if len(participants) > 1:
        txn.engine.counters.committed_cross_shard += 1
        txn.engine.cleaner.add_decided(txn.started(), participants)


async def _begin_commit(
    txn: Transaction, writers: list[Branch], participants: tuple[ShardName, ...]
) -> Timestamp:
    """[R4] Fetch the replaced writers only when the oracle asks for them; wait for them; take `commit_ts`."""
    settings, tso = txn.engine.settings, txn.engine.tso
    inserted = [branch.shard for branch in writers if branch.inserted]
    dependencies: list[Timestamp] | None = None
    if failpoints.active("without_R4"):
        dependencies, inserted = [], []
    for attempt in range(1, settings.before_prewrite_tries + 1):
        try:
            commit_ts = await tso.begin_commit(
                txn.started(), participants, dependencies, inserted, settings.before_prewrite_timeout_s
            )
            if commit_ts is None:
                dependencies = await _fetch_dependencies(writers, settings.before_prewrite_timeout_s)
                commit_ts = await tso.begin_commit(
                    txn.started(), participants, dependencies, inserted, settings.before_prewrite_timeout_s
                )
            assert commit_ts is not None, "the dependencies were given"
            return commit_ts
        except (TsoTimeout, TsoUnavailable):
            if attempt == settings.before_prewrite_tries:
                raise
    raise AssertionError("unreachable")


async def _fetch_dependencies(writers: list[Branch], timeout_s: float) -> list[Timestamp]:
    answers = await gather([branch.connection.run(["SELECT @txg_deps"], timeout_s) for branch in writers])
    found: set[Timestamp] = set()
    for rows in answers:
        text = rows[0].rows[0][0]
        if text:
            joined = text.decode() if isinstance(text, bytes) else str(text)
            found.update(Timestamp(int(item)) for item in joined.split(",") if item)
    return sorted(found)


def _before_prewrite_error(error: Exception) -> Exception:
    """Nothing was prewritten: the transaction is rolled back, and running it again is safe."""
    if isinstance(error, DependencyRolledBack):
        return Conflict("a transaction whose rows this one replaced was rolled back; run it again")
    if isinstance(error, TransactionUnknown):
        return Conflict("the timestamp oracle was restarted during the transaction; run it again")
    if isinstance(error, TsoTimeout):
        return Conflict(
            "a transaction that this one depends on is still undecided; rolled back, run it again"
        )
    if isinstance(error, TsoUnavailable):
        return OracleUnavailable(f"{error}; the transaction was rolled back, run it again")
    if isinstance(error, (ConnectionLost, ShardError)):
        return Conflict(f"a shard was lost before the commit ({error}); rolled back, run it again")
    return error


def prewrite_statements(
    epoch: int, start_ts: Timestamp, commit_ts: Timestamp, participants: tuple[ShardName, ...]
) -> list[str]:
    """One packet: the commit record through the epoch's view, the lock record of a cross-shard commit, COMMIT."""
    cross_shard = len(participants) > 1
    names = "'" + ",".join(participants) + "'" if cross_shard else "NULL"
    statements = [
        f"INSERT INTO _txguard.commit_{epoch} (start_ts, commit_ts, state, participants) "
        f"VALUES ({start_ts}, {commit_ts}, 'C', {names})"
    ]
    if cross_shard:
        statements.append(
            "INSERT INTO _txguard.txn_lock (start_ts, commit_ts, participants, created_at) "
            f"VALUES ({start_ts}, {commit_ts}, {names}, NOW())"
        )
    return [*statements, "COMMIT", CLEAR_VARIABLES]


async def _prewrite(txn: Transaction, writers: list[Branch], participants: tuple[ShardName, ...]) -> str:
    """Prewrite on all participants at once. Answers what failed, or an empty text. The failed are dropped."""
    assert txn.commit_ts is not None
    statements = prewrite_statements(txn.engine.tso.epoch, txn.started(), txn.commit_ts, participants)
    timeout_s = txn.engine.settings.prewrite_timeout_s

    async def one(branch: Branch) -> None:
        await failpoints.reach("prewrite_before_send")
        await branch.connection.run(statements, timeout_s)
        await failpoints.reach("prewrite_one_done")

    results = await settle([one(branch) for branch in writers])
    failures: list[str] = []
    for branch, result in zip(writers, results, strict=True):
        del txn.branches[branch.shard]
        if isinstance(result, Exception):
            failures.append(f"{branch.shard}: {result}")
            branch.connection.abort()
        txn.connections.release(branch.shard, branch.connection)
    return "; ".join(failures)


async def _resolve(txn: Transaction, participants: tuple[ShardName, ...], failed: str) -> Outcome:
    assert txn.commit_ts is not None
    start_ts, engine = txn.started(), txn.engine
    try:
        async with asyncio.timeout(engine.settings.cleanup_timeout_s):
            return await engine.resolver.resolve(start_ts, txn.commit_ts, participants)
    except Exception as error:
        decided = engine.resolver.known_outcome(start_ts)
        await engine.tso.orphan(start_ts)
        if decided is not None:
            return decided
        await _end_reading(txn)
        txn.state = TransactionState.UNDETERMINED
        txn.engine.counters.undetermined += 1
        raise OutcomeUndetermined(
            f"the outcome of transaction {start_ts} is not known yet ({failed}); it will be settled when its shards "
            "answer: do not run it again before you know"
        ) from error


async def _tell_committed(txn: Transaction) -> None:
    """The commit point has passed: an oracle that cannot be told learns it from the janitor."""
    try:
        await txn.engine.tso.end_commit(txn.started(), Outcome.COMMITTED)
    except (TsoTimeout, TsoUnavailable, TransactionUnknown):
        pass


async def _end_reading(txn: Transaction) -> None:
    """End the local transactions that wrote nothing; `commit_ts` is taken, so their locks may go."""
    branches = list(txn.branches.values())
    txn.branches.clear()
    await settle([txn.end_branch(branch, "COMMIT") for branch in branches])
