"""The catalog: which tables there are, where their rows live, and to which shard a key belongs.

Owns: `Catalog`, an immutable snapshot that `proxy.routing.catalog_store` publishes anew after every DDL. A
statement takes `store.current` once and uses it from planning to the end.

Routing is synchronous wherever it can be: `*_nowait` answers at once for everything but the first occurrence
of a non-ASCII text key, for which it answers None; then await the method without `_nowait`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from proxy.errors import NoSuchTable, UnknownDatabase
from proxy.routing.keys import KeyCodec, codec_for
from proxy.routing.slots import SlotMap, slot_of
from proxy.routing.table_facts import TableId
from proxy.routing.tables import Column, Table, TableKind
from proxy.routing.values import Canonical, KeyValue, Verdict, WeightQuestion
from proxy.routing.weights import ServerWeights
from tso.types import ShardName
from txguard.errors import ShardDown

TRUNCATING_TS: Final = 2**64 - 1
"""The `created_ts` of a table that is being truncated: no snapshot may read it."""


@dataclass(frozen=True, slots=True)
class Stray:
    """A table that is on shards but not in the catalog: made behind TxGuard's back, perhaps before it came."""

    schema: str
    name: str
    shards: tuple[ShardName, ...]


@dataclass(frozen=True, slots=True)
class CatalogContents:
    """What a catalog is made from. `unreadable`: tables whose only shard did not answer."""

    version: int
    slots: SlotMap
    schemas: frozenset[str]
    tables: tuple[Table, ...]
    unreadable: frozenset[TableId] = frozenset()
    strays: tuple[Stray, ...] = ()
    fold_names: bool = False
    """The servers keep names in lower case (lower_case_table_names is not 0)."""


