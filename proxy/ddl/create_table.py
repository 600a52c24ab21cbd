"""CREATE TABLE: on one shard first, to see what the server makes of it, then on the others.

Order, and what a crash leaves behind: the intent; the table on the first shard, where it is looked at and
refused or not; the table on the others; column, history and triggers; the counter; last the catalog's row,
which makes the table exist, together with the end of the intent. Until then no client can have put a row into
it, so whatever is there is dropped again (`undo_create`), unless it has rows: then it is not what we made.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Final

from proxy.ddl.heads import check_create_table, is_copy
from proxy.ddl.hints import Hint, first_given, read_comment
from proxy.ddl.intents import Intent, IntentKind, Target
from proxy.ddl.placement import Placement, place_table, possible_keys
from proxy.ddl.workshop import Client, Workshop, refuse_system
from proxy.errors import NotSupported, TableExists, UnknownDatabase
from proxy.executor.warnings import Condition
from proxy.routing.catalog import Catalog
from proxy.routing.catalog_rows import TableRow, put_table
from proxy.routing.control import string
from proxy.routing.keys import needed_weights
from proxy.routing.sequence_rows import delete_statement
from proxy.routing.table_facts import WRITER_COLUMN, TableFacts, TableId, read_facts
from proxy.routing.tables import TableKind
from tso.types import ShardName
from txguard.engine.managed import describe, forget_statements, manage
from txguard.engine.retention import set_retention_statement
from txguard.engine.shard import Connection, ShardError
from txguard.engine.sqltext import qualified, quote

log = logging.getLogger(__name__)

_NO_SUCH_TABLE: Final = 1146
_NO_SUCH_DATABASE: Final = 1049
_TABLE_EXISTS: Final = 1050
_AUTO_INCREMENT: Final = re.compile(r"\n\) ENGINE=\w+ AUTO_INCREMENT=([0-9]+)")


async def create_table(
    workshop: Workshop,
    table: TableId,
    text: str,
    *,
    conditional: bool,
    hint: Hint,
    fallback: Hint,
    client: Client,
) -> tuple[Condition, ...]:
    """Create and publish it; answers warnings. `hint` is the statement's, `fallback` the configuration's.

    The caller holds `workshop.exclusive`. Raises ProxyError, NotManageable, ShardError, ShardDown.
    """
    check_create_table(text)
    catalog = workshop.store.current
    table = catalog.fold(table[0]), catalog.fold(table[1])
    if (exists := _check_free(catalog, table, conditional)) is not None:
        return (exists,)
    first = hint.home or catalog.slots.home_of_name(*table)
    if first not in catalog.all_shards:
        first = catalog.all_shards[0]  # place_table says what is wrong with the hint
    intent = Intent(IntentKind.CREATE_TABLE, (Target(*table, home=None),))
    await workshop.intend(intent)
    try:
        await _create(workshop, (first,), table, text, client)
        placement = await _place(workshop, first, table, hint, fallback)
        await _spread(workshop, first, placement, text, client)
        await _publish(workshop, first, placement.row)
    except Exception:
        await _undo_quietly(workshop, intent)
        raise
    return placement.warnings


async def _undo_quietly(workshop: Workshop, intent: Intent) -> None:
    """The client is told why the table could not be created; what cannot be undone now is left to recovery."""
    try:
        if await workshop.stands(intent):
            await undo_create(workshop, intent)
    except Exception as error:
        log.warning("%s could not be undone, the next statement tries again: %s", intent, error)


async def undo_create(workshop: Workshop, intent: Intent) -> None:
    """Drop what there is of a table that did not come to be, and end the intent. Idempotent."""
    [target] = intent.tables
    table = target.id

    async def drop(shard: ShardName, connection: Connection) -> None:
        try:
            [rows] = await workshop.define(connection, [f"SELECT 1 FROM {qualified(*table)} LIMIT 1"])
        except ShardError as error:
            if error.errno not in (_NO_SUCH_TABLE, _NO_SUCH_DATABASE):
                raise
            connection.abort()  # a failed packet leaves the session's settings changed
            return
        if rows.rows:
            log.error("%s.%s on shard %s has rows, so it is left there", *table, shard)
            return
        await workshop.define(
            connection, [f"DROP TABLE IF EXISTS {qualified(*table)}", *forget_statements(*table)]
        )

    await workshop.on_each(workshop.all_shards, drop)
    await workshop.run_at(workshop.store.current.slots.home_of_name(*table), [delete_statement(*table)])
    workshop.sequences.forget(*table)
    await workshop.forget_intent()


def _check_free(catalog: Catalog, table: TableId, conditional: bool) -> Condition | None:
    """None: the name is free. A note: it is taken, and the client says that this is all right."""
    schema, name = table
    refuse_system(schema)
    if catalog.table(schema, name) is not None:
        if conditional:
            return Condition("Note", _TABLE_EXISTS, f"Table '{name}' already exists")
        raise TableExists(f"Table '{name}' already exists")
    for stray in catalog.contents.strays:
        if (stray.schema, stray.name) == table:
            raise TableExists(
                f"Table '{name}' already exists on {', '.join(stray.shards)}, made outside of TxGuard: adopt it with "
                f"`ADOPT TABLE {schema}.{name}`, or drop it there"
            )
    if schema not in catalog.schemas:
        raise UnknownDatabase(f"Unknown database '{schema}'")
    return None


async def _create(
    workshop: Workshop, shards: Iterable[ShardName], table: TableId, text: str, client: Client
) -> None:
    """Run the client's text. A copy (LIKE) of a managed table brings its hidden column along: it is taken off."""
    names = tuple(shards)
    await workshop.run_text(names, text, client)
    if is_copy(text):
        drop = f"ALTER TABLE {qualified(*table)} DROP COLUMN {quote(WRITER_COLUMN)}"

        async def take_off(_: ShardName, connection: Connection) -> None:
            columns = await connection.run([f"SHOW COLUMNS FROM {qualified(*table)}"], workshop.timeout_s)
            if any(string(column[0]) == WRITER_COLUMN for column in columns[0].rows):
                await workshop.define(connection, [drop])

        await workshop.on_each(names, take_off)


