"""Which versioned comments are text, which are nothing, and which the lexer is left to refuse."""

from __future__ import annotations

import pytest

from proxy.errors import NotSupported
from proxy.sql.plan import EmptyPlan, QueryPlan, SetPlan
from proxy.sql.planner import Planner
from proxy.sql.version_comments import ServerVersion, read_version, resolve_comments
from tests.unit.proxy.sql.planner_catalog import SCHEMAS, plan

MYSQL, MARIADB = ServerVersion(80_036), ServerVersion(101_119, mariadb=True)


def test_version_is_read_off_the_greeting() -> None:
    assert read_version("8.0.36-TxGuard") == MYSQL
    assert read_version("9.7.0-TxGuard") == ServerVersion(90_700)
    assert read_version("5.5.5-10.11.19-MariaDB-TxGuard") == MARIADB
    assert read_version("?") == MYSQL


@pytest.mark.parametrize(
    ("sql", "on_mysql", "on_mariadb"),
    [
        ("/*!40101 SET NAMES utf8 */", "/*!40101 SET NAMES utf8 */", "/*!40101 SET NAMES utf8 */"),
        ("a /*!80016 b */ c", "a   b   c", "a   c"),
        ("a /*!80037 b */ c", "a   c", "a   c"),
        ("a /*!100100 b */ c", "a   c", "a   b   c"),
        ("a /*M!100616 b */ c", "a   c", "a   b   c"),
        ("a /*M!50500 b */ c", "a   c", "a   b   c"),
        ("/*M!999999\\- enable the sandbox mode */ a", "  a", "  a"),
        ("'/*!80016 b */' `/*!80016` -- /*!80016\n", None, None),
        ("a /*!80016 '*/' */ c /*!40000 d */", "a   '*/'   c /*!40000 d */", "a  ' */ c /*!40000 d */"),
        ("a /*!99999 b /* c */ d */", None, None),
    ],
)
def test_comments(sql: str, on_mysql: str | None, on_mariadb: str | None) -> None:
    assert resolve_comments(sql, MYSQL) == (sql if on_mysql is None else on_mysql)
    assert resolve_comments(sql, MARIADB) == (sql if on_mariadb is None else on_mariadb)


def test_statement_that_is_nothing_but_such_a_comment_does_nothing() -> None:
    assert plan("/*!99999 SET x = 1 */;").plan == EmptyPlan()
    assert isinstance(plan("/*M!999999\\- enable the sandbox mode */ SET @a = @@sql_notes").plan, SetPlan)


def test_shards_never_see_them_and_no_other_statement_shares_the_plan() -> None:
    planner = Planner(MARIADB)
    for _ in range(2):
        for number in (5, 6):
            sql = f"SELECT id FROM users WHERE id = /*M!100100 {number} */"
            planned = planner.plan(sql, SCHEMAS, "app")
            assert isinstance(planned.plan, QueryPlan)
            assert planned.sql == f"SELECT id FROM users WHERE id =   {number}  "
            assert planned.literals == (str(number),)


def test_prepared_statement_would_reach_the_shards_as_it_is() -> None:
    with pytest.raises(NotSupported, match="comment"):
        plan("SELECT id FROM users WHERE id = /*!80000 ? */", prepared=True)
