"""[R3] The form that a read takes in a view with too-new versions."""

from __future__ import annotations

import pytest

from proxy.routing.tables import Table
from proxy.sql.patch import patched_table
from proxy.sql.plan import QueryPlan
from proxy.sql.template import Bindings
from tests.unit.proxy.sql.planner_catalog import plan, query


def patched(sql: str, *, scatter: bool = False) -> str:
    planned = plan(sql)
    assert isinstance(planned.plan, QueryPlan)
    assert planned.plan.patchable
    template = planned.plan.template
    if scatter:
        assert planned.plan.scatter is not None
        template = planned.plan.scatter.template

    def source(table: Table, too_new: object, alias: str) -> str:
        return f"<{table.name} AS {alias}>"

    return template.render(Bindings(planned.literals, too_new=(1, 2)), source)  # type: ignore[arg-type]


FORMS = [
    ("SELECT * FROM users WHERE id = 5", "SELECT * FROM <users AS users> WHERE id = 5"),
    ("SELECT app.users.age FROM app.users", "SELECT users.age FROM <users AS users>"),
    ("SELECT app.users.* FROM users FORCE INDEX (PRIMARY)", "SELECT users.* FROM <users AS users>"),
    (
        "SELECT u.age FROM users u JOIN app.orders o ON u.id = o.user_id LEFT JOIN countries c ON 1",
        "SELECT u.age FROM <users AS u> JOIN <orders AS o> ON u.id = o.user_id LEFT JOIN <countries AS c> ON 1",
    ),
    (
        "SELECT * FROM users WHERE id IN (SELECT user_id FROM orders WHERE app.orders.n = age)",
        "SELECT * FROM <users AS users> WHERE id IN (SELECT user_id FROM <orders AS orders> WHERE orders.n = age)",
    ),
    ("SELECT (SELECT MAX(id) FROM countries) FROM settings",
     "SELECT (SELECT MAX(id) FROM <countries AS countries>)  AS `(SELECT MAX(id) FROM countries)`"
     "FROM <settings AS settings>"),
    ("SELECT app.users.age + 1, app.users.age FROM app.users WHERE id = 5",
     "SELECT users.age + 1 AS `app.users.age + 1`, users.age FROM <users AS users> WHERE id = 5"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "form"), FORMS)
def test_every_managed_table_is_replaced(sql: str, form: str) -> None:
    assert patched(sql) == form


def test_the_scattered_form_is_patched_too() -> None:
    assert patched("SELECT COUNT(*), AVG(users.age) FROM app.users", scatter=True) == (
        "SELECT COUNT(*), AVG(users.age), SUM(users.age), COUNT(users.age) FROM <users AS users>"
    )


def test_the_derived_table_is_the_engines() -> None:
    planned = plan("SELECT id FROM orders o WHERE user_id = 5 AND n = 2")
    assert isinstance(planned.plan, QueryPlan)
    rendered = planned.plan.template.render(Bindings(planned.literals, too_new=(7,)), patched_table)  # type: ignore[arg-type]
    assert "SELECT `user_id`, `n`, `total`, `item` FROM `app`.`orders` WHERE _txg_ts NOT IN (7)" in rendered
    assert rendered.endswith("AS `o` WHERE user_id = 5 AND n = 2")


NOT_PATCHABLE = [
    "SELECT id FROM users ORDER BY grade",
    "SELECT DISTINCT grade FROM users ORDER BY grade",
    "SELECT grade + 0 FROM users",
    "SELECT id FROM users WHERE grade > 1",
    "SELECT id FROM users WHERE grade = 1",
    "SELECT id FROM users PARTITION (p0) WHERE id = 1",
]


@pytest.mark.parametrize("sql", NOT_PATCHABLE)
def test_columns_that_the_derived_table_changes_must_not_decide(sql: str) -> None:
    assert not query(sql).patchable


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT grade FROM users",
        "SELECT * FROM users WHERE grade = 'low' AND NOT grade IN ('mid')",
        "SELECT id FROM users",
    ],
)
def test_columns_that_are_only_shown_or_compared_with_text_may(sql: str) -> None:
    assert query(sql).patchable


def test_only_consistent_reads_are_patched() -> None:
    assert not query("UPDATE users SET age = 1").patchable
    locking = plan("SELECT * FROM users FOR UPDATE")
    assert isinstance(locking.plan, QueryPlan)
    assert (
        locking.plan.template.render(Bindings(locking.literals, too_new=(1,)))
        == "SELECT * FROM users FOR UPDATE"
    )  # type: ignore[arg-type]


def test_joins_want_a_quiet_snapshot() -> None:
    assert query("SELECT * FROM users JOIN orders ON user_id = users.id").joins
    assert query("SELECT * FROM users JOIN countries ON 1 = 1").joins
    assert not query("SELECT * FROM users").joins
    assert not query("SELECT * FROM users JOIN orders ON user_id = users.id FOR UPDATE").joins
