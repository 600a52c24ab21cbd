"""ALTER TABLE as another way to write CREATE INDEX and DROP INDEX."""

from __future__ import annotations

import pytest

from proxy.errors import NotSupported
from proxy.sql.plan import DdlKind, DdlPlan, EmptyPlan, TableName
from tests.unit.proxy.sql.planner_catalog import plan

INDEXES = [
    ("ALTER TABLE users ADD INDEX by_age (age)", "CREATE INDEX `by_age` ON `app`.`users` (age)"),
    ("alter table app.users add key `a``b` (age, name(9) DESC);",
     "CREATE INDEX `a``b` ON `app`.`users` (age, name(9) DESC)"),
    ("ALTER TABLE users ADD UNIQUE u (id, age)", "CREATE UNIQUE INDEX `u` ON `app`.`users` (id, age)"),
    ("ALTER TABLE users ADD CONSTRAINT `u` UNIQUE (id)", "CREATE UNIQUE INDEX `u` ON `app`.`users` (id)"),
    ("ALTER TABLE users ADD CONSTRAINT x UNIQUE KEY u (id)", "CREATE UNIQUE INDEX `u` ON `app`.`users` (id)"),
    ("ALTER TABLE users ADD FULLTEXT INDEX f (name) COMMENT 'a, b'",
     "CREATE FULLTEXT INDEX `f` ON `app`.`users` (name) COMMENT 'a, b'"),
    ("ALTER TABLE users ADD INDEX IF NOT EXISTS i USING BTREE (age)",
     "CREATE INDEX IF NOT EXISTS `i` USING BTREE ON `app`.`users` (age)"),
    ("ALTER TABLE users DROP INDEX i", "DROP INDEX `i` ON `app`.`users`"),
    ("ALTER TABLE users DROP KEY IF EXISTS i", "DROP INDEX `i` ON `app`.`users`"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "text"), INDEXES)
def test_an_index_is_made_and_dropped(sql: str, text: str) -> None:
    planned = plan(sql).plan
    assert isinstance(planned, DdlPlan)
    assert planned.kind is (DdlKind.DROP_INDEX if "DROP" in text else DdlKind.CREATE_INDEX)
    assert planned.text == text
    assert planned.tables == (TableName("app", "users"),)
    assert planned.conditional == ("EXISTS" in sql)


@pytest.mark.parametrize(
    ("sql", "construct"),
    [
        ("ALTER TABLE users ADD x INT", "ADD X"),
        ("ALTER TABLE users ADD COLUMN x INT", "ADD COLUMN"),
        ("ALTER TABLE users ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES t (id)", "ADD FOREIGN"),
        ("ALTER TABLE users ADD INDEX (age)", "without a name"),
        ("ALTER TABLE users ADD INDEX i (age), ADD INDEX j (age)", "several changes"),
        ("ALTER TABLE users DROP INDEX i, DROP INDEX j", "several changes"),
        ("ALTER TABLE users DROP PRIMARY KEY", "DROP PRIMARY"),
        ("ALTER TABLE users RENAME TO u", "RENAME TO"),
        ("ALTER DATABASE app CHARACTER SET utf8mb4", "ALTER DATABASE"),
    ],
)
def test_everything_else_is_refused(sql: str, construct: str) -> None:
    with pytest.raises(NotSupported, match=construct):
        plan(sql)


def test_dumps_switch_keys_off_and_on() -> None:
    for word in ("DISABLE", "ENABLE"):
        assert isinstance(plan(f"/*!40000 ALTER TABLE `users` {word} KEYS */").plan, EmptyPlan)
