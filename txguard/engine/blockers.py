"""Who holds the row locks that a connection waits for, by the shard's own lock tables; and KILL.

The rule: only an undo kills, and only who blocks it: such a transaction has replaced or locked a version that is
being undone and could not commit. Sources: MySQL manual, "The data_lock_waits Table"; MariaDB Knowledge Base,
"Information Schema INNODB_LOCK_WAITS Table".
"""

from __future__ import annotations

from txguard.engine.settings import EngineSettings
from txguard.engine.shard import Connection, Shard, ShardError, borrow

_MARIADB = (
    "SELECT DISTINCT holder.trx_mysql_thread_id FROM information_schema.innodb_lock_waits waits "
    "JOIN information_schema.innodb_trx waiter ON waiter.trx_id = waits.requesting_trx_id "
    "JOIN information_schema.innodb_trx holder ON holder.trx_id = waits.blocking_trx_id "
    "WHERE waiter.trx_mysql_thread_id = {}"
)
_MYSQL = (
    "SELECT DISTINCT holder.trx_mysql_thread_id FROM performance_schema.data_lock_waits waits "
    "JOIN information_schema.innodb_trx waiter ON waiter.trx_id = waits.requesting_engine_transaction_id "
    "JOIN information_schema.innodb_trx holder ON holder.trx_id = waits.blocking_engine_transaction_id "
    "WHERE waiter.trx_mysql_thread_id = {}"
)

NO_SUCH_THREAD = 1094


async def kill_blockers_of(shard: Shard, thread_id: int, settings: EngineSettings) -> int:
    """Kill the connections that hold what connection `thread_id` waits for; answers how many."""
    async with borrow(shard, settings.acquire_timeout_s) as connection:
        query = (_MARIADB if await is_mariadb(connection, settings) else _MYSQL).format(thread_id)
        answers = await connection.run([query], settings.control_timeout_s)
        holders = [int(row[0]) for row in answers[0].rows if row[0] is not None]
        await kill(connection, holders, settings)
    return len(holders)


async def kill_transactions_of_own_user(connection: Connection, settings: EngineSettings) -> None:
    """Kill every other connection of this account that has a local transaction open: left by a dead coordinator."""
    answers = await connection.run(
        [
            "SELECT processes.id FROM information_schema.processlist processes "
            "JOIN information_schema.innodb_trx trx ON trx.trx_mysql_thread_id = processes.id "
            "WHERE processes.user = SUBSTRING_INDEX(USER(), '@', 1) AND processes.id <> CONNECTION_ID()"
        ],
        settings.control_timeout_s,
    )
    await kill(connection, [int(row[0]) for row in answers[0].rows if row[0] is not None], settings)


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
