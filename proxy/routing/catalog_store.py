"""Keeps the catalog: loads it from the shards, brings their copies up to date, changes and publishes it.

Owns: `CatalogStore`. Rules:

- Every shard has a copy. The *authority* is the first shard by name: a change is made when it is committed
  there, then it is copied to the others. A crash in between leaves older copies, which the next load
  rewrites.
- When the authority is down at a load, the newest of the other copies serves. It can lack the last change
  only if the process that made it died on the spot, and then it shows the state before: a table that is not
  there yet.
- The set of shards is fixed when the slots are laid out, at the very first load, which needs all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.errors import ConfigError
from proxy.routing.catalog import Catalog, CatalogContents, Stray, key_column
from proxy.routing.catalog_rows import (
    CREATE_STATEMENTS,
    StoredCatalog,
    TableRow,
    apply_changes,
    read_stored,
    read_version,
    rewrite_statements,
)
from proxy.routing.collations import Collation
from proxy.routing.control import integer, is_system_schema, string
from proxy.routing.keys import needed_weights
from proxy.routing.sequence_rows import CREATE_SEQUENCE
from proxy.routing.slots import SlotMap
from proxy.routing.table_facts import TableFacts, TableId, read_facts
from proxy.routing.tables import Table, TableKind
from proxy.routing.weights import ServerWeights
from tso.types import ShardName
from txguard.engine.concurrent import settle
from txguard.engine.install import install
from txguard.engine.shard import ConnectionLost, Shard, ShardUnavailable, Value, borrow
from txguard.errors import ShardDown

log = logging.getLogger(__name__)

UNREACHABLE: Final = (ShardUnavailable, ConnectionLost)

_LOOK: Final = (
    "SELECT SCHEMA_NAME, @@lower_case_table_names FROM information_schema.SCHEMATA",
    "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE'",
)


class CatalogChanged(Exception):
    """Another proxy changed the catalog since it was loaded here: load it and look again."""


@dataclass(frozen=True, slots=True)
class _ShardView:
    """What one shard holds: its copy of the catalog, and what is really there."""

    stored: StoredCatalog
    schemas: frozenset[str]
    tables: frozenset[TableId]
    fold_names: bool


class CatalogStore:
    def __init__(self, shards: Mapping[ShardName, Shard], *, timeout_s: float = 10.0) -> None:
        """`shards` in the order in which the slots are to be laid over them."""
        self.shards = shards
        self.authority = min(shards)
        self.weights = ServerWeights(shards, timeout_s)
        self._timeout_s = timeout_s
        self.current: Catalog
        """The published snapshot, from the first load on."""
        self._rows: dict[TableId, TableRow] = {}
        self._installed: set[ShardName] = set()
        self._loading = asyncio.Lock()

    @property
    def rows(self) -> Mapping[TableId, TableRow]:
        """The stored rows behind `current`."""
        return self._rows

    def unchanged(self, tables: Iterable[Table]) -> bool:
        """Whether these are still the published tables: False after a DROP, TRUNCATE or new index of one.

        A statement whose rows were placed, or whose parts were read, by the tables of its plan may stand only if
        they are when it ends.
        """
        current = self.current
        return all(current.table(table.schema, table.name) is table for table in tables)

    async def load(self) -> Catalog:
        """Read the catalog, bring older copies up to date, publish. Raises ShardDown, ConfigError."""
        async with self._loading:
            views = await self._views()
            if all(view.stored.version == 0 for view in views.values()):
                await self._lay_out(views)
                views = await self._views()
            stored = max((view.stored for view in views.values()), key=lambda stored: stored.version)
            self._check_shards(stored)
            await self._copy(stored, views)
            contents = await self._contents(stored, views)
            self._rows = {row.id: row for row in stored.tables}
            self.current = Catalog(contents, self.weights)
            return self.current

    async def refresh(self) -> Catalog:
        """Load again if another proxy changed the catalog, or if a part of it could not be read last time."""
        current = self.current
        if current.contents.unreadable:
            return await self.load()
        try:
            async with borrow(self.shards[self.authority], self._timeout_s) as connection:
                version = await read_version(connection, self._timeout_s)
        except UNREACHABLE:
            return current
        return current if version == current.version else await self.load()

    async def watch(self, interval_s: float) -> None:
        """Refresh for ever. A failure is logged; the published catalog stays."""
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self.refresh()
            except Exception as error:
                log.warning("the catalog could not be refreshed: %s", error)

    async def change(self, changes: Sequence[str]) -> Catalog:
        """Commit the changes as the next version, copy and publish it.

        Raises CatalogChanged when `current` is not the newest version. ShardDown: the change was not made, or, if
        the authority's connection broke, perhaps made; the next load shows which.
        """
        try:
            async with borrow(self.shards[self.authority], self._timeout_s) as connection:
                if not await apply_changes(connection, changes, self.current.version, self._timeout_s):
                    raise CatalogChanged
        except UNREACHABLE as error:
            raise ShardDown(
                f"shard {self.authority} keeps the catalog and cannot be reached: {error}"
            ) from error
        return await self.load()

    # ------------------------------------------------------------ loading

    async def _views(self) -> dict[ShardName, _ShardView]:
        """What the shards that answer hold. Raises ShardDown when none does."""
        names = sorted(self.shards)
        views = await settle([self._view(name) for name in names])
        found: dict[ShardName, _ShardView] = {}
        for name, view in zip(names, views, strict=True):
            if isinstance(view, _ShardView):
                found[name] = view
            elif isinstance(view, UNREACHABLE):
                log.warning("shard %s cannot be reached while the catalog is loaded: %s", name, view)
            else:
                raise view
        if not found:
            raise ShardDown("no shard can be reached to load the catalog")
        return found

    async def _view(self, name: ShardName) -> _ShardView:
        async with borrow(self.shards[name], self._timeout_s) as connection:
            if name not in self._installed:
                await install(connection, self._timeout_s)
                await connection.run([*CREATE_STATEMENTS, CREATE_SEQUENCE], self._timeout_s)
                self._installed.add(name)
            stored = await read_stored(connection, self._timeout_s)
            schemas, tables = await connection.run(_LOOK, self._timeout_s)
        return _ShardView(
            stored=stored,
            schemas=frozenset(string(schema) for schema, _ in schemas.rows) - _system(schemas.rows),
            tables=frozenset(
                (string(schema), string(table))
                for schema, table in tables.rows
                if not is_system_schema(string(schema))
            ),
            fold_names=any(integer(fold) != 0 for _, fold in schemas.rows),
        )

    async def _lay_out(self, views: Mapping[ShardName, _ShardView]) -> None:
        """The very first load: lay the slots over all shards."""
        missing = [name for name in self.shards if name not in views]
        if missing:
            raise ShardDown(f"the first start needs every shard, and {', '.join(missing)} cannot be reached")
        first = StoredCatalog(1, SlotMap.lay_out(list(self.shards)).ranges, ())
        # The authority last: until it has its copy, a crash leaves copies that agree, and the next start goes on.
        for name in sorted(self.shards, key=lambda name: name == self.authority):
            await self._rewrite(name, first)

    def _check_shards(self, stored: StoredCatalog) -> None:
        laid_out = {piece.shard for piece in stored.slots}
        if laid_out != set(self.shards):
            raise ConfigError(
                f"the tables are laid over the shards {', '.join(sorted(laid_out))}, but the configuration names "
                f"{', '.join(sorted(self.shards))}: shards cannot be added, removed or renamed yet"
            )

    async def _copy(self, stored: StoredCatalog, views: Mapping[ShardName, _ShardView]) -> None:
        """Bring older copies up to date. One that fails now is brought up to date by the next load."""
        older = [name for name, view in views.items() if view.stored.version < stored.version]
        for name, result in zip(older, await settle([self._rewrite(n, stored) for n in older]), strict=True):
            if isinstance(result, Exception):
                log.warning("shard %s keeps an old copy of the catalog: %s", name, result)

    async def _rewrite(self, name: ShardName, stored: StoredCatalog) -> None:
        async with borrow(self.shards[name], self._timeout_s) as connection:
            await connection.run(rewrite_statements(stored), self._timeout_s)

    # ------------------------------------------------------------ contents

    async def _contents(
        self, stored: StoredCatalog, views: Mapping[ShardName, _ShardView]
    ) -> CatalogContents:
        tables, unreadable = await self._tables(stored, views)
        await self.weights.fetch_tables(
            collation for table in tables if (collation := _key_weights(table)) is not None
        )
        return CatalogContents(
            version=stored.version,
            slots=SlotMap(stored.slots),
            schemas=frozenset.intersection(*(view.schemas for view in views.values())),
            tables=tuple(tables),
            unreadable=unreadable,
            strays=_strays(stored, views),
            fold_names=any(view.fold_names for view in views.values()),
        )

    async def _tables(
        self, stored: StoredCatalog, views: Mapping[ShardName, _ShardView]
    ) -> tuple[list[Table], frozenset[TableId]]:
        """Every table that can be read; those already published are kept while their row is the same."""
        known = {(table.schema, table.name): table for table in self.current.tables()} if self._rows else {}
        tables = [known[row.id] for row in stored.tables if row.id in known and self._rows.get(row.id) == row]
        kept = {(table.schema, table.name) for table in tables}
        wanted: dict[ShardName, list[TableRow]] = {}
        unreadable = set()
        reader = min(views)
        for row in stored.tables:
            shard = row.home or reader
            if row.id not in kept and shard in views:
                wanted.setdefault(shard, []).append(row)
            elif row.id not in kept:
                unreadable.add(row.id)
        for shard, rows in wanted.items():
            tables.extend(await self._read_tables(shard, rows))
        return tables, frozenset(unreadable)

    async def _read_tables(self, shard: ShardName, rows: Sequence[TableRow]) -> list[Table]:
        async with borrow(self.shards[shard], self._timeout_s) as connection:
            facts = await read_facts(connection, (row.id for row in rows), self._timeout_s)
        for row in rows:
            if row.id not in facts:
                log.error("table %s.%s is in the catalog but not on shard %s", row.schema, row.name, shard)
        return [make_table(row, facts[row.id]) for row in rows if row.id in facts]


def make_table(row: TableRow, facts: TableFacts) -> Table:
    return Table(
        schema=row.schema,
        name=row.name,
        kind=row.kind,
        columns=facts.columns,
        primary_key=facts.primary_key.columns if facts.primary_key is not None else (),
        unique_keys=tuple(key.columns for key in facts.unique_keys),
        shard_key=row.shard_key,
        home=row.home,
        managed=row.managed,
        created_ts=row.created_ts,
    )


def _key_weights(table: Table) -> Collation | None:
    return needed_weights(key_column(table)) if table.kind is TableKind.SHARDED else None


def _system(schemas: Sequence[Sequence[Value]]) -> frozenset[str]:
    return frozenset(name for schema, _ in schemas if is_system_schema(name := string(schema)))


def _strays(stored: StoredCatalog, views: Mapping[ShardName, _ShardView]) -> tuple[Stray, ...]:
    known = {row.id for row in stored.tables}
    found: dict[TableId, list[ShardName]] = {}
    for name, view in sorted(views.items()):
        for table in view.tables - known:
            found.setdefault(table, []).append(name)
    return tuple(Stray(*table, tuple(shards)) for table, shards in sorted(found.items()))
