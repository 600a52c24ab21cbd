"""An outstanding commit that met trouble: resolve, give up, tell the client what is known.

The rule: the outcome is learnt by `resolve`, never guessed; what cannot be learnt in time is said to be unknown.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tso.errors import TsoError
from tso.types import Orphan, Outcome, ShardName, Timestamp
from txguard.engine.branch import Branch
from txguard.engine.concurrent import settle
from txguard.engine.install import CLEAR_VARIABLES
from txguard.engine.resolve import Decision
from txguard.engine.shard import Rows
from txguard.engine.states import TransactionState
from txguard.engine.triggers import parse_dependencies
from txguard.errors import Conflict, OutcomeUndetermined

if TYPE_CHECKING:
    from txguard.engine.transaction import Transaction

DEPENDENCIES = "SELECT @txg_deps"


async def prewrite_failed(txn: Transaction, participants: tuple[ShardName, ...], failed: str) -> None:
    """Returns when the transaction is committed all the same. Raises Conflict or OutcomeUndetermined."""
    outcome = await _resolve(txn, participants, failed)
    await txn.end_branches("COMMIT")  # They wrote nothing; `commit_ts` is taken, so their locks may go.
    if outcome is Outcome.COMMITTED:
        txn.state = TransactionState.COMMITTED
        txn.engine.counters.committed += 1
        return
    txn.state = TransactionState.ROLLED_BACK
    txn.engine.counters.rolled_back += 1
    raise Conflict(f"rolled back on all shards because a prewrite failed ({failed}); run it again")


async def end_lockers(txn: Transaction) -> Exception | None:
    """End the branches that changed nothing but may have locked rows; what says that locks had gone before."""
    lockers = [branch for branch in txn.branches.values() if branch.variables_set]
    if not lockers:
        return None
    for branch in lockers:
        del txn.branches[branch.shard]
    results = await settle([_end_locker(txn, branch) for branch in lockers])
    return next((result for result in results if result is not None), None)


async def _end_locker(txn: Transaction, branch: Branch) -> None:
    try:
        await branch.connection.run(["COMMIT", CLEAR_VARIABLES], txn.engine.settings.control_timeout_s)
    except BaseException:
        branch.connection.abort()
        raise
    finally:
        txn.connections.release(branch.shard, branch.connection)


async def wait_dependencies(txn: Transaction, branch: Branch) -> None:
    """[R4] Until the versions that the transaction replaced on this branch are committed.

    Raises DependencyRolledBack and the like: it must be rolled back then.
    """
    settings = txn.engine.settings
    [rows] = await branch.connection.run([DEPENDENCIES], settings.control_timeout_s)
    timeout_s = settings.before_prewrite_timeout_s * settings.before_prewrite_tries
    await txn.engine.tso.wait_dependencies(txn.started(), listed_dependencies(rows), branch.shard, timeout_s)


def listed_dependencies(rows: Rows) -> set[Timestamp] | None:
    """The answer to DEPENDENCIES; None: too many to list."""
    value = rows.rows[0][0]
    listed = parse_dependencies(None if value is None else value if isinstance(value, bytes) else str(value))
    return None if listed is None else {Timestamp(writer) for writer in listed}


async def interrupted(txn: Transaction, error: BaseException) -> None:
    """A defect or an interruption: prewrites may be under way, so only a resolver can tell."""
    await asyncio.shield(give_up(txn))
    if not isinstance(error, Exception):
        raise error
    raise _undetermined(txn, str(error)) from error


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
        await give_up(txn)
        if decision is not None:
            return decision.outcome
        raise _undetermined(txn, failed) from error


async def give_up(txn: Transaction) -> None:
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
        f"answer: do not run it again before SHOW TXGUARD TRANSACTION {txn.started()} has told it"
    )
