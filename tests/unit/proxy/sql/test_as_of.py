"""AS OF TIMESTAMP: where it may stand, what may stand in it, and that no shard ever sees it."""

from __future__ import annotations

import pytest

from proxy.errors import NotSupported, ParseError
from proxy.sql.patch import patched_table
from proxy.sql.plan import BeginPlan, QueryPlan
from proxy.sql.template import Bindings
from tests.unit.proxy.sql.planner_catalog import plan
from txguard.engine.patch import NewerThan

INSTANT = "'2026-07-31 12:00:00'"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM users AS OF TIMESTAMP {0}",
        "SELECT u.id FROM users u AS OF TIMESTAMP {0} WHERE u.id = 7",
        "SELECT u.id FROM users AS u AS OF TIMESTAMP {0} USE INDEX (PRIMARY) ORDER BY u.id LIMIT 3",
        "SELECT app.users.id FROM app.users AS OF TIMESTAMP {0}",
    ],
)
def test_the_clause_is_cut_out_and_worked_out_apart(sql: str) -> None:
    planned = plan(sql.format(INSTANT))
    found = planned.plan
    assert isinstance(found, QueryPlan)
    assert found.as_of is not None
    bindings = Bindings(planned.literals, too_new=NewerThan(9))
    assert found.as_of.render(bindings) == INSTANT
    for template in [found.template, *([found.scatter.template] if found.scatter else [])]:
        text = template.render(bindings, patched_table)
        assert "AS OF" not in text
        assert "commit_ts > 9" in text
    assert found.template_only


def test_statements_that_differ_in_the_instant_share_a_plan() -> None:
    planned = plan("SELECT id FROM users AS OF TIMESTAMP NOW() - INTERVAL 5 MINUTE")
    assert isinstance(planned.plan, QueryPlan)
    assert planned.plan.as_of is not None
    assert planned.plan.as_of.render(Bindings(["7"])) == "NOW() - INTERVAL 7 MINUTE"


def test_an_instant_can_be_bound() -> None:
    found = plan("SELECT id FROM users AS OF TIMESTAMP ?", prepared=True).plan
    assert isinstance(found, QueryPlan)
    assert found.as_of is not None
    assert found.as_of.render(Bindings(parameters=[INSTANT])) == INSTANT


def test_the_present_has_no_instant_and_an_alias_may_be_called_of() -> None:
    for sql in ("SELECT id FROM users", "SELECT `of`.id FROM users AS `of`", "SELECT of.id FROM users AS of"):
        found = plan(sql).plan
        assert isinstance(found, QueryPlan)
        assert found.as_of is None


def test_a_transaction_in_the_past() -> None:
    planned = plan(f"START TRANSACTION READ ONLY AS OF TIMESTAMP {INSTANT}")
    assert isinstance(planned.plan, BeginPlan)
    assert planned.plan.read_only
    assert planned.plan.as_of is not None
    assert planned.plan.as_of.render(Bindings(planned.literals)) == INSTANT
    with pytest.raises(ParseError):
        plan(f"START TRANSACTION READ WRITE AS OF TIMESTAMP {INSTANT}")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM users AS OF TIMESTAMP (SELECT 1)",
        "SELECT id FROM users AS OF TIMESTAMP SLEEP(5)",
        "SELECT id FROM users AS OF TIMESTAMP id",
        "SELECT id FROM users AS OF SYSTEM TIME NOW()",
        "SELECT id FROM users AS OF TIMESTAMP NOW() FOR UPDATE",
        "SELECT id FROM users AS OF TIMESTAMP NOW() WHERE id IN (SELECT id FROM users)",
        "WITH u AS (SELECT 1) SELECT * FROM u AS OF TIMESTAMP NOW()",
        "START TRANSACTION READ ONLY AS OF TIMESTAMP SLEEP(5)",
    ],
)
def test_what_is_refused(sql: str) -> None:
    with pytest.raises(NotSupported):
        plan(sql)
