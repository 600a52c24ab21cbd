"""CREATE INDEX and DROP INDEX.

A new index goes to one shard first, where a unique one is looked at: it must contain the shard key. One that
fails anywhere, or that a crash cut off, is taken off again everywhere. A DROP INDEX that was cut off is
completed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from proxy.ddl.errors import DuplicateIndex, NoSuchIndex
from proxy.ddl.heads import IndexHead, read_index
from proxy.ddl.intents import Intent, IntentKind, Target
from proxy.ddl.placement import check_unique_key
from proxy.ddl.workshop import Client, Workshop, refuse_system
from proxy.errors import NotSupported
from proxy.executor.warnings import Condition
from proxy.routing.catalog_rows import put_table
from proxy.routing.control import string
from proxy.routing.table_facts import TableId, read_facts
from proxy.routing.tables import Table
from tso.types import ShardName
from txguard.engine.shard import Connection
from txguard.engine.sqltext import qualified, quote
from txguard.engine.sqltext import text as literal

log = logging.getLogger(__name__)

_DUPLICATE_INDEX: Final = 1061
_NO_SUCH_INDEX: Final = 1091


async def create_index(
    workshop: Workshop, table: TableId, text: str, *, conditional: bool, client: Client
) -> tuple[Condition, ...]:
    """The caller holds `workshop.exclusive`. Raises NoSuchTable, DuplicateIndex, NotSupported, ShardError."""
    refuse_system(table[0])
    head = read_index(text)
    found = workshop.store.current.require(*table)
    first, *others = workshop.store.current.shards_of(found)
    if await _shards_with(workshop, found, head.name, (first,)):
        if conditional:
            return (Condition("Note", _DUPLICATE_INDEX, f"Duplicate key name '{head.name}'"),)
        raise DuplicateIndex(head.name)
    intent = Intent(IntentKind.CREATE_INDEX, (Target.of(found),), index=head.name)
    await workshop.intend(intent)
    try:
        await workshop.run_text((first,), text, client)
        if head.unique:
            await _check_unique(workshop, first, found, head)
        await workshop.run_text(others, text, client)
        await _publish(workshop, found)
    except Exception:
        await _undo_quietly(workshop, intent)
        raise
    return ()


async def drop_index(
    workshop: Workshop, table: TableId, text: str, *, conditional: bool
) -> tuple[Condition, ...]:
    """The caller holds `workshop.exclusive`. Raises NoSuchTable, NoSuchIndex, NotSupported, ShardError."""
    refuse_system(table[0])
    head = read_index(text)
    found = workshop.store.current.require(*table)
    if head.name.upper() == "PRIMARY":
        raise NotSupported("DROP INDEX of the primary key")
    shards = workshop.store.current.shards_of(found)
    if not await _shards_with(workshop, found, head.name, shards):
        if conditional:
            message = f"Can't DROP '{head.name}'; check that column/key exists"
            return (Condition("Note", _NO_SUCH_INDEX, message),)
        raise NoSuchIndex(head.name)
    # On one shard first: when a server refuses (the index holds a foreign key up), it refuses here.
    intent = Intent(IntentKind.DROP_INDEX, (Target.of(found),), index=head.name)
    await workshop.run_at(shards[0], [_drop(found, head.name)])
    await workshop.intend(intent)
    await finish_drop_index(workshop, intent)
    return ()


async def undo_create_index(workshop: Workshop, intent: Intent) -> None:
    """Take the index off wherever it is, and end the intent. Idempotent."""
    await _take_off(workshop, intent)
    await workshop.forget_intent()


async def finish_drop_index(workshop: Workshop, intent: Intent) -> None:
    """Idempotent."""
    table = await _take_off(workshop, intent)
    if table is None:
        await workshop.forget_intent()
    else:
        await _publish(workshop, table)


async def _undo_quietly(workshop: Workshop, intent: Intent) -> None:
    """The client is told why the index could not be made; what cannot be undone now is left to recovery."""
    try:
        if await workshop.stands(intent):
            await undo_create_index(workshop, intent)
    except Exception as error:
        log.warning("index %s could not be undone, the next statement tries again: %s", intent.index, error)


async def _take_off(workshop: Workshop, intent: Intent) -> Table | None:
    """The table; None when it is gone itself."""
    assert intent.index is not None
    [target] = intent.tables
    table = workshop.store.current.table(*target.id)
    if table is not None:
        shards = workshop.store.current.shards_of(table)
        present = await _shards_with(workshop, table, intent.index, shards)
        await workshop.run_on_each(present, [_drop(table, intent.index)])
    return table


async def _shards_with(
    workshop: Workshop, table: Table, index: str, shards: Iterable[ShardName]
) -> list[ShardName]:
    """Those on which the table has an index of this name; index names are compared without case."""
    query = (
        f"SELECT DISTINCT INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = {literal(table.schema)} "
        f"AND TABLE_NAME = {literal(table.name)}"
    )

    async def has(_: ShardName, connection: Connection) -> bool:
        [answer] = await connection.run([query], workshop.timeout_s)
        return index.lower() in {string(name).lower() for (name,) in answer.rows}

    found = await workshop.on_each(shards, has)
    return [name for name, present in found.items() if present]


async def _check_unique(workshop: Workshop, first: ShardName, table: Table, head: IndexHead) -> None:
    found = await workshop.on_each(
        (first,),
        lambda _, connection: read_facts(connection, [(table.schema, table.name)], workshop.timeout_s),
    )
    facts = found[first][table.schema, table.name]
    for key in facts.unique_keys:
        if key.name.lower() == head.name.lower():
            check_unique_key(table, facts, key)


async def _publish(workshop: Workshop, table: Table) -> None:
    """A new version of the table's row, so that every proxy reads its keys anew."""
    row = workshop.store.rows[table.schema, table.name]
    await workshop.change([put_table(row.published(row.created_ts, workshop.store.current.version + 1))])


def _drop(table: Table, index: str) -> str:
    return f"DROP INDEX {quote(index)} ON {qualified(table.schema, table.name)}"
