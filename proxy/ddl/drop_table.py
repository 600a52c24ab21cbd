"""DROP TABLE and TRUNCATE TABLE.

Both first change the catalog, together with their intent: from then on no new statement finds the table (or
no snapshot can read it), and a crash leaves work that `finish_drop` and `finish_truncate` complete. Nothing
is put back. Open transactions that have used the table hold its metadata lock, shard by shard: the statement
waits for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.ddl.errors import UnknownTable
from proxy.ddl.intents import Intent, IntentKind, Target
from proxy.ddl.references import refuse_referenced
from proxy.ddl.workshop import Workshop, refuse_system
from proxy.executor.warnings import Condition
from proxy.routing.catalog import TRUNCATING_TS
from proxy.routing.catalog_rows import delete_table, put_table
from proxy.routing.sequence_rows import delete_statement
from proxy.routing.table_facts import TableId
from proxy.routing.tables import TableKind
from tso.types import ShardName
from txguard.engine.install import DATABASE
from txguard.engine.managed import forget_statements, history_name
from txguard.engine.shard import Connection
from txguard.engine.sqltext import qualified

_UNKNOWN_TABLE: Final = 1051


async def drop_tables(
    workshop: Workshop, tables: Sequence[TableId], *, conditional: bool
) -> tuple[Condition, ...]:
    """Drop all or, when one is missing and the client has not said IF EXISTS, none.

    The caller holds `workshop.exclusive`. Raises UnknownTable, ReferencedTable, ShardError, ShardDown.
    """
    catalog = workshop.store.current
    found, missing = [], []
    for schema, name in dict.fromkeys(tables):
        refuse_system(schema)
        table = catalog.table(schema, name)
        if table is None:
            missing.append(f"{schema}.{name}")
        else:
            found.append(table)
    if missing and not conditional:
        raise UnknownTable(",".join(missing))
    if found:
        await refuse_referenced(workshop, {(table.schema, table.name) for table in found}, "drop")
        intent = Intent(IntentKind.DROP_TABLES, tuple(Target.of(table) for table in found))
        await workshop.change([delete_table(target.id) for target in intent.tables], intent=intent)
        await finish_drop(workshop, intent)
    return tuple(Condition("Note", _UNKNOWN_TABLE, f"Unknown table '{name}'") for name in missing)


async def finish_drop(workshop: Workshop, intent: Intent) -> None:
    """Drop what is left of the tables, and end the intent. Idempotent."""
    await drop_everywhere(workshop, intent.tables)
    await workshop.forget_intent()


async def drop_everywhere(workshop: Workshop, tables: Sequence[Target]) -> None:
    """Tables, histories and counters. Idempotent."""

    async def drop(shard: ShardName, connection: Connection) -> None:
        here = [target for target in tables if target.home in (None, shard)]
        if here:
            # Tables that reference each other go together; nobody else references them (refuse_referenced).
            names = ", ".join(qualified(*target.id) for target in here)
            drop_all = [
                "SET foreign_key_checks = 0",
                f"DROP TABLE IF EXISTS {names}",
                "SET foreign_key_checks = 1",
            ]
            forget = [statement for target in here for statement in forget_statements(*target.id)]
            await workshop.define(connection, [*drop_all, *forget])

    await workshop.on_each(workshop.all_shards, drop)
    for target in tables:
        home = workshop.store.current.slots.home_of_name(*target.id)
        await workshop.run_at(home, [delete_statement(*target.id)])
        workshop.sequences.forget(*target.id)


async def truncate_table(workshop: Workshop, table: TableId) -> None:
    """Empty it. Snapshots taken before cannot read it any more, as after MySQL's own TRUNCATE.

    The caller holds `workshop.exclusive`. Raises NoSuchTable, ReferencedTable, ShardError, ShardDown.
    """
    refuse_system(table[0])
    found = workshop.store.current.require(*table)
    target = Target.of(found)
    await refuse_referenced(workshop, {target.id}, "truncate")
    row = workshop.store.rows[target.id]
    unreadable = row.published(TRUNCATING_TS, workshop.store.current.version + 1)
    intent = Intent(IntentKind.TRUNCATE_TABLE, (target,))
    await workshop.change([put_table(unreadable)], intent=intent)
    await finish_truncate(workshop, intent)


async def finish_truncate(workshop: Workshop, intent: Intent) -> None:
    """Empty it on every shard that has it, publish it again, and end the intent. Idempotent."""
    [target] = intent.tables
    row = workshop.store.rows.get(target.id)
    if row is None:
        await workshop.forget_intent()
        return
    history = qualified(DATABASE, history_name(*target.id))
    # History first: an undo that comes in between finds no old row to put back.
    statements = [f"TRUNCATE TABLE {history}"] if row.managed else []
    shards = workshop.all_shards if target.home is None else (target.home,)
    await workshop.run_on_each(shards, [*statements, f"TRUNCATE TABLE {qualified(*target.id)}"])
    if row.kind is not TableKind.SINGLE:
        await workshop.sequences.begin(*target.id, 1)
    version = workshop.store.current.version + 1
    await workshop.change([put_table(row.published(await workshop.now(), version))])
