"""From a plan's route and a statement's values to its shards."""

from __future__ import annotations

import pytest

from proxy.errors import NotSupported
from proxy.executor.asked_routes import shards
from proxy.executor.execution import Execution, Reading
from proxy.executor.routes import shards_nowait
from proxy.sql.plan import Planned, QueryPlan
from tests.unit.proxy.executor.test_inserts import catalog
from tests.unit.proxy.routing.routing_fakes import SHARDS
from tests.unit.proxy.sql.planner_catalog import SCHEMAS, plan, session_text
from tso.types import ShardName

ANY = ShardName("any")


def place(number: int) -> ShardName:
    found = catalog().lookup_nowait(SCHEMAS.tables["users"], number)
    assert found is not None
    return found[0]


def where(sql: str) -> tuple[ShardName, ...] | None:
    planned = plan(sql)
    assert isinstance(planned.plan, QueryPlan)
    return shards_nowait(
        planned.plan.route, Execution(planned, session_text, Reading()), catalog(), lambda: ANY
    )


def test_one_key_is_one_shard() -> None:
    for number in (1, 2, 3, 77):
        assert where(f"SELECT * FROM users WHERE id = {number}") == (place(number),)
        assert where(f"SELECT * FROM users WHERE id = '{number}'") == (place(number),)


def test_several_keys_are_their_shards_in_order() -> None:
    numbers = (5, 6, 900, 40)
    expected = {place(number) for number in numbers}
    found = where(f"SELECT * FROM users WHERE id IN {numbers}")
    assert found == tuple(shard for shard in SHARDS if shard in expected)


def test_null_matches_nothing_which_one_shard_can_say() -> None:
    assert where("SELECT * FROM users WHERE id = NULL") == (SHARDS[0],)
    assert where("SELECT * FROM users WHERE id IN (NULL, 77)") == (place(77),)


def test_the_other_routes() -> None:
    assert where("SELECT * FROM users") == SHARDS
    assert where("SELECT 1") == (ANY,)
    assert where("SELECT * FROM countries") == (ANY,)
    assert where("SELECT * FROM settings") == (ShardName("s2"),)
    assert where("SELECT * FROM countries FOR UPDATE") == (SHARDS[0],)


async def test_two_tables_must_be_on_one_shard() -> None:
    sql = "SELECT * FROM users WHERE id = {} AND EXISTS (SELECT 1 FROM orders WHERE user_id = {})"

    async def both(one: int, other: int) -> tuple[ShardName, ...]:
        planned = plan(sql.format(one, other))
        assert isinstance(planned.plan, QueryPlan)
        execution = Execution(planned, session_text, Reading())
        return await shards(
            planned.plan.route, execution, catalog(), lambda: ANY, planned.plan.scatter_refusal
        )

    assert await both(5, 5) == (place(5),)
    elsewhere = next(number for number in range(1, 100) if place(number) != place(5))
    with pytest.raises(NotSupported):
        await both(5, elsewhere)


def test_a_latin1_client_s_key_is_read_in_latin1() -> None:
    planned = plan("SELECT 'x'")
    raw = b"SELECT '\xe9'".decode("utf-8", "surrogateescape")
    planned = Planned(planned.plan, raw, ("'\udce9'",), planned.parameters)
    from proxy.sql.operands import Literal

    assert Execution(planned, session_text, Reading(codec="cp1252")).key(Literal(0)) == "é"
    assert Execution(planned, session_text, Reading()).key(Literal(0)) == "\udce9"
