"""REPEATABLE READ without [R1]: one snapshot for reads, which shows own writes on versions later than it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.fakes.ledger import ACCOUNT_COLUMNS, Ledger
from tests.isolation.scenes import balance, stored_balance
from tso.types import ShardName, Timestamp
from txguard.engine.branch import Isolation
from txguard.engine.conflicts import ConflictCheck
from txguard.engine.patch import patched_source
from txguard.engine.transaction import Transaction

S1 = ShardName("s1")


async def accounts(ledger: Ledger, txn: Transaction) -> dict[int, int]:
    """Those on s1, as the proxy asks for them."""

    def build(_: ShardName, too_new: Sequence[Timestamp]) -> str:
        source = f"{ledger.schema}.account"
        if too_new:
            source = patched_source(
                ledger.schema, "account", ACCOUNT_COLUMNS, too_new, "a", overwritten_by_key=("id",)
            )
        return f"SELECT id, balance FROM {source}"

    [reply] = await txn.read([S1], build)
    return {int(row[0]): int(row[1]) for row in ledger._rows(reply)}


async def test_own_writes_over_versions_that_the_snapshot_does_not_see(ledger: Ledger) -> None:
    """Accounts 1, 4, 7 and 10 live on s1, whose view opens when all of them have been changed."""
    account = f"{ledger.schema}.account"
    txn = ledger.begin(Isolation.LAX_REPEATABLE_READ)
    await balance(ledger, txn, 0)
    newer = ledger.begin()
    await ledger.write(newer, S1, f"UPDATE {account} SET balance = balance + 1 WHERE id IN (1, 4, 7)")
    await ledger.write(newer, S1, f"DELETE FROM {account} WHERE id = 10")
    await newer.commit()
    assert await accounts(ledger, txn) == {1: 100, 4: 100, 7: 100, 10: 100}
    assert txn.branches[S1].too_new
    await ledger.add(txn, 1, 5)
    await ledger.write(txn, S1, f"DELETE FROM {account} WHERE id = 4")
    await ledger.write(txn, S1, f"INSERT INTO {account} VALUES (10, 3)")
    assert await accounts(ledger, txn) == {1: 106, 7: 100, 10: 3}
    await txn.commit()
    assert await stored_balance(ledger, 1) == 106


@pytest.mark.mariadb_only
async def test_a_snapshot_of_another_is_whole_all_the_same(ledger: Ledger) -> None:
    """The lax one overwrites what it does not see, and comes after it."""
    txn = ledger.begin(Isolation.LAX_REPEATABLE_READ)
    await balance(ledger, txn, 0)
    newer = ledger.begin()
    await ledger.add(newer, 0, -1)
    await ledger.add(newer, 1, +1)
    await newer.commit()
    between = ledger.begin()
    assert await balance(ledger, between, 0) == 99
    await ledger.add(txn, 0, -10)
    await ledger.add(txn, 1, +10)
    await txn.commit()
    assert sum((await ledger.balances(between)).values()) == await ledger.total() == 1200
    assert (await ledger.balances(between))[0] == 99
    await between.rollback()
    await passes_over_what_no_longer_meets_its_condition(ledger)


async def passes_over_what_no_longer_meets_its_condition(ledger: Ledger) -> None:
    txn = ledger.begin(Isolation.LAX_REPEATABLE_READ)
    assert await balance(ledger, txn, 2) == 100
    newer = ledger.begin()
    await ledger.add(newer, 2, 1)
    await newer.commit()
    where = "id = 2 AND balance = 100"
    sql = f"UPDATE {ledger.schema}.account SET balance = 0 WHERE {where}"
    check = ConflictCheck(ledger.schema, "account", where)
    [reply] = await txn.write([ledger.shard_of(2)], lambda _: sql, checks=[check])
    assert reply.affected_rows == 0
    await txn.commit()
