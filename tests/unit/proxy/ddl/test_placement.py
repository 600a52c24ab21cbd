from __future__ import annotations

import dataclasses

import pytest

from proxy.ddl.errors import BadHint, NoSuchKeyColumn
from proxy.ddl.hints import Hint
from proxy.ddl.placement import place_table, possible_keys
from proxy.errors import NotSupported
from proxy.routing.table_facts import ForeignKey, TableFacts, UniqueKey
from proxy.routing.tables import Column, Table, TableKind
from tests.unit.proxy.routing.routing_fakes import SHARDS, catalog, column, table
from tso.types import ShardName
from txguard.errors import NotManageable

S1, S2, S3 = SHARDS


def key(name: str, *columns: str, prefixed: tuple[str, ...] = (), functional: bool = False) -> UniqueKey:
    return UniqueKey(name, columns, frozenset(prefixed), functional)


def facts(
    *columns: Column, primary: UniqueKey | None = None, unique: tuple[UniqueKey, ...] = ()
) -> TableFacts:
    columns = columns or (column("id"), column("tenant"), column("mail", "varchar(9)", "utf8mb4_bin"))
    return TableFacts(
        schema="shop",
        name="new",
        engine="InnoDB",
        comment="",
        columns=columns,
        invisible=(),
        primary_key=primary,
        unique_keys=unique,
        foreign_keys=(),
    )


PRIMARY = key("PRIMARY", "id", "tenant")


def place(given: TableFacts, hint: Hint | None = None, *others: Table):  # type: ignore[no-untyped-def]
    return place_table(given, hint or Hint(), catalog(*others), {})


def test_by_the_first_column_of_the_primary_key_unless_a_hint_says_otherwise() -> None:
    given = facts(primary=PRIMARY)
    assert place(given).row.shard_key == "id"
    assert place(given, Hint(shard_key="TENANT")).row.shard_key == "tenant"
    reference = place(given, Hint(TableKind.REFERENCE)).row
    assert (reference.kind, reference.shard_key, reference.home) == (TableKind.REFERENCE, None, None)
    assert place(given, Hint(TableKind.SINGLE, home=S3)).row.home == S3
    assert place(given, Hint(TableKind.SINGLE)).row.home in SHARDS
    assert possible_keys(given, Hint()) == ("id",)


def test_a_reference_table_is_not_written_by_each_shards_own_clock() -> None:
    touched = dataclasses.replace(column("touched", "datetime"), on_update_clock=True)
    given = facts(column("id"), touched, primary=key("PRIMARY", "id"))
    assert place(given).row.kind is TableKind.SHARDED
    with pytest.raises(NotSupported, match="ON UPDATE CURRENT_TIMESTAMP"):
        place(given, Hint(TableKind.REFERENCE))


def test_a_table_without_a_primary_key_is_single_and_unmanaged() -> None:
    placement = place(facts())
    assert (placement.row.kind, placement.row.managed) == (TableKind.SINGLE, False)
    assert placement.row.home in SHARDS
    assert len(placement.warnings) == 1
    assert not place(facts(primary=PRIMARY)).warnings


@pytest.mark.parametrize(
    ("given", "hint", "error"),
    [
        (facts(), Hint(TableKind.REFERENCE), NotManageable),
        (facts(), Hint(shard_key="id"), NotManageable),
        (facts(primary=PRIMARY), Hint(shard_key="nothing"), NoSuchKeyColumn),
        (facts(primary=PRIMARY), Hint(shard_key="mail"), NotSupported),
        (facts(primary=PRIMARY), Hint(TableKind.SINGLE, home=ShardName("s9")), BadHint),
        (facts(primary=key("PRIMARY", "mail", prefixed=("mail",))), Hint(), NotSupported),
        (facts(column("f", "float"), primary=key("PRIMARY", "f")), Hint(), NotSupported),
        (facts(column("id"), column("_TXG_x"), primary=key("PRIMARY", "id")), Hint(), NotSupported),
        (dataclasses.replace(facts(primary=PRIMARY), engine="MyISAM"), Hint(), NotManageable),
        (dataclasses.replace(facts(primary=PRIMARY), invisible=("tenant",)), Hint(), NotSupported),
    ],
)
def test_what_cannot_be_placed(given: TableFacts, hint: Hint, error: type[Exception]) -> None:
    with pytest.raises(error):
        place(given, hint)


@pytest.mark.parametrize(
    ("unique", "allowed"),
    [
        (key("u", "mail", "id"), True),
        (key("u", "id", functional=True), True),
        (key("u", "mail"), False),
        (key("u", "mail", "id", prefixed=("mail",)), True),
        (key("u", functional=True), False),
    ],
)
def test_a_unique_key_must_contain_the_shard_key(unique: UniqueKey, allowed: bool) -> None:
    given = facts(primary=key("PRIMARY", "id"), unique=(unique,))
    if allowed:
        place(given)
    else:
        with pytest.raises(NotSupported, match="within each shard only"):
            place(given)
    place(given, Hint(TableKind.REFERENCE))
    place(given, Hint(TableKind.SINGLE))


def referencing(
    parent: str, *columns: str, on_delete: str = "RESTRICT", to: tuple[str, ...] = ("id",)
) -> TableFacts:
    reference = ForeignKey("fk", columns, ("shop", parent), to, "NO ACTION", on_delete)
    return dataclasses.replace(facts(primary=key("PRIMARY", "id", "tenant")), foreign_keys=(reference,))


PARENT = table("parent")
KINDS = table("kinds", kind=TableKind.REFERENCE)
ALONE = table("alone", kind=TableKind.SINGLE, home=S2)
NAMED = table("named", column("id", "varchar(9)", "utf8mb4_bin"))


@pytest.mark.parametrize(
    ("given", "hint", "allowed"),
    [
        (referencing("parent", "id"), Hint(), True),
        (referencing("parent", "tenant"), Hint(), False),
        (referencing("parent", "tenant"), Hint(shard_key="tenant"), True),
        (referencing("parent", "id", to=("x",)), Hint(), False),
        (referencing("parent", "id"), Hint(TableKind.REFERENCE), False),
        (referencing("parent", "id"), Hint(TableKind.SINGLE), False),
        (referencing("named", "id"), Hint(), False),
        (referencing("kinds", "tenant"), Hint(), True),
        (referencing("kinds", "tenant"), Hint(TableKind.REFERENCE), True),
        (referencing("kinds", "tenant"), Hint(TableKind.SINGLE), True),
        (referencing("alone", "id"), Hint(), False),
        (referencing("alone", "id"), Hint(TableKind.SINGLE, home=S2), True),
        (referencing("alone", "id"), Hint(TableKind.SINGLE, home=S1), False),
        (referencing("new", "id"), Hint(), True),
        (referencing("new", "tenant"), Hint(), False),
        (referencing("nothing", "id"), Hint(), False),
    ],
)
def test_references_between_rows_that_are_always_on_one_shard(
    given: TableFacts, hint: Hint, allowed: bool
) -> None:
    others = (PARENT, KINDS, ALONE, NAMED)
    if allowed:
        place(given, hint, *others)
    else:
        with pytest.raises(NotSupported, match="foreign key"):
            place(given, hint, *others)


@pytest.mark.parametrize("rule", ["CASCADE", "SET NULL", "SET DEFAULT"])
def test_references_that_change_rows_unseen(rule: str) -> None:
    with pytest.raises(NotManageable, match=rule):
        place(referencing("kinds", "tenant", on_delete=rule), None, KINDS)
