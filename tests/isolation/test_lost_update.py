"""P4: of two transactions that read a row and write it, the first committer wins [R1]."""

from __future__ import annotations

import pytest

from tests.fakes.ledger import Ledger
from tests.isolation.scenes import balance, stored_balance
from txguard.engine import failpoints
from txguard.engine.branch import Isolation
from txguard.engine.conflicts import ConflictCheck
from txguard.errors import Conflict


async def test_the_second_writer_gets_a_conflict(ledger: Ledger) -> None:
    txn = ledger.begin()
    assert await balance(ledger, txn, 0) == 100
    await ledger.transfer(1, 0, 3, 10)
    with pytest.raises(Conflict) as caught:
        await ledger.add(txn, 0, -10)
    assert (caught.value.errno, caught.value.sqlstate) == (1213, "40001")
    assert await stored_balance(ledger, 0) == 90


async def test_the_second_writer_on_a_shard_read_later_gets_a_conflict(ledger: Ledger) -> None:
    """The version is in the view, because the view opened after it, but not in the snapshot."""
    txn = ledger.begin()
    await balance(ledger, txn, 2)
    await ledger.transfer(1, 0, 3, 10)
    with pytest.raises(Conflict):
        await ledger.add(txn, 0, -10)


async def test_a_row_that_no_longer_meets_the_where_is_a_conflict(ledger: Ledger) -> None:
    """The UPDATE passes it over in silence: no trigger sees it."""
    txn = ledger.begin()
    await balance(ledger, txn, 0)
    await ledger.transfer(1, 0, 3, 10)
    sql = f"UPDATE {ledger.schema}.account SET balance = 0 WHERE balance = 100 AND id = 0"
    check = ConflictCheck(ledger.schema, "account", "balance = 100 AND id = 0")
    with pytest.raises(Conflict):
        await txn.write([ledger.shard_of(0)], lambda _: sql, checks=[check])


async def test_a_locking_read_of_a_newer_version_is_a_conflict(ledger: Ledger) -> None:
    txn = ledger.begin()
    await balance(ledger, txn, 0)
    await ledger.transfer(1, 0, 3, 10)
    sql = f"SELECT balance FROM {ledger.schema}.account WHERE id = 0 FOR UPDATE"
    with pytest.raises(Conflict):
        await txn.write(
            [ledger.shard_of(0)],
            lambda _: sql,
            locking_read=True,
            checks=[ConflictCheck(ledger.schema, "account", "id = 0")],
        )


async def test_a_writer_without_a_snapshot_takes_the_latest_version(ledger: Ledger) -> None:
    txn = ledger.begin()
    await ledger.add(txn, 3, +1)
    await ledger.transfer(1, 0, 6, 10)
    await ledger.add(txn, 0, -10)
    await txn.commit()
    assert await stored_balance(ledger, 0) == 80


async def test_read_committed_takes_the_latest_version(ledger: Ledger) -> None:
    txn = ledger.begin(Isolation.READ_COMMITTED)
    assert await balance(ledger, txn, 0) == 100
    await ledger.transfer(1, 0, 3, 10)
    await ledger.add(txn, 0, -10)
    await txn.commit()
    assert await stored_balance(ledger, 0) == 80


async def test_without_first_committer_wins_the_update_is_lost(ledger: Ledger) -> None:
    failpoints.enable("without_R1", "on")
    txn = ledger.begin()
    seen = await balance(ledger, txn, 0)
    await ledger.transfer(1, 0, 3, 10)
    sql = f"UPDATE {ledger.schema}.account SET balance = {seen - 10} WHERE id = 0"
    await ledger.write(txn, ledger.shard_of(0), sql)
    await txn.commit()
    assert await stored_balance(ledger, 0) == 90, "two withdrawals of ten, and one is lost"
