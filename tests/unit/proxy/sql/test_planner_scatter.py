"""What several shards are asked: the client's columns unchanged, and the hidden ones behind them."""

from __future__ import annotations

import pytest

from proxy.errors import NotSupported
from proxy.sql.merge_spec import Combine, Key
from tests.unit.proxy.sql.planner_catalog import query, scattered

SPACE = "IF(CONCAT(LEFT(name,0),' ')=LEFT(name,0),WEIGHT_STRING(CONCAT(LEFT(name,0),' ')),'')"

TEXTS = [
    ("SELECT id, age FROM users ORDER BY age DESC", "SELECT id, age FROM users ORDER BY age DESC"),
    ("SELECT * FROM users ORDER BY age", "SELECT *, age FROM users ORDER BY age"),
    (
        "SELECT id FROM users ORDER BY name",
        f"SELECT id, WEIGHT_STRING(name), {SPACE} FROM users ORDER BY name",
    ),
    ("SELECT id FROM users ORDER BY grade", "SELECT id, grade+0 FROM users ORDER BY grade"),
    ("SELECT id FROM users ORDER BY height", "SELECT id, height+0e0 FROM users ORDER BY height"),
    ("SELECT id FROM users LIMIT 5", "SELECT id FROM users LIMIT 5 "),
    ("SELECT id FROM users LIMIT 10, 5", "SELECT id FROM users LIMIT 15 "),
    ("SELECT id FROM users LIMIT 5 OFFSET 10 FOR UPDATE", "SELECT id FROM users LIMIT 15 FOR UPDATE"),
    ("SELECT id x FROM users ORDER BY x", "SELECT id x FROM users ORDER BY x"),
    (
        "SELECT COUNT(*) FROM users WHERE age > 5 ORDER BY 1 LIMIT 3",
        "SELECT COUNT(*) FROM users WHERE age > 5",
    ),
    ("SELECT AVG(age) a FROM users", "SELECT AVG(age) a, SUM(age), COUNT(age) FROM users"),
    (
        "SELECT age, COUNT(*) c FROM users GROUP BY age HAVING c > 5 AND age < 9 ORDER BY c LIMIT 3",
        "SELECT age, COUNT(*) c FROM users GROUP BY age HAVING (age < 9)",
    ),
    ("SELECT COUNT(*) FROM users GROUP BY age", "SELECT COUNT(*), MIN(age) FROM users GROUP BY age"),
    (
        "SELECT id, COUNT(*) FROM users GROUP BY id ORDER BY COUNT(*) LIMIT 3",
        "SELECT id, COUNT(*) FROM users GROUP BY id ORDER BY COUNT(*) LIMIT 3 ",
    ),
    ("SELECT COUNT(DISTINCT age) FROM users", "SELECT COUNT(DISTINCT age), MIN(age) FROM users GROUP BY age"),
    (
        "SELECT age, COUNT(DISTINCT money) FROM users GROUP BY age HAVING age > 3",
        "SELECT age, COUNT(DISTINCT money), MIN(money) FROM users GROUP BY age, money HAVING (age > 3)",
    ),
    ("SELECT DISTINCT age FROM users LIMIT 2", "SELECT DISTINCT age FROM users LIMIT 2 "),
    (
        "SELECT DISTINCT name FROM users LIMIT 2",
        f"SELECT DISTINCT name, WEIGHT_STRING(name), {SPACE} FROM users ",
    ),
    (
        "SELECT DISTINCT user_id, total FROM orders ORDER BY total LIMIT 2",
        "SELECT DISTINCT user_id, total FROM orders ORDER BY total LIMIT 2 ",
    ),
]


@pytest.mark.parametrize(("sql", "sent"), TEXTS)
def test_text(sql: str, sent: str) -> None:
    assert scattered(sql) == sent


def test_session_values_keep_their_columns_names() -> None:
    assert scattered("SELECT id, @x + 1 FROM users ORDER BY id") == (
        "SELECT id, <@x> + 1 AS `@x + 1` FROM users ORDER BY id"
    )


def test_rows_of_one_shard_key_never_span_shards() -> None:
    merge = query(
        "SELECT u.id, COUNT(*) FROM users u JOIN orders o ON o.user_id = u.id GROUP BY u.id"
    ).scatter
    assert merge is not None
    assert merge.merge is not None
    assert merge.merge.group_by is None


