"""The end of the demo: is everything that was acknowledged in the bank, does it add up, and is nothing left
behind?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import aiomysql
from pymysql.err import MySQLError

from proxy.demo.bank import DATABASE, expected_balances
from proxy.demo.journal import Entry, Outcome, read_journals
from proxy.playground.servers import Server
from txguard.engine.undecided import UNDECIDED

CLEAN_WITHIN_S: Final = 15.0
_TOLD: Final = 5
_POLL_S: Final = 0.1

_LOCKS: Final = f"SELECT COUNT(*) FROM ({UNDECIDED}) undecided"
_OPEN: Final = (
    "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_mysql_thread_id NOT IN (0, CONNECTION_ID())"
)


async def audit(
    host: str,
    port: int,
    servers: Sequence[Server],
    journals: Path,
    tell: Callable[[str], None],
    clean_within_s: float = CLEAN_WITHIN_S,
) -> list[str]:
    """Violations, in words."""
    entries = list(read_journals(journals))
    violations = await _leftovers(servers, tell, clean_within_s)
    transfers, balances = await _read_bank(host, port)
    violations += compare_with_journals(entries, {transfer_id for transfer_id, *_ in transfers})
    expected = expected_balances([(source, target, amount) for _, source, target, amount in transfers])
    wrong = [account for account in expected if balances.get(account) != expected[account]]
    if wrong:
        violations.append(f"{len(wrong)} accounts do not hold what their transfers say: {wrong[:_TOLD]}")
    acknowledged = sum(entry.outcome is Outcome.ACKNOWLEDGED for entry in entries)
    tell(
        f"{len(transfers)} transfers in the bank; {acknowledged} acknowledged, "
        f"{sum(entry.outcome is Outcome.UNKNOWN for entry in entries)} of unknown outcome"
    )
    return violations


def compare_with_journals(entries: Sequence[Entry], present: Collection[int]) -> list[str]:
    """A transfer of unknown outcome may be there or not; any other must be as its client was told."""
    violations = []
    of = {outcome: {entry.id for entry in entries if entry.outcome is outcome} for outcome in Outcome}
    checks = (
        ("acknowledged transfers are missing", of[Outcome.ACKNOWLEDGED].difference(present)),
        ("transfers are there that failed", of[Outcome.FAILED].intersection(present)),
        ("transfers are there that nobody was told of", set(present).difference(*of.values())),
    )
    for what, ids in checks:
        if ids:
            violations.append(f"{len(ids)} {what}: {sorted(ids)[:_TOLD]}")
    return violations


async def _read_bank(host: str, port: int) -> tuple[list[tuple[int, int, int, Decimal]], dict[int, Decimal]]:
    """All transfers (id, source, target, amount) and balances, of one instant."""
    async with (
        aiomysql.connect(host=host, port=port, user="root", autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        await cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        await cursor.execute(f"SELECT id, source, target, amount FROM {DATABASE}.transfer")
        transfers = list(await cursor.fetchall())
        await cursor.execute(f"SELECT id, balance FROM {DATABASE}.account")
        balances = dict(await cursor.fetchall())
        await cursor.execute("COMMIT")
    return transfers, balances


async def _leftovers(
    servers: Sequence[Server], tell: Callable[[str], None], clean_within_s: float
) -> list[str]:
    """Locks and open transactions, on the servers themselves; they have a few seconds to go."""
    started = time.monotonic()
    while True:
        left = []
        for number, server in enumerate(servers, 1):
            try:
                locks, transactions = await _count(server)
            except (OSError, MySQLError) as error:
                left.append(f"s{number} cannot be asked for locks: {error}")
                continue
            if locks or transactions:
                left.append(f"s{number} still has {locks} locks and {transactions} open transactions")
        if not left:
            tell(f"no lock and no open transaction is left, {time.monotonic() - started:.1f} s after the end")
            return []
        if time.monotonic() - started > clean_within_s:
            return left
        await asyncio.sleep(_POLL_S)


async def _count(server: Server) -> tuple[int, int]:
    async with (
        aiomysql.connect(host=server.host, port=server.port, user=server.user) as connection,
        connection.cursor() as cursor,
    ):
        counts = []
        for query in (_LOCKS, _OPEN):
            await cursor.execute(query)
            counts.append(int((await cursor.fetchone())[0]))
    return counts[0], counts[1]
