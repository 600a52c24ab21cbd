"""The SQL of managed tables that can be judged without a server: names, quoting, what is refused to be built."""

from __future__ import annotations

import pytest

from txguard.engine.conflicts import newer_rows_query, passed_over_query
from txguard.engine.managed import create_history_statement
from txguard.engine.managed_table import Category, Flavour, ManagedColumn, ManagedTable, history_name
from txguard.engine.patch import NewerThan, changes_type, patched_source
from txguard.engine.sqltext import numbers, qualified, text
from txguard.engine.triggers import EVERYTHING, parse_dependencies, trigger_bodies, trigger_statements
from txguard.engine.undo import clean_statements, undo_statements, written_tables_queries


def column(name: str, column_type: str = "int", *, generated: bool = False) -> ManagedColumn:
    return ManagedColumn(name, column_type, None, Category.NUMBER, generated, auto_increment=False)


def table(name: str = "t", *columns: ManagedColumn) -> ManagedTable:
    return ManagedTable(
        schema="shop",
        name=name,
        columns=columns or (column("id"), column("v"), column("g", generated=True)),
        primary_key=("id",),
        constrained=("id",),
        history_name=history_name("shop", name),
    )


@pytest.mark.parametrize("name", ["t", "T", "x" * 64, "ä" * 64, "a`b", "a.b", "日本"])
def test_history_names_fit_and_are_plain(name: str) -> None:
    made = history_name("s" * 64, name)
    assert len(made) <= 64
    assert made.replace("_", "").isalnum()
    assert made.isascii()
    assert made == made.lower()


def test_history_names_differ_where_the_tables_do() -> None:
    names = [
        ("a", "b"),
        ("a", "B"),
        ("a", "bc"),
        ("ab", "c"),
        ("a", "b_c"),
        ("a", "b.c"),
        ("a.b", "c"),
        ("a", "x" * 64),
    ]
    assert len({history_name(*name) for name in names}) == len(names)


def test_trigger_names_fit() -> None:
    assert all(len(name) <= 64 for name in trigger_bodies(table("x" * 64), Flavour.MYSQL))


def test_definition_survives_json() -> None:
    made = table(
        "t",
        ManagedColumn("ä`", "enum('x','\"')", "utf8mb4_bin", Category.ENUMERATED, False, True),
        column("id"),
    )
    assert ManagedTable.from_json("shop", "t", made.history_name, made.to_json()) == made


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, frozenset()),
        ("", frozenset()),
        ("5", {5}),
        (b"5,7", {5, 7}),
        (",5,7", {5, 7}),
        (9, {9}),
        (EVERYTHING, None),
    ],
)
def test_parse_dependencies(value: str | bytes | int | None, expected: set[int] | None) -> None:
    assert parse_dependencies(value) == expected


def test_text_is_safe_under_every_sql_mode() -> None:
    assert text("a'b\\") == "_utf8mb4 X'6127625c'"
    assert qualified("a`b", "c") == "`a``b`.`c`"


def test_an_empty_list_of_writers_names_none() -> None:
    assert numbers([]) == "0"


def test_patched_source() -> None:
    history = history_name("shop", "t")
    assert patched_source("shop", "t", ["id", "order"], [5, 7], "o`") == (
        "(SELECT `id`, `order` FROM `shop`.`t` WHERE _txg_ts NOT IN (5, 7)"
        f" UNION ALL SELECT `id`, `order` FROM `_txguard`.`{history}`"
        " WHERE _txg_next IN (5, 7) AND _txg_ts NOT IN (5, 7) AND _txg_op <> 'I') AS `o```"
    )


def test_patched_source_needs_something_too_new() -> None:
    with pytest.raises(ValueError, match="nothing is too new"):
        patched_source("shop", "t", ["id"], [], "t")
    assert "commit_ts > 0" in patched_source("shop", "t", ["id"], NewerThan(0), "t")


@pytest.mark.parametrize(
    ("type_name", "column_type", "changes"),
    [
        ("enum", "enum('a')", True),
        ("SET", "set('a')", True),
        ("int", "int(6) unsigned zerofill", True),
        ("int", "int", False),
    ],
)
def test_changes_type(type_name: str, column_type: str, changes: bool) -> None:
    assert changes_type(type_name, column_type) is changes


@pytest.mark.parametrize("build", [passed_over_query, newer_rows_query])
def test_a_comment_in_a_where_swallows_nothing(build: object) -> None:
    query = build(table(), "v = 1 -- why", [5])  # type: ignore[operator]
    assert query.endswith("(\nv = 1 -- why\n) LIMIT 1")
    assert "AND (" not in build(table(), None, [5])  # type: ignore[operator]


def test_history_is_never_generated_and_undo_never_writes_generated_columns() -> None:
    assert "`g` int NULL" in create_history_statement(table())
    put_back = next(
        statement for statement in undo_statements([table()], 5) if statement.startswith("INSERT")
    )
    assert "`g`" not in put_back
    assert "`v`" in put_back


def test_undo_is_one_local_transaction_that_begins_with_the_record() -> None:
    statements = undo_statements([table("a"), table("b")], 5)
    start, commit = statements.index("START TRANSACTION"), statements.index("COMMIT")
    assert statements[start + 1].startswith("UPDATE `_txguard`.`txn` SET state = 'R'")
    assert all("@" not in statement for statement in statements[start:commit])
    assert sum(statement.startswith(("DELETE", "INSERT")) for statement in statements[start:commit]) == 7


def test_probes_for_history_come_in_bounded_queries() -> None:
    queries = written_tables_queries([table(f"t{number}") for number in range(250)], 5)
    assert [query.count("EXISTS") for query in queries] == [100, 100, 50]
    assert queries[2].startswith("SELECT 200 ")


def test_cleaning_forgets_records_last() -> None:
    statements = clean_statements([table("a"), table("b")], [5, 7])
    assert [statement.startswith("DELETE FROM `_txguard`.`h_") for statement in statements] == [
        True,
        True,
        False,
    ]
    assert statements[2] == "DELETE FROM `_txguard`.`txn` WHERE start_ts IN (5, 7)"


def test_only_mariadb_looks_whether_the_old_row_still_stands() -> None:
    name = table().trigger_name("au")
    bodies = {flavour: trigger_bodies(table(), flavour)[name][1] for flavour in Flavour}
    assert "FROM `shop`.`t`" in bodies[Flavour.MARIADB]
    assert "FROM `shop`.`t`" not in bodies[Flavour.MYSQL]


def test_signals_fit_the_server() -> None:
    """MESSAGE_TEXT holds 128 characters."""
    for statement in trigger_statements(table(), Flavour.MYSQL).values():
        texts = [part.split("'")[1] for part in statement.split("MESSAGE_TEXT = ")[1:]]
        assert all(len(message) <= 128 for message in texts)
