"""SERIALIZABLE beside what test_hermitage.py plays: locks that last, are known to have lasted, and read-only work."""

from __future__ import annotations

import pytest

from tests.fakes.ledger import Ledger
from tests.isolation.scenes import balance, set_balance, stored_balance
from tso.types import ShardName
from txguard.engine.branch import Isolation
from txguard.engine.shard import ShardError
from txguard.engine.transaction import Transaction
from txguard.errors import Conflict

ER_LOCK_WAIT_TIMEOUT = 1205


def begin(ledger: Ledger) -> Transaction:
    return ledger.begin(Isolation.SERIALIZABLE)


async def is_locked(ledger: Ledger, account: int) -> bool:
    """Whether a writer has to wait."""
    txn = ledger.begin()
    nowait = f"SELECT balance FROM {ledger.schema}.account WHERE id = {account} FOR UPDATE NOWAIT"
    try:
        [reply] = await txn.write([ledger.shard_of(account)], lambda _: nowait, locking_read=True)
        return reply.error is not None
    except ShardError as error:
        return error.errno == ER_LOCK_WAIT_TIMEOUT
    finally:
        await txn.rollback()


async def test_reads_are_of_the_present_and_lock_it_until_the_end(ledger: Ledger) -> None:
    for ending in (Transaction.commit, Transaction.rollback):
        txn = begin(ledger)
        assert await balance(ledger, txn, 0) == 100
        assert await is_locked(ledger, 0)
        assert not await is_locked(ledger, 1)
        await ending(txn)
        assert not await is_locked(ledger, 0)
    txn = begin(ledger)
    await txn.open_snapshot(ledger.names)  # As in MySQL: no matter of this level.
    assert await balance(ledger, txn, 0) == 100
    await set_balance(ledger, 1, 70)
    assert await balance(ledger, txn, 1) == 70
    await ledger.add(txn, 1, -10)
    await txn.commit()
    assert await stored_balance(ledger, 1) == 60


@pytest.mark.mariadb_only
async def test_going_back_to_a_savepoint_frees_nothing_that_was_read(ledger: Ledger) -> None:
    txn = begin(ledger)
    await ledger.add(txn, 1, +1)
    await txn.savepoint("here")
    await balance(ledger, txn, 0)
    await ledger.add(txn, 2, +1)
    await txn.savepoint("there")
    await txn.rollback_to("here")
    assert await is_locked(ledger, 0)
    await txn.release_savepoint("here")
    await txn.commit()
    assert [await stored_balance(ledger, account) for account in (0, 1, 2)] == [100, 101, 100]


@pytest.mark.mariadb_only
async def test_a_commit_without_the_locks_of_its_reads_fails(ledger: Ledger) -> None:
    for writes in (True, False):
        txn = begin(ledger)
        await balance(ledger, txn, 0)
        if writes:
            await ledger.add(txn, 1, +50)
        else:
            await balance(ledger, txn, 1)
        txn.branches[ShardName("s0")].connection.abort()
        with pytest.raises(Conflict):
            await txn.commit()
        assert await stored_balance(ledger, 1) == 100
    assert await ledger.locks_left(5) == 0
