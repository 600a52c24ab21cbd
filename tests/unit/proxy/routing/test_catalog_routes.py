from __future__ import annotations

from decimal import Decimal

import pytest

from proxy.errors import NoSuchTable, NotSupported, UnknownDatabase
from proxy.routing import asked
from proxy.routing.catalog import Stray
from proxy.routing.collations import WeightTable
from proxy.routing.tables import TableKind
from tests.unit.proxy.routing.routing_fakes import SHARDS, catalog, column, table, weights_with
from tso.types import ShardName
from txguard.engine.shard import Rows
from txguard.errors import ShardDown

S1, S2, S3 = SHARDS
FOLDED = WeightTable("utf8mb4_general_ci", (tuple(b"\0" + bytes([n]).upper() for n in range(128)),), b"\0 ")
NAME = column("name", "varchar(20)", "utf8mb4_general_ci")


def test_equal_keys_go_to_one_shard_however_they_are_written() -> None:
    t = table()
    routes = catalog(t)
    for value in (5, "5", 5.0, Decimal("5.00"), " 05"):
        assert (
            routes.lookup_nowait(t, value)
            == routes.lookup_nowait(t, 5)
            == (routes.place_nowait(t, 5, strict=True),)
        )


def test_keys_spread_and_a_look_up_goes_where_the_row_was_placed() -> None:
    t = table()
    routes = catalog(t)
    placed = [routes.place_nowait(t, number, strict=True) for number in range(300)]
    assert set(placed) == set(SHARDS)
    assert [routes.lookup_nowait(t, number) for number in range(300)] == [(shard,) for shard in placed]


def test_what_is_not_certain_is_looked_for_everywhere_and_not_placed() -> None:
    t = table()
    routes = catalog(t)
    assert routes.lookup_nowait(t, "5abc") == SHARDS
    with pytest.raises(NotSupported, match="'5abc' for the shard key column `id`"):
        routes.place_nowait(t, "5abc", strict=True)


def test_null_and_what_the_server_refuses_go_to_any_one_shard() -> None:
    t = table()
    routes = catalog(t)
    assert len(routes.lookup_nowait(t, None) or ()) == 1
    assert routes.place_nowait(t, None, strict=True) in SHARDS
    assert routes.place_nowait(t, 2**40, strict=True) in SHARDS


def test_tables_that_are_not_sharded() -> None:
    single = table("single", kind=TableKind.SINGLE, home=S2)
    reference = table("reference", kind=TableKind.REFERENCE)
    routes = catalog(single, reference)
    assert routes.lookup_nowait(single, 5) == (S2,) == routes.shards_of(single)
    assert routes.lookup_nowait(reference, 5) == SHARDS == routes.shards_of(reference)
    assert not routes.sharded_alike(single, reference)


async def test_a_text_that_is_not_ascii_is_asked_once() -> None:
    answers: list[str] = []

    def answer(statement: str) -> Rows:
        answers.append(statement)
        return Rows([["0045"]])  # é weighs what E weighs

    t = table(key=NAME)
    routes = catalog(t, weights=weights_with(FOLDED, answer=answer))
    assert routes.lookup_nowait(t, "é") is None
    assert routes.place_nowait(t, "é", strict=True) is None
    assert await asked.lookup(routes, t, "é") == routes.lookup_nowait(t, "e")
    assert await asked.place(routes, t, "é", strict=True) == routes.place_nowait(t, "E", strict=True)
    assert routes.lookup_nowait(t, "é") == routes.lookup_nowait(t, "e  ")
    assert len(answers) == 1


async def test_a_text_without_any_weight_is_the_empty_text() -> None:
    """An empty canonical form is one, too: not the absence of an answer."""
    t = table(key=NAME)
    routes = catalog(t, weights=weights_with(FOLDED, answer=lambda statement: Rows([[""]])))
    assert await asked.lookup(routes, t, "\u200b") == routes.lookup_nowait(t, "")
    assert routes.lookup_nowait(t, "\u200b") == routes.lookup_nowait(t, "")


async def test_a_text_too_long_to_weigh_is_looked_for_everywhere_and_not_placed() -> None:
    t = table(key=NAME)
    routes = catalog(t, weights=weights_with(FOLDED, answer=lambda statement: Rows([[None]])))
    assert await asked.lookup(routes, t, "é") == SHARDS
    with pytest.raises(NotSupported):
        await asked.place(routes, t, "é", strict=True)


async def test_a_text_that_cannot_be_asked() -> None:
    t = table(key=NAME)
    weights = weights_with(FOLDED)
    for shard in weights._shards.values():
        shard.down = True  # type: ignore[attr-defined]
    with pytest.raises(ShardDown):
        await asked.lookup(catalog(t, weights=weights), t, "é")


def test_sharded_alike_is_a_matter_of_the_keys_families() -> None:
    a, b = table("a"), table("b", column("k", "decimal(10,2)"))
    c = table("c", NAME)
    routes = catalog(a, b, c, weights=weights_with(FOLDED))
    assert routes.sharded_alike(a, b)
    assert not routes.sharded_alike(a, c)


def test_errors_say_what_to_do() -> None:
    routes = catalog(strays=[Stray("shop", "old", (ShardName("s2"),))])
    with pytest.raises(NoSuchTable, match=r"^Table 'shop.nothing' doesn't exist$"):
        routes.require("shop", "nothing")
    with pytest.raises(NoSuchTable, match=r"exists on s2: adopt it with: ADOPT TABLE shop\.old"):
        routes.require("shop", "old")
    with pytest.raises(UnknownDatabase, match=r"^Unknown database 'x'$"):
        routes.require("x", "t")
    with pytest.raises(ShardDown):
        routes.require("shop", "far")


def test_names_are_folded_only_where_the_servers_do() -> None:
    t = table()
    assert catalog(t).table("shop", "T") is None
    assert catalog(t, fold=True).table("SHOP", "T") is t
    assert [found.name for found in catalog(t, table("a")).tables("shop")] == ["a", "t"]
