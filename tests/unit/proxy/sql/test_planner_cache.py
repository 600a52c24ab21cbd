"""The plan cache: what is shared, what must not be, and when it is thrown away."""

from __future__ import annotations

import pytest

from proxy.errors import NotSupported, ParseError
from proxy.sql.operands import resolve
from proxy.sql.plan import AllShards, ByKeys, QueryPlan
from proxy.sql.planner import Planner
from tests.unit.proxy.sql.planner_catalog import SCHEMAS, FakeSchemas, text


def keys_of(planner: Planner, sql: str) -> list[object]:
    planned = planner.plan(sql, SCHEMAS, "app")
    assert isinstance(planned.plan, QueryPlan)
    assert isinstance(planned.plan.route, ByKeys)
    return [resolve(key, planned.literals) for key in planned.plan.route.keys]


def test_statements_that_differ_in_literals_share_a_plan() -> None:
    planner = Planner()
    one = planner.plan(b"SELECT name FROM users WHERE id = 1 AND name = 'a'", SCHEMAS, "app")
    other = planner.plan(b"SELECT name FROM users WHERE id = 2 AND name = 'it''s'", SCHEMAS, "app")
    assert one.plan is other.plan
    assert other.literals == ("2", "'it''s'")
    assert keys_of(planner, "SELECT name FROM users WHERE id = 3 AND name = 'b'") == [3]


SHARED_BY_NONE = [
    ("SELECT id, age FROM users ORDER BY 1", "SELECT id, age FROM users ORDER BY 2"),
    ("SELECT age, COUNT(*) FROM users GROUP BY 1", "SELECT age, COUNT(*) FROM users GROUP BY 'x'"),
    ("SELECT age 'a' FROM users ORDER BY a", "SELECT age 'b' FROM users ORDER BY a"),
    ("SELECT x'41' FROM users", 'SELECT x"41" FROM users'),
    ("SELECT 'a' 'b' FROM users", "SELECT 1 'b' FROM users"),
    ("SELECT DATE '2020-01-01' FROM users", "SELECT DATE 'x' FROM users"),
]


@pytest.mark.parametrize(("one", "other"), SHARED_BY_NONE)
def test_plans_that_hang_on_a_literal_are_not_shared(one: str, other: str) -> None:
    planner = Planner()
    first = planner.plan(one, SCHEMAS, "app").plan
    try:
        second = planner.plan(other, SCHEMAS, "app").plan
    except (NotSupported, ParseError):
        return
    assert first is not second


def test_order_by_position_sorts_by_that_position() -> None:
    planner = Planner()
    texts = []
    for number in (1, 2):
        planned = planner.plan(f"SELECT name, age FROM users ORDER BY {number}", SCHEMAS, "app")
        assert isinstance(planned.plan, QueryPlan)
        assert planned.plan.scatter is not None
        texts.append(text(planned.plan.scatter.template, planned))
    assert "WEIGHT_STRING(name)" in texts[0]
    assert "WEIGHT_STRING" not in texts[1]


def test_the_same_text_in_another_database_is_another_statement() -> None:
    planner = Planner()
    planner.plan("SELECT * FROM users WHERE id = 1", SCHEMAS, "app")
    with pytest.raises(Exception, match="doesn't exist"):
        planner.plan("SELECT * FROM users WHERE id = 1", SCHEMAS, "other")


def test_a_new_catalog_version_empties_the_cache() -> None:
    planner, schemas = Planner(), FakeSchemas()
    planner.plan("SELECT * FROM users WHERE id = 1", schemas, "app")
    del schemas.tables["users"]
    planner.plan("SELECT * FROM users WHERE id = 1", schemas, "app")
    schemas.version += 1
    with pytest.raises(Exception, match="doesn't exist"):
        planner.plan("SELECT * FROM users WHERE id = 1", schemas, "app")


def test_markers_are_for_prepared_statements() -> None:
    planner = Planner()
    assert planner.plan("SELECT * FROM users WHERE id = ?", SCHEMAS, "app", prepared=True).parameters == 1
    with pytest.raises(ParseError):
        planner.plan("SELECT * FROM users WHERE id = ?", SCHEMAS, "app")


def test_a_nul_byte_does_not_pass_for_a_literal() -> None:
    planner = Planner()
    planner.plan("SELECT name FROM users WHERE id = 5", SCHEMAS, "app")
    with pytest.raises(ParseError):
        planner.plan("SELECT name FROM users WHERE id = \0", SCHEMAS, "app")


def test_bytes_that_are_no_utf8_come_through_unchanged() -> None:
    planned = Planner().plan(b"SELECT name FROM users WHERE name = '\xe9' ORDER BY id", SCHEMAS, "app")
    assert isinstance(planned.plan, QueryPlan)
    assert isinstance(planned.plan.route, AllShards)
    assert (
        planned.sql.encode("utf-8", "surrogateescape")
        == b"SELECT name FROM users WHERE name = '\xe9' ORDER BY id"
    )
    assert planned.plan.scatter is not None
    sent = text(planned.plan.scatter.template, planned)
    assert b"'\xe9'" in sent.encode("utf-8", "surrogateescape")


def test_caches_do_not_grow_beyond_their_size() -> None:
    planner = Planner(texts=3, shapes=3)
    for number in range(10):
        planner.plan(f"SELECT id AS a{number}x FROM users WHERE id = 1", SCHEMAS, "app")
        planner.plan(f"SAVEPOINT s{number}", SCHEMAS, "app")
    assert len(planner._shapes) == 3
    assert len(planner._texts) == 3
