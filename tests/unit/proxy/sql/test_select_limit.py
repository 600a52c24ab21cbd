"""The LIMIT that sql_select_limit gives a SELECT."""

from __future__ import annotations

import pytest

from proxy.sql.select_limit import limited

LIMITED = [
    ("SELECT * FROM t", "SELECT * FROM t LIMIT 3"),
    ("select a from t order by a;  ", "select a from t order by a LIMIT 3;  "),
    ("SELECT * FROM t WHERE id = 1 FOR UPDATE", "SELECT * FROM t WHERE id = 1 LIMIT 3 FOR UPDATE"),
    ("SELECT 1 LOCK IN SHARE MODE", "SELECT 1 LIMIT 3 LOCK IN SHARE MODE"),
    ("SELECT * FROM t FORCE INDEX FOR JOIN (x)", "SELECT * FROM t FORCE INDEX FOR JOIN (x) LIMIT 3"),
    ("SELECT * FROM (SELECT 1 LIMIT 9) x", "SELECT * FROM (SELECT 1 LIMIT 9) x LIMIT 3"),
    ("(SELECT 1 LIMIT 9) UNION (SELECT 2)", "(SELECT 1 LIMIT 9) UNION (SELECT 2) LIMIT 3"),
    ("WITH x AS (SELECT 1) SELECT * FROM x", "WITH x AS (SELECT 1) SELECT * FROM x LIMIT 3"),
    ("SELECT 'LIMIT' -- LIMIT", "SELECT 'LIMIT' LIMIT 3 -- LIMIT"),
]


@pytest.mark.parametrize(("sql", "expected"), LIMITED)
def test_a_select_without_a_limit_gets_one(sql: str, expected: str) -> None:
    assert limited(sql, 3) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t LIMIT 9",
        "SELECT 1 UNION SELECT 2 LIMIT 9",
        "UPDATE t SET a = (SELECT 1)",
        "INSERT INTO t SELECT * FROM u",
        "WITH x AS (SELECT 1) DELETE FROM t WHERE a IN (SELECT * FROM x)",
        "SHOW TABLES",
        "",
    ],
)
def test_everything_else_stays_as_it_is(sql: str) -> None:
    assert limited(sql, 3) == sql