def test_hidden_weights_do_not_make_equal_rows_of_one_shard_key_distinct() -> None:
    scatter = query("SELECT DISTINCT user_id, item FROM orders ORDER BY item LIMIT 3").scatter
    assert scatter is not None
    assert scatter.merge is not None
    assert scatter.merge.distinct == (Key(0), Key(None, -2, -1))


def test_rows_that_an_outer_join_makes_up_may_span_shards() -> None:
    scatter = query(
        "SELECT COUNT(*) FROM users u LEFT JOIN orders o ON o.user_id = u.id GROUP BY o.user_id"
    ).scatter
    assert scatter is not None
    assert scatter.merge is not None
    assert scatter.merge.group_by is not None


def test_merge_names_columns_as_rows_are_indexed() -> None:
    scatter = query("SELECT MAX(name), COUNT(DISTINCT id) FROM users").scatter
    assert scatter is not None
    assert scatter.merge is not None
    assert scatter.merge.hidden == 2
    assert [(a.column, a.how, a.key) for a in scatter.merge.aggregates] == [
        (0, Combine.MAX, Key(0, -2, -1)),
        (1, Combine.COUNT, None),
    ]


REFUSED = [
    ("SELECT SQL_CALC_FOUND_ROWS id FROM users LIMIT 1", "SQL_CALC_FOUND_ROWS"),
    ("SELECT age, COUNT(*) FROM users GROUP BY age WITH ROLLUP", "ROLLUP"),
    ("SELECT id, RANK() OVER (ORDER BY age) FROM users", "window functions"),
    ("SELECT SUM(DISTINCT age) FROM users", "SUM(DISTINCT"),
    ("SELECT COUNT(DISTINCT age, name) FROM users", "COUNT(DISTINCT"),
    ("SELECT COUNT(DISTINCT age), SUM(DISTINCT id) FROM users", "SUM(DISTINCT shard key)"),
    ("SELECT COUNT(DISTINCT age), 1 FROM users", "no aggregate"),
    ("SELECT GROUP_CONCAT(name) FROM users", "GROUP_CONCAT()"),
    ("SELECT STDDEV(age) FROM users", "STDDEV()"),
    ("SELECT age, COUNT(*) FROM users", "columns beside aggregates"),
    ("SELECT *, COUNT(*) FROM users GROUP BY age", "beside *"),
    ("SELECT SUM(age) / COUNT(*) + 1 FROM users", "expression"),
    ("SELECT CONCAT(MAX(name), 'x') FROM users", "CONCAT()"),
    ("SELECT MIN(grade) FROM users", "enum"),
    ("SELECT id FROM users ORDER BY RAND()", "RAND()"),
    ("SELECT age AS x FROM users ORDER BY x + 1", "alias x"),
    ("SELECT DISTINCT name FROM users ORDER BY age", "DISTINCT"),
    ("SELECT DISTINCT user_id FROM orders ORDER BY total", "DISTINCT"),
    ("SELECT DISTINCT user_id, item FROM orders ORDER BY n LIMIT 3", "DISTINCT"),
    ("SELECT DISTINCT u.id FROM users u JOIN orders o ON o.user_id = u.id ORDER BY o.total", "DISTINCT"),
    ("SELECT DISTINCT user_id FROM orders GROUP BY user_id, n ORDER BY SUM(total)", "DISTINCT"),
    ("SELECT DISTINCT COUNT(*) FROM users GROUP BY age ORDER BY age", "DISTINCT"),
    ("SELECT *, age FROM users ORDER BY 2", "position 2"),
    ("SELECT age FROM users GROUP BY age HAVING MAX(age) > MIN(age)", "HAVING"),
    ("SELECT age FROM users GROUP BY age HAVING money > 3", "HAVING"),
    ("SELECT id FROM docs ORDER BY body", "json"),
    ("SELECT DISTINCT body FROM docs", "json"),
    ("SELECT id FROM docs ORDER BY LOWER(body)", "json"),
    ("(SELECT id FROM users)", "parentheses"),
]


@pytest.mark.parametrize(("sql", "named"), REFUSED)
def test_what_cannot_be_merged_exactly_is_refused_by_name(sql: str, named: str) -> None:
    with pytest.raises(NotSupported) as caught:
        query(sql)
    assert named in str(caught.value)
