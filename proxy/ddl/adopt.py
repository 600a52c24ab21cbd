"""Taking a table that is on a shard already, with its rows, into the catalog: ADOPT TABLE.

It becomes a single table on the shard where it is, versioned if it has a primary key. A crash half-way leaves
it versioned but outside the catalog; adopting it again goes on from there.
"""

from __future__ import annotations

from proxy.ddl.errors import NotAdoptable
from proxy.ddl.hints import Hint, read_comment
from proxy.ddl.placement import place_table
from proxy.ddl.workshop import Workshop, refuse_system
from proxy.executor.warnings import Condition
from proxy.routing.catalog_rows import put_table
from proxy.routing.control import string
from proxy.routing.table_facts import TableId, read_facts
from proxy.routing.tables import TableKind
from tso.types import ShardName
from txguard.engine.managed import manage
from txguard.engine.retention import set_retention_statement
from txguard.engine.sqltext import quote, text


async def adopt_table(workshop: Workshop, table: TableId) -> tuple[Condition, ...]:
    """Nobody may write the table meanwhile. The caller holds `workshop.exclusive`. Raises NotAdoptable and others."""
    catalog = workshop.store.current
    schema, name = table = catalog.fold(table[0]), catalog.fold(table[1])
    refuse_system(schema)
    if catalog.table(schema, name) is not None:
        raise NotAdoptable(f"{schema}.{name} is in the catalog already")
    shards = next(
        (stray.shards for stray in catalog.contents.strays if (stray.schema, stray.name) == table), ()
    )
    if len(shards) != 1:
        where = f"it is on {', '.join(shards)}" if shards else "no shard has it"
        raise NotAdoptable(f"{schema}.{name} must be on exactly one shard to be adopted, but {where}")
    return await _adopt(workshop, table, shards[0])


async def _adopt(workshop: Workshop, table: TableId, home: ShardName) -> tuple[Condition, ...]:
    found = await workshop.on_each(
        (home,), lambda _, connection: read_facts(connection, [table], workshop.timeout_s)
    )
    facts = found[home][table]
    hint = Hint(TableKind.SINGLE, home=home, retention_s=read_comment(facts.comment).retention_s)
    placement = place_table(facts, hint, workshop.store.current, workshop.store.weights.tables)
    if placement.row.managed:
        await workshop.on_each((home,), lambda _, connection: manage(connection, *table))
    if placement.retention_s is not None:
        await workshop.run_at(home, [set_retention_statement(*table, placement.retention_s)])
    await _create_database_everywhere(workshop, table[0], home)
    row = placement.row.published(await workshop.now(), workshop.store.current.version + 1)
    await workshop.store.change([put_table(row)])
    return placement.warnings


async def _create_database_everywhere(workshop: Workshop, schema: str, home: ShardName) -> None:
    """As it is at home: tables created in it later have its character set and collation on every shard."""
    query = (
        "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA "
        f"WHERE SCHEMA_NAME = {text(schema)}"
    )
    [answer] = await workshop.run_at(home, [query])
    charset, collation = (string(value) for value in answer.rows[0])
    create = f"CREATE DATABASE IF NOT EXISTS {quote(schema)} CHARACTER SET {charset} COLLATE {collation}"
    await workshop.run_on_each(workshop.all_shards, [create])
