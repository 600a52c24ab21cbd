"""Who holds the row locks that a connection waits for, by the shard's own lock tables; and KILL.

The rules: only an undo kills, and only who blocks it: such a transaction has replaced or locked a version that is
being undone and could not commit; or a new epoch, what the last one left open. And only on fresh news: both servers
show a copy of their tables that they renew when nobody has looked for 0.1 s, so whoever looks more often would kill by
an old one, and by then another client may be on that connection. Sources: MySQL manual, "The data_lock_waits Table";
MariaDB Knowledge Base, "Information Schema INNODB_LOCK_WAITS Table"; storage/innobase/trx/trx0i_s.cc of both,
CACHE_MIN_IDLE_TIME.
"""

from __future__ import annotations

import asyncio

from tso.types import ShardName
from txguard.engine.settings import EngineSettings
from txguard.engine.shard import Connection, Shard, ShardError, borrow

_MARIADB = (
    "SELECT DISTINCT holder.trx_mysql_thread_id FROM information_schema.innodb_lock_waits waits "
    "JOIN information_schema.innodb_trx waiter ON waiter.trx_id = waits.requesting_trx_id "
    "JOIN information_schema.innodb_trx holder ON holder.trx_id = waits.blocking_trx_id "
    # Who holds shared locks only has the id 0, as has everybody who only reads, the one who looks among them.
    "AND (holder.trx_id <> 0 OR holder.trx_rows_locked > 0) "
    "WHERE waiter.trx_mysql_thread_id = {} AND EXISTS "
    "(SELECT 1 FROM information_schema.innodb_trx own WHERE own.trx_mysql_thread_id = CONNECTION_ID())"
)
_MYSQL = (
    "SELECT DISTINCT holder.processlist_id FROM performance_schema.data_lock_waits waits "
    "JOIN performance_schema.threads waiter ON waiter.thread_id = waits.requesting_thread_id "
    "JOIN performance_schema.threads holder ON holder.thread_id = waits.blocking_thread_id "
    "WHERE waiter.processlist_id = {}"
)

_OF_OWN_USER = (
    "SELECT processes.id, processes.id = CONNECTION_ID() FROM information_schema.processlist processes "
    "JOIN information_schema.innodb_trx trx ON trx.trx_mysql_thread_id = processes.id "
    "WHERE processes.user = SUBSTRING_INDEX(USER(), '@', 1)"
)
_BEGIN = "START TRANSACTION WITH CONSISTENT SNAPSHOT"

NO_SUCH_THREAD = 1094
FRESH_AFTER_S = 0.12
FRESH_TRIES = 5
"""Others may look all the time; then an older copy must do: a fail-over gives fencing a second."""


class Blockers:
    """Looks at each shard's lock tables for all the undos of this process, one after the other."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._turns: dict[ShardName, asyncio.Lock] = {}

    async def kill(self, shard: Shard, thread_id: int) -> int:
        """Kill the connections that hold what connection `thread_id` waits for; answers how many."""
        settings = self._settings
        async with (
            self._turns.setdefault(shard.name, asyncio.Lock()),
            borrow(shard, settings.acquire_timeout_s) as connection,
        ):
            await asyncio.sleep(FRESH_AFTER_S)
            query = (_MARIADB if await is_mariadb(connection, settings) else _MYSQL).format(thread_id)
            # A copy that shows this transaction, on a connection that looks only once, is newer than it.
            answers = await connection.run([_BEGIN, query], settings.control_timeout_s)
            holders = [int(row[0]) for row in answers[1].rows if row[0] is not None]
            await kill(connection, holders, settings)
            connection.abort()
        return len(holders)


async def kill_transactions_of_own_user(connection: Connection, settings: EngineSettings) -> None:
    """Kill every other connection of this account that has a local transaction open: left by a dead coordinator."""
    for _ in range(FRESH_TRIES):
        answers = await connection.run([_BEGIN, _OF_OWN_USER, "COMMIT"], settings.control_timeout_s)
        found = {int(thread_id or 0): bool(int(own or 0)) for thread_id, own in answers[1].rows}
        if any(found.values()):
            break  # The copy shows this look itself, so it shows whatever was open before.
        await asyncio.sleep(FRESH_AFTER_S)
    await kill(connection, [thread_id for thread_id, own in found.items() if not own], settings)


async def kill(connection: Connection, thread_ids: list[int], settings: EngineSettings) -> None:
    for thread_id in thread_ids:
        try:
            await connection.run([f"KILL {thread_id}"], settings.control_timeout_s)
        except ShardError as error:
            if error.errno != NO_SUCH_THREAD:
                raise


async def is_mariadb(connection: Connection, settings: EngineSettings) -> bool:
    answers = await connection.run(["SELECT VERSION()"], settings.control_timeout_s)
    version = answers[0].rows[0][0]
    return "mariadb" in (version.decode() if isinstance(version, bytes) else str(version)).lower()