async def _place(
    workshop: Workshop, first: ShardName, table: TableId, hint: Hint, fallback: Hint
) -> Placement:
    """What the first shard has made of the text, and where the table goes then."""
    facts = await _facts(workshop, first, table)
    wanted = first_given((hint, read_comment(facts.comment), fallback))
    columns = [facts.column(name) for name in possible_keys(facts, wanted)]
    collations = [needed_weights(column) for column in columns if column is not None]
    await workshop.store.weights.fetch_tables(collation for collation in collations if collation is not None)
    placement = place_table(facts, wanted, workshop.store.current, workshop.store.weights.tables)
    if placement.row.managed:
        await workshop.on_each(
            (first,), lambda _, connection: describe(connection, *table, workshop.timeout_s)
        )
    return placement


async def _facts(workshop: Workshop, first: ShardName, table: TableId) -> TableFacts:
    found = await workshop.on_each(
        (first,), lambda _, connection: read_facts(connection, [table], workshop.timeout_s)
    )
    facts = found[first].get(table)
    if facts is None:
        raise NotSupported(f"what the statement makes of `{table[1]}`: it is not an ordinary table")
    [rows] = await workshop.run_at(first, [f"SELECT 1 FROM {qualified(*table)} LIMIT 1"])
    if rows.rows:
        raise NotSupported("CREATE TABLE from the rows of a query")
    return facts


async def _spread(
    workshop: Workshop, first: ShardName, placement: Placement, text: str, client: Client
) -> None:
    """The table on every shard that is to have it, and versioned there."""
    row = placement.row
    shards = workshop.all_shards if row.home is None else (row.home,)
    await _create(workshop, [shard for shard in shards if shard != first], row.id, text, client)
    if first not in shards:
        await workshop.run_at(first, [f"DROP TABLE IF EXISTS {qualified(*row.id)}"])
    if row.managed:
        await workshop.on_each(shards, lambda _, connection: manage(connection, *row.id))
    if placement.retention_s is not None:
        await workshop.run_on_each(shards, [set_retention_statement(*row.id, placement.retention_s)])


async def _publish(workshop: Workshop, first: ShardName, row: TableRow) -> None:
    """Its counter, its timestamp, its row in the catalog."""
    if row.kind is not TableKind.SINGLE:
        await workshop.sequences.begin(*row.id, await _first_value(workshop, first, row.id))
    version = workshop.store.current.version + 1
    await workshop.change([put_table(row.published(await workshop.now(), version))])


async def _first_value(workshop: Workshop, shard: ShardName, table: TableId) -> int:
    """What AUTO_INCREMENT begins with, from the table's definition."""
    [shown] = await workshop.run_at(shard, [f"SHOW CREATE TABLE {qualified(*table)}"])
    match = _AUTO_INCREMENT.search(string(shown.rows[0][1]))
    return int(match[1]) if match is not None else 1
