"""A5A and PMP over shards: a snapshot whose view on a second shard opens later still shows one instant [R3]."""

from __future__ import annotations

import pytest

from tests.fakes.ledger import Ledger
from tests.isolation.scenes import balance
from txguard.engine import failpoints


async def test_both_halves_of_a_later_transfer_are_invisible(ledger: Ledger) -> None:
    txn = ledger.begin()
    assert await balance(ledger, txn, 0) == 100
    await ledger.transfer(1, 0, 1, 7)
    assert await balance(ledger, txn, 1) == 100, "the view on s1 was opened after the transfer"
    assert await balance(ledger, txn, 0) == 100
    await txn.rollback()


async def test_rows_that_a_later_transaction_inserts_are_no_phantoms(ledger: Ledger) -> None:
    txn = ledger.begin()
    await balance(ledger, txn, 0)
    await ledger.transfer(1, 0, 1, 7)
    assert await count_entries(ledger, txn) == 0
    await txn.rollback()


async def test_a_fuzzy_read_is_impossible(ledger: Ledger) -> None:
    txn = ledger.begin()
    before = await ledger.balances(txn)
    await ledger.transfer(1, 2, 5, 7)
    assert await ledger.balances(txn) == before
    await txn.rollback()


@pytest.mark.parametrize("what", ["skew", "phantom"])
async def test_without_too_new_versions_left_out_the_snapshot_is_torn(ledger: Ledger, what: str) -> None:
    failpoints.enable("without_R3", "on")
    txn = ledger.begin()
    assert await balance(ledger, txn, 0) == 100
    await ledger.transfer(1, 0, 1, 7)
    if what == "skew":
        assert await balance(ledger, txn, 1) == 107
    else:
        assert await count_entries(ledger, txn) == 1
    await txn.rollback()


async def count_entries(ledger: Ledger, txn: object) -> int:
    from tests.fakes.ledger import ENTRY_COLUMNS
    from txguard.engine.patch import patched_source
    from txguard.engine.transaction import Transaction

    assert isinstance(txn, Transaction)
    [reply] = await txn.read(
        [ledger.shard_of(1)],
        lambda _, too_new: (
            "SELECT id FROM "
            + (
                patched_source(ledger.schema, "entry", ENTRY_COLUMNS, too_new, "e")
                if too_new
                else f"{ledger.schema}.entry"
            )
        ),
    )
    return len(ledger._rows(reply))
