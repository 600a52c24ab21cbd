from __future__ import annotations

import pytest

from proxy.ddl.heads import IndexHead, check_create_table, is_copy, read_index
from proxy.errors import NotSupported, ParseError


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TEMPORARY TABLE t (id INT)",
        "create or replace table t (id INT)",
        "CREATE TABLE t AS SELECT 1",
        "CREATE TABLE t (id INT) SELECT 1 AS id",
    ],
)
def test_forms_of_create_table_that_are_refused(text: str) -> None:
    with pytest.raises(NotSupported):
        check_create_table(text)


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE t (id INT PRIMARY KEY, `select` INT, c CHAR(9) DEFAULT 'SELECT') COMMENT='TEMPORARY'",
        "CREATE TABLE IF NOT EXISTS `replace` (id INT)",
    ],
)
def test_names_and_strings_are_not_taken_for_keywords(text: str) -> None:
    check_create_table(text)


@pytest.mark.parametrize(
    ("text", "copy"),
    [
        ("CREATE TABLE t LIKE s", True),
        ("CREATE TABLE IF NOT EXISTS a.`t` (LIKE b.s)", True),
        ("CREATE TABLE t (id INT, CHECK (id LIKE '1'))", False),
    ],
)
def test_copies(text: str, copy: bool) -> None:
    assert is_copy(text) is copy


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("CREATE INDEX i ON t (a)", IndexHead("i", False)),
        ("create unique index `my i` on t (a)", IndexHead("my i", True)),
        ("CREATE INDEX IF NOT EXISTS i ON t (a)", IndexHead("i", False)),
        ("DROP INDEX `PRIMARY` ON t", IndexHead("PRIMARY", False)),
        ("CREATE FULLTEXT INDEX f ON t (a) COMMENT 'UNIQUE INDEX g'", IndexHead("f", False)),
    ],
)
def test_indexes(text: str, head: IndexHead) -> None:
    assert read_index(text) == head


def test_an_index_needs_a_name() -> None:
    with pytest.raises(ParseError):
        read_index("CREATE INDEX ON t (a)")
    with pytest.raises(NotSupported):
        read_index("CREATE OR REPLACE INDEX i ON t (a)")
