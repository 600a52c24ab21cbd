"""CREATE DATABASE and DROP DATABASE.

A database counts as there when every shard has it. So CREATE DATABASE needs no intent: one that was cut off
is completed when it is given again. DROP DATABASE takes its tables out of the catalog first, with its intent.
"""

from __future__ import annotations

from typing import Final

from proxy.ddl.drop_table import drop_everywhere
from proxy.ddl.errors import DatabaseExists, NoSuchDatabase
from proxy.ddl.intents import Intent, IntentKind, Target
from proxy.ddl.references import refuse_referenced
from proxy.ddl.workshop import Client, Workshop, refuse_system
from proxy.errors import NotSupported
from proxy.executor.warnings import Condition
from proxy.routing.catalog_rows import delete_table
from proxy.routing.control import string
from tso.types import ShardName
from txguard.engine.shard import Connection
from txguard.engine.sqltext import quote

_DATABASE_EXISTS: Final = 1007
_NO_SUCH_DATABASE: Final = 1008


async def create_database(
    workshop: Workshop, database: str, text: str, *, conditional: bool, client: Client
) -> tuple[Condition, ...]:
    """On every shard that lacks it. The caller holds `workshop.exclusive`. Raises DatabaseExists, ShardError."""
    refuse_system(database)
    database = workshop.store.current.fold(database)
    if database in workshop.store.current.schemas:
        if conditional:
            message = f"Can't create database '{database}'; database exists"
            return (Condition("Note", _DATABASE_EXISTS, message),)
        raise DatabaseExists(database)

    async def lacks(_: ShardName, connection: Connection) -> bool:
        query = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA"
        [answer] = await connection.run([query], workshop.timeout_s)
        return database not in {string(name) for (name,) in answer.rows}

    lacking = await workshop.on_each(workshop.all_shards, lacks)
    without_database = Client(None, client.settings)
    await workshop.run_text([name for name, lacks in lacking.items() if lacks], text, without_database)
    await workshop.store.change([])
    return ()


async def drop_database(
    workshop: Workshop, database: str, *, conditional: bool
) -> tuple[int, tuple[Condition, ...]]:
    """With all its tables; answers how many. The caller holds `workshop.exclusive`.

    Raises NoSuchDatabase, ReferencedTable, NotSupported, ShardError, ShardDown.
    """
    refuse_system(database)
    catalog = workshop.store.current
    database = catalog.fold(database)
    if database not in catalog.schemas:
        if conditional:
            message = f"Can't drop database '{database}'; database doesn't exist"
            return 0, (Condition("Note", _NO_SUCH_DATABASE, message),)
        raise NoSuchDatabase(database)
    strays = [stray.name for stray in catalog.contents.strays if stray.schema == database]
    if strays:
        raise NotSupported(
            f"DROP DATABASE `{database}` while it holds tables made outside of TxGuard ({', '.join(strays)}): "
            "drop them on their shards, or adopt them"
        )
    tables = tuple(Target.of(table) for table in catalog.tables(database))
    await refuse_referenced(workshop, {target.id for target in tables}, "drop")
    intent = Intent(IntentKind.DROP_DATABASE, tables, database=database)
    await workshop.change([delete_table(target.id) for target in tables], intent=intent)
    await finish_drop_database(workshop, intent)
    return len(tables), ()


async def finish_drop_database(workshop: Workshop, intent: Intent) -> None:
    """Idempotent."""
    assert intent.database is not None
    await drop_everywhere(workshop, intent.tables)
    await workshop.run_on_each(workshop.all_shards, [f"DROP DATABASE IF EXISTS {quote(intent.database)}"])
    await workshop.change([])
