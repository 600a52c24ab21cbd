"""COMMIT: dependencies and `commit_ts`; the rest is `committing.py`.

The rule this file keeps: `commit_ts` is taken before any row lock is released. A crash before the first prewrite leaves
nothing; after it, commit records that anyone may resolve. Source: docs/protocol.md, "A transaction" step 4.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from tso.errors import DependencyRolledBack, TransactionUnknown, TsoTimeout, TsoUnavailable
from tso.types import ShardName, Timestamp
from txguard.engine import failpoints
from txguard.engine.branch import Branch
from txguard.engine.commit_on import Rest, hand_over
from txguard.engine.committing import Committing
from txguard.engine.concurrent import gather
from txguard.engine.outstanding import DEPENDENCIES, end_lockers, interrupted, listed_dependencies
from txguard.engine.states import TransactionState
from txguard.errors import Conflict, OracleUnavailable, OutcomeUndetermined

if TYPE_CHECKING:
    from txguard.engine.transaction import Transaction


async def commit(txn: Transaction) -> None:
    """Commit, or raise: Conflict or OracleUnavailable (rolled back everywhere), OutcomeUndetermined (not known)."""
    writers = [branch for branch in txn.branches.values() if branch.wrote]
    if not writers:
        await _commit_reads(txn)
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
    await _bring_to_its_end(txn, writers, participants)


async def _commit_reads(txn: Transaction) -> None:
    """It is at this moment, at which it holds all its locks, or it is not at all."""
    lost = await end_lockers(txn)
    if lost is not None:
        await txn.rollback()
        raise Conflict(f"what this transaction had locked may have changed ({lost}); run it again")
    await txn.end_branches("COMMIT")
    txn.state = TransactionState.COMMITTED
    await txn.forget()


async def _bring_to_its_end(
    txn: Transaction, writers: list[Branch], participants: tuple[ShardName, ...]
) -> None:
    done: asyncio.Future[Rest | None] = asyncio.get_running_loop().create_future()
    committing = Committing(txn, writers, participants, partial(hand_over, done))
    try:
        committing.start()
        rest = await done
        if rest is not None:
            await rest
    except (Conflict, OutcomeUndetermined):
        raise
    except BaseException as error:
        committing.abort()
        await interrupted(txn, error)


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
    answers = await gather([branch.connection.run([DEPENDENCIES], timeout_s) for branch in writers])
    found: set[Timestamp] = set()
    for branch, rows in zip(writers, answers, strict=True):
        listed = listed_dependencies(rows[0])
        if listed is None:
            on_all.add(branch.shard)
        else:
            found.update(listed)
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
    return Conflict(f"the commit could not begin ({error}); rolled back, run it again")
