"""[S-again] Which statements may look up by a unique secondary key, and their forms that do not wait."""

from __future__ import annotations

import re

import pytest

from proxy.routing.tables import Table, TableKind
from proxy.sql.plan import QueryPlan
from tests.unit.proxy.sql.planner_catalog import FakeSchemas, column, plan, text
from tso.types import ShardName

COLUMNS = (column("id", key=True), column("box"), column("code"), column("v"))


def _table(name: str, home: str) -> Table:
    keys = (("box", "Code"),)
    return Table("app", name, TableKind.SINGLE, COLUMNS, ("id",), keys, None, ShardName(home), True, 0)


SCHEMAS = FakeSchemas(
    tables={
        "slot": _table("slot", "s1"),
        "other": _table("other", "s1"),
        "plain": Table(
            "app", "plain", TableKind.SINGLE, COLUMNS, ("id",), (), None, ShardName("s1"), True, 0
        ),
        "wide": Table(
            "app", "wide", TableKind.SHARDED, COLUMNS, ("id",), (("id", "code"),), "id", None, True, 0
        ),
    }
)


def planned(sql: str) -> QueryPlan:
    found = plan(sql, schemas=SCHEMAS).plan
    assert isinstance(found, QueryPlan)
    return found


def at_once(sql: str) -> str:
    found = plan(sql, schemas=SCHEMAS)
    assert isinstance(found.plan, QueryPlan)
    assert text(found.plan.template, found) == sql
    template = found.plan.look or found.plan.template
    return re.sub(r"\s+", " ", text(template, found, at_once=True)).strip()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT v FROM slot WHERE box = 1 AND code = 2",
        "SELECT v FROM slot WHERE (BOX, CODE) IN ((1, 2))",
        "SELECT s.v FROM slot s JOIN plain p ON s.code = p.v AND s.box = p.box",
        "SELECT s.v FROM slot s JOIN plain p USING (box, code)",
        "SELECT s.v FROM slot s NATURAL JOIN plain p",
        "SELECT d.v FROM (SELECT box AS a, code AS b, v FROM slot) d WHERE d.a = 1 AND d.b = 2",
        "SELECT d.v FROM (SELECT * FROM slot) d (a, b, c, v) WHERE d.b = 1 AND d.c = 2",
        "SELECT 1 FROM plain WHERE (box, code) IN (SELECT box, code FROM slot)",
        "SELECT v FROM slot WHERE box = 1 AND code = 2 FOR UPDATE",
        "SELECT v, (SELECT v FROM slot WHERE box = p.box AND code = p.code) FROM plain p",
    ],
)
def test_all_columns_of_a_unique_key_are_named(sql: str) -> None:
    assert planned(sql).again


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT box, code FROM slot WHERE id = 1",
        "SELECT * FROM slot WHERE code = 2 ORDER BY box",
        "SELECT v FROM plain WHERE box = 1 AND code = 2",
        "SELECT v FROM slot",
        "SELECT v FROM slot WHERE box = 1 AND code = 2 FOR UPDATE SKIP LOCKED",
        "SELECT v FROM slot WHERE box = 1 AND code = 2 FOR UPDATE NOWAIT",
    ],
)
def test_no_look_up_can_be_made_or_the_client_says_how_to_wait(sql: str) -> None:
    assert not planned(sql).again


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "SELECT v FROM slot WHERE box = 1 AND code = 2",
            "SELECT v FROM slot WHERE box = 1 AND code = 2 FOR SHARE NOWAIT",
        ),
        (
            "SELECT v FROM slot WHERE box = 1 AND code = 2 ORDER BY v LIMIT 3 LOCK IN SHARE MODE",
            "SELECT v FROM slot WHERE box = 1 AND code = 2 ORDER BY v LIMIT 3 FOR SHARE NOWAIT",
        ),
        (
            "SELECT s.v FROM slot s JOIN plain p USING (box, code) FOR UPDATE OF s FOR SHARE OF p",
            "SELECT s.v FROM slot s JOIN plain p USING (box, code) FOR UPDATE OF s NOWAIT FOR SHARE OF p NOWAIT",
        ),
        (
            "(SELECT v FROM slot WHERE box = 1 AND code = 2)",
            "(SELECT v FROM slot WHERE box = 1 AND code = 2 FOR SHARE NOWAIT )",
        ),
        (
            "SELECT v FROM slot WHERE box = 1 AND code = 2 UNION ALL SELECT v FROM other ORDER BY v LIMIT 1",
            "(SELECT v FROM slot WHERE box = 1 AND code = 2 FOR SHARE NOWAIT) UNION ALL "
            "(SELECT v FROM other FOR SHARE NOWAIT) ORDER BY v LIMIT 1",
        ),
        (
            "SELECT (SELECT v FROM slot WHERE box = p.v AND code = 1) AS x, 1 FROM plain p WHERE id IN (SELECT 7)",
            "SELECT (SELECT v FROM slot WHERE box = p.v AND code = 1 FOR SHARE NOWAIT ) AS x, 1 FROM plain p "
            "WHERE id IN (SELECT 7) FOR SHARE NOWAIT",
        ),
        (
            "WITH c AS (SELECT box, code FROM slot) SELECT * FROM c",
            "WITH c AS (SELECT box, code FROM slot FOR SHARE NOWAIT ) SELECT * FROM c",
        ),
        (
            "UPDATE slot SET v = v + 1 WHERE box = 1 AND code = 2",
            "SELECT COUNT(*) FROM slot WHERE box = 1 AND code = 2 FOR UPDATE NOWAIT",
        ),
        (
            "UPDATE IGNORE slot AS s SET v = DEFAULT, box = 2 WHERE (box = 1 AND code = 2) ORDER BY v LIMIT 2",
            "SELECT 1 FROM slot AS s WHERE (box = 1 AND code = 2) ORDER BY v LIMIT 2 FOR UPDATE NOWAIT",
        ),
        (
            "UPDATE plain SET v = (SELECT v FROM slot WHERE box = 1 AND code = 2), code = 1",
            "SELECT 1, ((SELECT v FROM slot WHERE box = 1 AND code = 2 FOR SHARE NOWAIT )) FROM plain "
            "FOR UPDATE NOWAIT",
        ),
        (
            "WITH c AS (SELECT 1 AS x) UPDATE slot JOIN c ON code = x SET slot.v = 1 WHERE box = 1",
            "WITH c AS (SELECT 1 AS x) SELECT COUNT(*) FROM slot JOIN c ON code = x WHERE box = 1 FOR UPDATE NOWAIT",
        ),
        (
            "DELETE FROM slot WHERE box = 1 AND code = 2",
            "SELECT COUNT(*) FROM slot WHERE box = 1 AND code = 2 FOR UPDATE NOWAIT",
        ),
        (
            "DELETE s FROM slot s JOIN plain USING (box, code)",
            "SELECT COUNT(*) FROM slot s JOIN plain USING (box, code) FOR UPDATE NOWAIT",
        ),
        (
            "DELETE FROM s.* USING slot s JOIN plain USING (box, code) WHERE s.id > 1",
            "SELECT COUNT(*) FROM slot s JOIN plain USING (box, code) WHERE s.id > 1 FOR UPDATE NOWAIT",
        ),
        (
            "INSERT INTO plain SELECT * FROM slot WHERE box = 1 AND code = 2 ON DUPLICATE KEY UPDATE v = 1",
            "SELECT COUNT(*) FROM slot WHERE box = 1 AND code = 2 FOR SHARE NOWAIT",
        ),
        (
            "INSERT INTO plain (id, v) SELECT MAX(id), 1 FROM slot WHERE box = 1 AND code = 2",
            "SELECT MAX(id), 1 FROM slot WHERE box = 1 AND code = 2 FOR SHARE NOWAIT",
        ),
    ],
)
def test_the_form_that_does_not_wait(sql: str, expected: str) -> None:
    assert at_once(sql) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT v FROM wide WHERE id > 1 AND code = 2", "FOR SHARE NOWAIT"),
        ("SELECT v FROM wide WHERE id > 1 AND code = 2 LIMIT 3", "LIMIT 3 FOR SHARE NOWAIT"),
        ("SELECT v FROM wide WHERE id > 1 AND code = 2 LIMIT 3 FOR UPDATE", "LIMIT 3 FOR UPDATE NOWAIT"),
        ("SELECT COUNT(*), v FROM wide WHERE id > 1 AND code = 2 GROUP BY v", "FOR SHARE NOWAIT"),
        ("SELECT COUNT(*) FROM wide WHERE id > 1 AND code = 2 FOR UPDATE", "FOR UPDATE NOWAIT"),
    ],
)
def test_for_several_shards(sql: str, expected: str) -> None:
    found = plan(sql, schemas=SCHEMAS)
    assert isinstance(found.plan, QueryPlan)
    assert found.plan.scatter is not None
    assert (
        re.sub(r"\s+", " ", text(found.plan.scatter.template, found, at_once=True)).strip().endswith(expected)
    )
    assert "NOWAIT" not in text(found.plan.scatter.template, found)


def test_a_column_keeps_its_name() -> None:
    inner = "(SELECT v FROM slot WHERE box = p.id AND code = p.v)"
    found = plan(f"SELECT {inner} FROM plain p", schemas=SCHEMAS)
    assert isinstance(found.plan, QueryPlan)
    assert f" AS `{inner}`" in text(found.plan.template, found, at_once=True)
