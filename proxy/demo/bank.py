"""The bank: its tables, how they are filled, and what is true of them at every instant.

A transfer's row lies with its source account (same shard key), so a transfer between two accounts of one
shard is a transaction of one shard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from txguard.inspector import Invariant

ACCOUNTS: Final = 1_000
OPENING_BALANCE: Final = Decimal("1000.00")
TOTAL: Final = ACCOUNTS * OPENING_BALANCE
DATABASE: Final = "bank"

SCHEMA: Final = (
    f"CREATE DATABASE {DATABASE}",
    f"CREATE TABLE {DATABASE}.account (id INT NOT NULL PRIMARY KEY, balance DECIMAL(12,2) NOT NULL)",
    f"CREATE TABLE {DATABASE}.transfer (source INT NOT NULL, id BIGINT NOT NULL, target INT NOT NULL, "
    "amount DECIMAL(12,2) NOT NULL, PRIMARY KEY (source, id))",
)
SUM: Final = f"SELECT SUM(balance), COUNT(*) FROM {DATABASE}.account"

INVARIANTS: Final = (
    Invariant("the money in all accounts", f"SELECT SUM(balance) FROM {DATABASE}.account", TOTAL),
    Invariant("the number of accounts", f"SELECT COUNT(*) FROM {DATABASE}.account", ACCOUNTS),
    Invariant("nobody is overdrawn", f"SELECT id, balance FROM {DATABASE}.account WHERE balance < 0", None),
)
_BATCH: Final = 250


def open_bank(connection: Any) -> None:
    """Create the tables and the accounts, through the proxy."""
    with connection.cursor() as cursor:
        for statement in SCHEMA:
            cursor.execute(statement)
        for first in range(1, ACCOUNTS + 1, _BATCH):
            rows = ", ".join(f"({number}, {OPENING_BALANCE})" for number in range(first, first + _BATCH))
            cursor.execute(f"INSERT INTO {DATABASE}.account (id, balance) VALUES {rows}")


def expected_balances(transfers: Iterable[tuple[int, int, Decimal]]) -> Mapping[int, Decimal]:
    """What each account must hold after these transfers (source, target, amount)."""
    balances = dict.fromkeys(range(1, ACCOUNTS + 1), OPENING_BALANCE)
    for source, target, amount in transfers:
        balances[source] -= amount
        balances[target] += amount
    return balances
