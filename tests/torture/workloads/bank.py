"""bank and bank-multitable (Jepsen): transfers between eight accounts, and reads of all of them."""

from __future__ import annotations

import enum
import random
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from tests.torture.client import Attempt, Client, GiveUp
from tests.torture.workloads.workload import Run, Workload

ACCOUNTS: Final = 8
TOTAL: Final = 100
DEFINITION: Final = "id INT PRIMARY KEY, balance INT NOT NULL"


class Variant(enum.Enum):
    READ_THEN_WRITE = "read then write"
    IN_PLACE = "update in place"
    FOR_UPDATE = "for update"


class Bank(Workload):
    name = "bank"
    tables: ClassVar[Mapping[str, str]] = {"account": DEFINITION}
    clients = 5
    ways: ClassVar[tuple[str, ...]] = ("statement", "sum", "join", "transaction")
    """In which all accounts are read."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.variant = rng.choice(list(Variant))

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"total": TOTAL, "accounts": ACCOUNTS, "variant": self.variant.value}

    async def fill(self, run: Run, homes: Mapping[int, str]) -> None:
        for account in range(ACCOUNTS):
            balance = TOTAL if account == 0 else 0
            await run(f"INSERT INTO {self._table(account)} (id, balance) VALUES ({account}, {balance})")

    async def step(self, client: Client) -> None:
        if self.rng.random() < 0.5:
            await self._look(client)
            return
        source, target = self.rng.sample(range(ACCOUNTS), 2)
        amount = self.rng.randint(1, 5)
        asked = [source, target, amount]
        in_place = self.variant is Variant.IN_PLACE

        async def transfer(attempt: Attempt) -> Any:
            await (self._in_place if in_place else self._read_then_write)(attempt, source, target, amount)
            return asked

        await client.transaction("transfer", asked, transfer)

    async def _look(self, client: Client) -> None:
        """All in one statement, by a sum, by a join, or one after the other in a transaction."""
        way = self.rng.choice(self.ways)
        if way == "transaction":
            await client.transaction("read", None, self._one_by_one, read_only=True)
        elif way == "join":
            await client.single("read", None, self._join, read_only=True)
        elif way == "sum":
            await client.single("sum", None, self._sum, read_only=True)
        else:
            await client.single("read", None, self._statement, read_only=True)

    def _table(self, account: int) -> str:
        return "account"

    async def _one_by_one(self, attempt: Attempt) -> Any:
        found = []
        for account in self.rng.sample(range(ACCOUNTS), ACCOUNTS):
            rows = await attempt.run(f"SELECT id, balance FROM {self._table(account)} WHERE id = {account}")
            found += [list(row) for row in rows]
        return found

    async def _statement(self, attempt: Attempt) -> Any:
        return [list(row) for row in await attempt.run("SELECT id, balance FROM account")]

    async def _join(self, attempt: Attempt) -> Any:
        """Which takes a quiet snapshot."""
        rows = await attempt.run("SELECT a.id, b.balance FROM account a JOIN account b ON a.id = b.id")
        return [list(row) for row in rows]

    async def _sum(self, attempt: Attempt) -> Any:
        [[total]] = await attempt.run("SELECT SUM(balance) FROM account")
        return int(total)

    async def _in_place(self, attempt: Attempt, source: int, target: int, amount: int) -> None:
        await attempt.run(
            f"UPDATE {self._table(source)} SET balance = balance - {amount} "
            f"WHERE id = {source} AND balance >= {amount}"
        )
        if not attempt.affected:
            raise GiveUp
        await attempt.run(
            f"UPDATE {self._table(target)} SET balance = balance + {amount} WHERE id = {target}"
        )

    async def _read_then_write(self, attempt: Attempt, source: int, target: int, amount: int) -> None:
        locking = " FOR UPDATE" if self.variant is Variant.FOR_UPDATE else ""
        balances = {}
        for account in (source, target):
            [[balances[account]]] = await attempt.run(
                f"SELECT balance FROM {self._table(account)} WHERE id = {account}{locking}"
            )
        if balances[source] < amount:
            raise GiveUp
        for account, change in ((source, -amount), (target, amount)):
            await attempt.run(
                f"UPDATE {self._table(account)} SET balance = {balances[account] + change} WHERE id = {account}"
            )


class BankMultitable(Bank):
    """One table per account."""

    name = "bank-multitable"
    tables: ClassVar[Mapping[str, str]] = {f"account{n}": DEFINITION for n in range(ACCOUNTS)}
    ways = ("transaction",)

    def _table(self, account: int) -> str:
        return f"account{account}"