@dataclass(frozen=True, slots=True)
class Catalog:
    contents: CatalogContents
    weights: ServerWeights = field(repr=False)
    _tables: Mapping[TableId, Table] = field(init=False, repr=False)
    _codecs: Mapping[TableId, KeyCodec] = field(init=False, repr=False)
    _alone: Mapping[ShardName, tuple[ShardName, ...]] = field(init=False, repr=False)
    """Each shard as a tuple of itself, so that routing makes none."""
    _of_slot: tuple[tuple[ShardName, ...], ...] = field(init=False, repr=False)
    _away: tuple[Table, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        tables = {(table.schema, table.name): table for table in self.contents.tables}
        codecs = {key: self.codec(table) for key, table in tables.items() if table.kind is TableKind.SHARDED}
        object.__setattr__(self, "_tables", tables)
        object.__setattr__(self, "_codecs", codecs)
        first = min(self.contents.slots.shards)
        away = tuple(table for table in self.contents.tables if table.home not in (None, first))
        object.__setattr__(self, "_away", away)
        alone = {shard: (shard,) for shard in self.contents.slots.shards}
        object.__setattr__(self, "_alone", alone)
        of_slot = tuple(alone[shard] for shard in self.contents.slots.shard_of_slot)
        object.__setattr__(self, "_of_slot", of_slot)

    @property
    def version(self) -> int:
        return self.contents.version

    @property
    def slots(self) -> SlotMap:
        return self.contents.slots

    @property
    def all_shards(self) -> tuple[ShardName, ...]:
        return self.contents.slots.shards

    @property
    def schemas(self) -> frozenset[str]:
        """The databases that every shard has, without the server's own."""
        return self.contents.schemas

    def fold(self, name: str) -> str:
        """A database's or table's name as the servers keep it."""
        return name.lower() if self.contents.fold_names else name

    def table(self, schema: str, name: str) -> Table | None:
        return self._tables.get((self.fold(schema), self.fold(name)))

    def tables(self, schema: str | None = None) -> Iterable[Table]:
        """Those of one database, or all, in the order of their names."""
        folded = None if schema is None else self.fold(schema)
        found = (table for table in self._tables.values() if folded is None or table.schema == folded)
        return sorted(found, key=lambda table: (table.schema, table.name))

    def require(self, schema: str, name: str) -> Table:
        """The table. Raises NoSuchTable, UnknownDatabase or ShardDown, with a text that says what to do."""
        table = self.table(schema, name)
        if table is not None:
            return table
        schema, name = self.fold(schema), self.fold(name)
        if (schema, name) in self.contents.unreadable:
            raise ShardDown(f"the shard that holds table '{schema}.{name}' cannot be reached")
        for stray in self.contents.strays:
            if (stray.schema, stray.name) == (schema, name):
                raise NoSuchTable(
                    f"Table '{schema}.{name}' is not in TxGuard's catalog, but exists on {', '.join(stray.shards)}: "
                    f"adopt it with: ADOPT TABLE {schema}.{name}"
                )
        if schema not in self.schemas:
            raise UnknownDatabase(f"Unknown database '{schema}'")
        raise NoSuchTable(f"Table '{schema}.{name}' doesn't exist")

    # ------------------------------------------------------------ where a table lives

    def shards_of(self, table: Table) -> tuple[ShardName, ...]:
        """Every shard that holds rows of the table."""
        return self.all_shards if table.home is None else self._alone[table.home]

    @property
    def away(self) -> tuple[Table, ...]:
        """The single tables that live on another shard than the first."""
        return self._away

    def sharded_alike(self, table: Table, other: Table) -> bool:
        """Rows of both whose shard keys are equal live on the same shard."""
        codec, other_codec = self._codecs.get(_id(table)), self._codecs.get(_id(other))
        return codec is not None and other_codec is not None and codec.family == other_codec.family

    # ------------------------------------------------------------ where a key belongs

    def lookup_nowait(self, table: Table, value: KeyValue) -> tuple[ShardName, ...] | None:
        """The shards on which rows may be whose shard key equals `value`: one, or all when it is not certain.

        A NULL matches no row, which any one shard can say. None: await `asked.lookup`.
        """
        codec = self._codecs.get(_id(table))
        if codec is None:
            return self.shards_of(table)
        canonical = codec.lookup(value)
        if type(canonical) is bytes:
            return self._of_slot[slot_of(canonical)]
        canonical = self._remembered(canonical)
        return None if isinstance(canonical, WeightQuestion) else self.found(canonical)

    def place_nowait(self, table: Table, value: KeyValue, *, strict: bool) -> ShardName | None:
        """The shard for a new row of a sharded table. None: await `asked.place`. Raises NotSupported.

        `strict`: the sql_mode is strict and the statement has no IGNORE, so a value that does not fit is refused by
        the server, wherever it goes. Otherwise the server would store something else, and the row is refused here.
        """
        canonical = self._remembered(self._codecs[_id(table)].insert(value, strict))
        return None if isinstance(canonical, WeightQuestion) else self.found(canonical)[0]

    def question(self, table: Table, value: KeyValue) -> WeightQuestion:
        """What must be asked where `lookup_nowait` does not know."""
        question = self._codecs[_id(table)].lookup(value)
        assert isinstance(question, WeightQuestion)
        return question

    def place_question(self, table: Table, value: KeyValue, *, strict: bool) -> WeightQuestion:
        """What must be asked where `place_nowait` does not know."""
        question = self._codecs[_id(table)].insert(value, strict)
        assert isinstance(question, WeightQuestion)
        return question

    def codec(self, table: Table) -> KeyCodec:
        """The codec of a sharded table's key, made anew. Raises NotSupported for a column that cannot be one."""
        return codec_for(key_column(table), self.weights.tables)

    def _remembered(self, canonical: Canonical) -> Canonical:
        """The answer to a question, if it has been asked before."""
        if isinstance(canonical, WeightQuestion):
            known = self.weights.canonical_nowait(canonical)
            return canonical if known is None else known
        return canonical

    def found(self, canonical: bytes | Verdict) -> tuple[ShardName, ...]:
        if isinstance(canonical, bytes):
            return self._of_slot[slot_of(canonical)]
        return self.all_shards if canonical is Verdict.UNKNOWN else self.all_shards[:1]


def key_column(table: Table) -> Column:
    """The shard key's column of a sharded table."""
    return next(column for column in table.columns if column.name == table.shard_key)


def _id(table: Table) -> TableId:
    return table.schema, table.name
