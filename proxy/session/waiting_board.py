"""Where the proxies over the same shards tell each other who waits: `_txguard.waiting` on the first shard that is up.

The rule: of all proxies one is the lookout, who alone looks at the shards' lock tables (MariaDB shows a copy of them
that it renews only where nobody has looked for 0.1 s). It holds the place for `LOOKOUT_S` at a time, and leaves it when
nobody waits. It marks a victim here; the proxy whose session that is sees the mark with its next report. Nothing is
written while nobody waits. What a proxy that died left here is ignored, and deleted later.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from proxy.backend.circuit import CircuitState
from proxy.executor.services import Services
from proxy.session.wait_graph import Thread, Waiter
from tso.types import ShardName
from txguard.engine.shard import ConnectionLost, Rows, ShardError, ShardUnavailable, Value, borrow
from txguard.engine.sqltext import numbers, text

LOOKOUT_S: Final = 0.6
FRESH_S: Final = 1.0
"""Reports older than this are of a proxy that is gone."""
STALE_S: Final = 60.0

NO_SUCH_TABLE: Final = 1146
_CREATE: Final = (
    """CREATE TABLE IF NOT EXISTS `_txguard`.`waiting` (
  `start_ts` BIGINT UNSIGNED NOT NULL,
  `proxy` VARCHAR(32) NOT NULL,
  `connection_id` BIGINT UNSIGNED NOT NULL,
  `threads` TEXT NOT NULL,
  `statement` TEXT NOT NULL,
  `reported_at` TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  `lost` TINYINT NOT NULL DEFAULT 0,
  PRIMARY KEY (`start_ts`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin""",
    """CREATE TABLE IF NOT EXISTS `_txguard`.`lookout` (
  `id` TINYINT UNSIGNED NOT NULL,
  `holder` VARCHAR(32) NOT NULL,
  `until_at` TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin""",
    "INSERT IGNORE INTO `_txguard`.`lookout` (`id`, `holder`) VALUES (1, '')",
)
_BEGIN: Final = ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION")
_SELECT: Final = (
    "SELECT start_ts, proxy, connection_id, threads, statement, lost, "
    "CAST(UNIX_TIMESTAMP(reported_at) * 1000000 AS UNSIGNED), "
    "TIMESTAMPDIFF(MICROSECOND, reported_at, NOW(6)) "
    "FROM _txguard.waiting"
)


class WaitingBoard:
    """This proxy's side of it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.proxy = secrets.token_hex(8)
        self.lost: list[int] = []
        """This proxy's transactions that the lookout has chosen to give way, as of the last exchange."""
        self._reported: set[int] = set()
        self._is_lookout = False

    async def exchange(self, own: Sequence[Waiter]) -> list[Waiter] | None:
        """Report `own`; everybody's waiters when it is upon this proxy to look, None otherwise."""
        self.lost = []
        if not own and not self._is_lookout and not self._reported:
            return None
        answers = await self._run(self._statements(own))
        self._reported = {waiter.start_ts for waiter in own}
        self._is_lookout = answers[-3].affected_rows == 1
        waiters, stale = self._parse(answers[-1])
        if not self._is_lookout:
            return None
        if stale:
            await self._run([f"DELETE FROM _txguard.waiting WHERE start_ts IN ({numbers(stale)})"])
        if not waiters:
            await self._run([f"UPDATE _txguard.lookout SET until_at = NOW(6) WHERE id = 1 AND {self._mine}"])
            self._is_lookout = False
        return waiters

    async def sentence(self, victims: Sequence[Waiter]) -> None:
        """Mark those who have to give way."""
        lost = numbers([victim.start_ts for victim in victims])
        await self._run([f"UPDATE _txguard.waiting SET lost = 1 WHERE start_ts IN ({lost})"])

    # ---------------------------------------------------------------- inside

    @property
    def _mine(self) -> str:
        return f"holder = '{self.proxy}'"

    def _statements(self, own: Sequence[Waiter]) -> list[str]:
        """One local transaction, so that it is one write to the shard's log."""
        gone = self._reported - {waiter.start_ts for waiter in own}
        statements = list(_BEGIN)
        if gone:
            statements.append(f"DELETE FROM _txguard.waiting WHERE start_ts IN ({numbers(sorted(gone))})")
        if own:
            rows = ", ".join(self._row(waiter) for waiter in own)
            statements.append(
                "INSERT INTO _txguard.waiting (start_ts, proxy, connection_id, threads, statement) "
                f"VALUES {rows} ON DUPLICATE KEY UPDATE threads = VALUES(threads), "
                "statement = VALUES(statement), reported_at = NOW(6)"
            )
        until = f"NOW(6) + INTERVAL {int(LOOKOUT_S * 1e6)} MICROSECOND"
        statements += [
            f"UPDATE _txguard.lookout SET holder = '{self.proxy}', until_at = {until} "
            f"WHERE id = 1 AND ({self._mine} OR until_at < NOW(6))",
            "COMMIT",
            _SELECT,
        ]
        return statements

    def _row(self, waiter: Waiter) -> str:
        threads = ",".join(f"{shard}:{thread}" for shard, thread in waiter.threads)
        statement = text(waiter.statement)
        return f"({waiter.start_ts}, '{self.proxy}', {waiter.connection_id}, '{threads}', {statement})"

    def _parse(self, answer: Rows) -> tuple[list[Waiter], list[int]]:
        """The fresh ones, and the start_ts of those that may be deleted."""
        waiters: list[Waiter] = []
        stale: list[int] = []
        for start_ts, proxy, connection_id, threads, statement, lost, reported, age in answer.rows:
            key, age_s = int(start_ts or 0), int(age or 0) / 1e6
            if age_s > STALE_S:
                stale.append(key)
            if age_s > FRESH_S:
                continue
            if int(lost or 0) and _text(proxy) == self.proxy:
                self.lost.append(key)
            waiter = Waiter(
                key,
                _text(proxy),
                int(connection_id or 0),
                _parse_threads(_text(threads)),
                _text(statement),
                int(reported or 0),
            )
            waiters.append(waiter)
        return waiters, stale

    async def _run(self, statements: Sequence[str]) -> list[Rows]:
        """Raises ShardUnavailable, ConnectionLost or ShardError."""
        services = self._services
        settings, shard = services.engine.settings, services.engine.shards[meeting_place(services)]
        for created in (False, True):
            async with borrow(shard, settings.acquire_timeout_s) as connection:
                try:
                    return await connection.run(statements, settings.control_timeout_s)
                except ShardError as error:
                    if error.errno != NO_SUCH_TABLE or created:
                        raise
            async with borrow(shard, settings.acquire_timeout_s) as connection:
                await connection.run(_CREATE, settings.control_timeout_s)
        raise AssertionError("unreachable")


def meeting_place(services: Services) -> ShardName:
    """The first shard that is up. All proxies agree on it, but for the moment in which one goes down or comes back."""
    names, pools = sorted(services.pools), services.pools
    return next((name for name in names if pools[name].statistics().state is CircuitState.UP), names[0])


def _parse_threads(text: str) -> tuple[Thread, ...]:
    threads: list[Thread] = []
    for part in filter(None, text.split(",")):
        shard, _, thread = part.rpartition(":")
        with suppress(ValueError):
            threads.append((ShardName(shard), int(thread)))
    return tuple(threads)


def _text(value: Value) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


NOT_REACHED: Final = (ShardUnavailable, ConnectionLost, ShardError)
