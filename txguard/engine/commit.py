"""COMMIT: dependencies, `commit_ts`, prewrite on all participants at once, and what a failure leads to.

The rule this file keeps: `commit_ts` is taken before any row lock is released, and once a prewrite may have been
sent the outcome is only ever learnt by `resolve`, never guessed. A crash before the first prewrite leaves
nothing; after it, commit records that anyone may resolve. Source: docs/protocol.md, "A transaction" step 4.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tso.errors import DependencyRolledBack, TransactionUnknown, TsoError, TsoTimeout, TsoUnavailable
from tso.types import Orphan, Outcome, ShardName, Timestamp
from txguard.engine import failpoints
from txguard.engine.branch import CLEAR_VARIABLES, Branch
from txguard.engine.concurrent import gather, settle
from txguard.engine.resolve import Decision
from txguard.engine.states import TransactionState
from txguard.engine.triggers import parse_dependencies
from txguard.errors import Conflict, OracleUnavailable, OutcomeUndetermined

if TYPE_CHECKING:
    from txguard.engine.transaction import Transaction


async def commit(txn: Transaction) -> None:
    """Commit, or raise: Conflict or OracleUnavailable (rolled back everywhere), OutcomeUndetermined (not known)."""
    writers = [branch for branch in txn.branches.values() if branch.wrote]
    if not writers:
        await txn.end_branches("COMMIT")
        txn.state = TransactionState.COMMITTED
        await txn.forget()
        return
    participants = tuple(sorted(branch.shard for branch in writers))
    try:
        await failpoints.reach("commit_before_begin")
        txn.commit_ts = await _begin_commit(txn, writers, participants)
    except Exception as error:
        await txn.rollback()
        raise _before_prewrite_error(error) from error
    except BaseException:
        txn.abandon("its COMMIT was interrupted")
        await asyncio.shield(
            txn.forget()
        )  # An oracle that has begun the commit nevertheless makes it an orphan.
        raise
    try:
        await _commit_outstanding(txn, writers, participants)
    except (Conflict, OutcomeUndetermined):
        raise
    except BaseException as error:
        # A defect or an interruption: prewrites may be under way, so only a resolver can tell.
        await asyncio.shield(_give_up(txn))
        if not isinstance(error, Exception):
            raise
        raise _undetermined(txn, str(error)) from error


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
    committed = outcome is Outcome.COMMITTED
    txn.state = TransactionState.COMMITTED if committed else TransactionState.ROLLED_BACK
    await txn.end_branches("COMMIT")  # They wrote nothing; `commit_ts` is taken, so their locks may go.
    if not committed:
        txn.engine.counters.rolled_back += 1
        raise Conflict(f"rolled back on all shards because a prewrite failed ({failed}); run it again")
    txn.engine.counters.committed += 1
    if len(participants) > 1:
        txn.engine.counters.committed_cross_shard += 1
        txn.engine.cleaner.add_decided(txn.started(), participants)


async def _begin_commit(
    txn: Transaction, writers: list[Branch], participants: tuple[ShardName, ...]
) -> Timestamp:
    """[R4] Fetch the replaced writers only when the oracle asks for them; wait for them; take `commit_ts`."""
    settings, tso = txn.engine.settings, txn.engine.tso
    on_all = {branch.shard for branch in txn.branches.values() if branch.depends_on_all}
    dependencies: list[Timestamp] | None = None
    if failpoints.active("without_R4"):
        dependencies, on_all = [], set()
    for attempt in range(1, settings.before_prewrite_tries + 1):
        try:
            commit_ts = await tso.begin_commit(
                txn.started(), participants, dependencies, on_all, settings.before_prewrite_timeout_s
            )
            if commit_ts is None:
                dependencies = await _fetch_dependencies(writers, on_all, settings.control_timeout_s)
                commit_ts = await tso.begin_commit(
                    txn.started(), participants, dependencies, on_all, settings.before_prewrite_timeout_s
                )
            assert commit_ts is not None, "the dependencies were given"
            return commit_ts
        except (TsoTimeout, TsoUnavailable):
            if attempt == settings.before_prewrite_tries:
                raise
    raise AssertionError("unreachable")


async def _fetch_dependencies(
    writers: list[Branch], on_all: set[ShardName], timeout_s: float
) -> list[Timestamp]:
    """The writers that were replaced; a shard with too many to list goes to `on_all`."""
    answers = await gather([branch.connection.run(["SELECT @txg_deps"], timeout_s) for branch in writers])
    found: set[int] = set()
    for branch, rows in zip(writers, answers, strict=True):
        value = rows[0].rows[0][0]
        listed = parse_dependencies(
            None if value is None else value if isinstance(value, bytes) else str(value)
        )
        if listed is None:
            on_all.add(branch.shard)
        else:
            found |= listed
    return [Timestamp(writer) for writer in sorted(found)]


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
    return Conflict(f"the commit could not begin ({error}); rolled back, run it again")


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
    statements = prewrite_statements(txn.epoch, txn.started(), txn.commit_ts, participants)
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
    resolver, transaction = txn.engine.resolver, Orphan(txn.started(), txn.commit_ts, participants)
    decision: Decision | None = None
    try:
        async with asyncio.timeout(txn.engine.settings.cleanup_timeout_s):
            decision = await resolver.decide(transaction)
            await resolver.carry_out(decision)
            return decision.outcome
    except Exception as error:
        await _give_up(txn)
        if decision is not None:
            return decision.outcome
        raise _undetermined(txn, failed) from error


async def _give_up(txn: Transaction) -> None:
    """Leave the commit to the janitor."""
    txn.abandon("its COMMIT was not carried out")
    txn.state = TransactionState.UNDETERMINED
    try:
        await txn.engine.tso.orphan(txn.started())
    except TsoError:
        pass  # An oracle that cannot be told has lost this session, and with it found its outstanding commits.


def _undetermined(txn: Transaction, failed: str) -> OutcomeUndetermined:
    txn.engine.counters.undetermined += 1
    return OutcomeUndetermined(
        f"the outcome of transaction {txn.started()} is not known yet ({failed}); it will be settled when its shards "
        "answer: do not run it again before you know"
    )


async def _tell_committed(txn: Transaction) -> None:
    """The commit point has passed: an oracle that cannot be told learns it from the janitor."""
    try:
        await txn.engine.tso.end_commit(txn.started(), Outcome.COMMITTED)
    except (TsoTimeout, TsoUnavailable, TransactionUnknown):
        pass
