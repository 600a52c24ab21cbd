"""Decides how a new table is laid out, or why it cannot be.

Owns: `place_table`, from what the server made of the definition (`TableFacts`) to the catalog's row. Pure: no
I/O. The rule behind every refusal: what a server promises of a table (a key is unique, a reference holds)
must hold over all shards together, and can only be checked by one shard at a time; and everything must be
undone without a trace when a transaction is rolled back after a shard has committed its part
(docs/protocol.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from proxy.ddl.errors import BadHint, NoSuchKeyColumn
from proxy.ddl.hints import Hint
from proxy.errors import NotSupported
from proxy.executor.warnings import Condition
from proxy.routing.catalog import Catalog, key_column
from proxy.routing.catalog_rows import TableRow
from proxy.routing.catalog_store import make_table
from proxy.routing.collations import WeightTable
from proxy.routing.keys import codec_for
from proxy.routing.table_facts import ForeignKey, TableFacts, UniqueKey
from proxy.routing.tables import Table, TableKind
from tso.types import ShardName
from txguard.errors import NotManageable

UNMANAGED_WARNING: Final = 9107
_RESERVED: Final = "_txg_"
_HARMLESS: Final = frozenset({"RESTRICT", "NO ACTION"})


@dataclass(frozen=True, slots=True)
class Placement:
    """`row` lacks its `created_ts` and `version`, which are 0."""

    row: TableRow
    retention_s: int | None = None
    """For how long its old versions are kept; None: as those of all tables."""
    warnings: tuple[Condition, ...] = ()


def place_table(
    facts: TableFacts, hint: Hint, catalog: Catalog, weights: Mapping[str, WeightTable]
) -> Placement:
    """Raises NotSupported, NotManageable, BadHint or NoSuchKeyColumn, each with what to do about it.

    `weights` hold the collation of every column that may become the shard key (`needed_weights`).
    """
    _refuse_forms(facts)
    kind = _kind(facts, hint)
    row = TableRow(
        schema=facts.schema,
        name=facts.name,
        kind=kind,
        shard_key=_shard_key(facts, hint) if kind is TableKind.SHARDED else None,
        home=_home(facts, hint, catalog) if kind is TableKind.SINGLE else None,
        managed=facts.primary_key is not None,
        created_ts=0,
        version=0,
    )
    table = make_table(row, facts)
    if kind is TableKind.REFERENCE:
        _refuse_clocks(table)
    if table.shard_key is not None:
        codec_for(key_column(table), weights)
        for key in facts.unique_keys:
            _check_unique(facts, key, table.shard_key)
    for foreign_key in facts.foreign_keys:
        _check_reference(table, foreign_key, catalog, weights)
    if hint.retention_s is not None and not row.managed:
        raise BadHint(
            f"txguard hint: retention means nothing for {row.name}: without a primary key, no versions"
        )
    return Placement(row, hint.retention_s, () if row.managed else (_unmanaged_warning(row),))


def check_unique_key(table: Table, facts: TableFacts, key: UniqueKey) -> None:
    """For an index that is added later. Raises NotSupported."""
    if table.shard_key is not None:
        _check_unique(facts, key, table.shard_key)


def possible_keys(facts: TableFacts, hint: Hint) -> tuple[str, ...]:
    """The columns one of which becomes the shard key, if any does."""
    if hint.shard_key is not None:
        return (hint.shard_key,)
    return facts.primary_key.columns[:1] if facts.primary_key is not None else ()


def _refuse_forms(facts: TableFacts) -> None:
    table = f"{facts.schema}.{facts.name}"
    if facts.engine.lower() != "innodb":
        raise NotManageable(f"{table} cannot be managed: its engine is {facts.engine}, not InnoDB")
    if facts.invisible:
        raise NotSupported(f"the invisible column `{facts.invisible[0]}`")
    for column in facts.columns:
        if column.name.lower().startswith(_RESERVED):
            raise NotSupported(
                f"the column name `{column.name}`: names that begin with {_RESERVED} are TxGuard's"
            )


def _refuse_clocks(table: Table) -> None:
    """The copies of a reference table are written by one statement each: their clocks would tell different times."""
    for column in table.columns:
        if column.on_update_clock:
            raise NotSupported(f"ON UPDATE CURRENT_TIMESTAMP in a reference table (column `{column.name}`)")


def _kind(facts: TableFacts, hint: Hint) -> TableKind:
    if facts.primary_key is not None:
        return hint.kind or TableKind.SHARDED
    if hint.kind in (TableKind.SHARDED, TableKind.REFERENCE) or hint.shard_key is not None:
        raise NotManageable(
            f"{facts.schema}.{facts.name} cannot be managed: it has no primary key, so it can only be a single table"
        )
    return TableKind.SINGLE


def _shard_key(facts: TableFacts, hint: Hint) -> str:
    key = facts.primary_key
    assert key is not None, "_kind makes a table without a primary key a single one"
    if hint.shard_key is None:
        name = key.columns[0]
    else:
        column = facts.column(hint.shard_key)
        if column is None:
            raise NoSuchKeyColumn(hint.shard_key)
        name = column.name
    if name not in key.columns:
        raise NotSupported(
            f"the shard key `{name}`, which is not in the primary key ({', '.join(key.columns)}): the key would be "
            "unique within each shard only; add the column to it"
        )
    if name in key.prefixed:
        raise NotSupported(f"the shard key `{name}`, of which the primary key holds only a prefix")
    return name


def _home(facts: TableFacts, hint: Hint, catalog: Catalog) -> ShardName:
    if hint.home is None:
        return catalog.slots.home_of_name(facts.schema, facts.name)
    if hint.home not in catalog.all_shards:
        raise BadHint(
            f"txguard hint: there is no shard {hint.home!r}, there are {', '.join(catalog.all_shards)}"
        )
    return hint.home


def _check_unique(facts: TableFacts, key: UniqueKey, shard_key: str) -> None:
    if shard_key in key.columns and shard_key not in key.prefixed:
        return
    raise NotSupported(
        f"the unique key `{key.name}` on `{facts.name}`, which does not contain the shard key `{shard_key}` as a "
        f"whole: it would hold within each shard only. Add `{shard_key}` to it, make it an ordinary index, shard the "
        "table by one of its columns (COMMENT='txguard: shard_key=...'), or keep the table in one piece "
        "(COMMENT='txguard: reference' or 'txguard: single')"
    )


def _unmanaged_warning(row: TableRow) -> Condition:
    return Condition(
        "Warning",
        UNMANAGED_WARNING,
        f"{row.schema}.{row.name} has no primary key: it is kept on shard {row.home} without versions, and can be "
        "written in transactions on that shard only",
    )


# ---------------------------------------------------------------- foreign keys


def _check_reference(
    child: Table, key: ForeignKey, catalog: Catalog, weights: Mapping[str, WeightTable]
) -> None:
    for event, rule in (("UPDATE", key.on_update), ("DELETE", key.on_delete)):
        if rule.upper() not in _HARMLESS:
            raise NotManageable(
                f"{child.schema}.{child.name} cannot be managed: foreign key {key.name} is ON {event} {rule}, which "
                "changes rows without firing triggers; use RESTRICT"
            )
    own = key.parent == (child.schema, child.name)
    parent = child if own else catalog.table(*key.parent)
    if parent is None:
        raise NotSupported(
            f"the foreign key {key.name} to {'.'.join(key.parent)}, which is not in the catalog"
        )
    if parent.kind is TableKind.REFERENCE:
        return
    if child.kind is TableKind.SINGLE and parent.kind is TableKind.SINGLE and child.home == parent.home:
        return
    if child.kind is parent.kind is TableKind.SHARDED and _on_shard_keys(child, parent, key, weights):
        return
    raise NotSupported(_apart(child, parent, key))


def _on_shard_keys(child: Table, parent: Table, key: ForeignKey, weights: Mapping[str, WeightTable]) -> bool:
    """Referencing and referenced rows are always on one shard."""
    pairs = dict(zip(key.columns, key.parent_columns, strict=True))
    if child.shard_key is None or pairs.get(child.shard_key) != parent.shard_key:
        return False
    return codec_for(key_column(child), weights).family == codec_for(key_column(parent), weights).family


def _apart(child: Table, parent: Table, key: ForeignKey) -> str:
    return (
        f"the foreign key {key.name} from `{child.name}` ({_described(child)}) to `{parent.name}` "
        f"({_described(parent)}): rows could be on different shards. Both must be sharded by the columns of the "
        "key, or the referenced table be a reference table (COMMENT='txguard: reference')"
    )


def _described(table: Table) -> str:
    if table.kind is TableKind.SHARDED:
        return f"sharded by {table.shard_key}"
    return f"single on {table.home}" if table.kind is TableKind.SINGLE else "reference"
