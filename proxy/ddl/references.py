"""Which foreign keys point at a table: it cannot be dropped or truncated while another table's does."""

from __future__ import annotations

from collections.abc import Collection

from proxy.ddl.errors import ReferencedTable
from proxy.ddl.workshop import Workshop
from proxy.routing.control import string, text_list
from proxy.routing.table_facts import TableId
from tso.types import ShardName
from txguard.engine.shard import Connection


async def refuse_referenced(workshop: Workshop, tables: Collection[TableId], action: str) -> None:
    """Raises ReferencedTable when a table that is not among `tables` references one of them, on any shard."""
    schemas = text_list(sorted({schema for schema, _ in tables}))
    query = (
        "SELECT REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, CONSTRAINT_NAME, TABLE_SCHEMA, TABLE_NAME "
        f"FROM information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_SCHEMA IN ({schemas})"
    )

    async def look(_: ShardName, connection: Connection) -> None:
        [answer] = await connection.run([query], workshop.timeout_s)
        for schema, table, constraint, child_schema, child in (map(string, row) for row in answer.rows):
            if (schema, table) in tables and (child_schema, child) not in tables:
                raise ReferencedTable(action, table, constraint, child)

    await workshop.on_each(workshop.all_shards, look)
