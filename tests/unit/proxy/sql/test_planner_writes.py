"""Writes: what of the WHERE goes to the conflict check, when a write is a point, and how rows are told apart."""

from __future__ import annotations

import pytest

from proxy.errors import NoSuchTable, NotSupported
from proxy.sql.errors import ColumnCountMismatch, ColumnSpecifiedTwice, MissingShardKey, UnknownColumn
from proxy.sql.plan import Access, AllShards, InsertPlan, OneShard, QueryPlan, needs_generated
from tests.unit.proxy.sql.planner_catalog import insert, plan, query, show_operand, text


def checks(sql: str) -> list[str]:
    planned = plan(sql, prepared=True)
    assert isinstance(planned.plan, QueryPlan)
    return [
        f"{check.table.name}: {text(check.where, planned) if check.where is not None else 'any'}"
        for check in planned.plan.checks
    ]


CHECKS = [
    ("UPDATE users SET age = 1 WHERE age = 5", ["users: (age = 5)"]),
    (
        "UPDATE users u SET age = 1 WHERE u.age = ? AND app.u.name = 'x'",
        ["users: (age = ?0) AND (name = 'x')"],
    ),
    ("UPDATE users SET age = 1 WHERE age = 5 OR name = 'x'", ["users: (age = 5 OR name = 'x')"]),
    ("UPDATE users SET age = 1", ["users: any"]),
    ("UPDATE users SET age = 1 WHERE age > RAND() AND id > 4", ["users: (id > 4)"]),
    ("UPDATE users SET age = 1 WHERE money < NOW() AND age = @x AND id > 4", ["users: (id > 4)"]),
    ("UPDATE users SET age = 1 WHERE id IN (SELECT user_id FROM orders)", ["users: any"]),
    (
        "UPDATE users u JOIN orders o ON o.user_id = u.id SET u.age = 1 WHERE u.age > 3 AND o.n = 2 AND u.age < o.n",
        ["users: (age > 3)"],
    ),
    (
        "DELETE u, o FROM users u JOIN orders o ON o.user_id = u.id WHERE u.age > 3 AND o.n = 2",
        ["users: (age > 3)", "orders: (n = 2)"],
    ),
    ("SELECT * FROM users WHERE age = 3 FOR UPDATE", ["users: (age = 3)"]),
    ("SELECT * FROM users u JOIN orders o ON o.user_id = u.id FOR UPDATE OF o", ["orders: any"]),
    ("SELECT * FROM users WHERE age = 3", []),
]


@pytest.mark.parametrize(("sql", "expected"), CHECKS)
def test_checks_speak_of_one_tables_own_columns(sql: str, expected: list[str]) -> None:
    assert checks(sql) == expected


POINTS = [
    ("UPDATE users SET age = 1 WHERE id = 5", 1),
    ("UPDATE users SET age = 1 WHERE id = 5 AND age = 4", 1),
    ("UPDATE users SET age = 1 WHERE id IN (5, 6, ?)", 3),
    ("DELETE FROM orders WHERE user_id = 5 AND n = 3", 1),
    ("DELETE FROM orders WHERE user_id = 5 AND n IN (3, 4)", 2),
    ("DELETE FROM orders WHERE user_id IN (5, 6) AND n IN (3, 4)", None),
    ("DELETE FROM orders WHERE user_id = 5", None),
    ("DELETE FROM orders WHERE n = 5", None),
    ("UPDATE users SET age = 1", None),
    ("UPDATE users SET age = 1 WHERE id > 5", None),
    ("UPDATE users u JOIN orders o ON o.user_id = u.id SET u.age = 1 WHERE u.id = 5", None),
]


@pytest.mark.parametrize(("sql", "rows"), POINTS)
def test_a_point_write_knows_how_many_rows_it_must_find(sql: str, rows: int | None) -> None:
    assert query(sql).expected_rows == rows


def test_a_write_says_what_it_only_reads() -> None:
    names = [
        table.name
        for table in query("UPDATE users JOIN orders ON user_id = users.id SET age = orders.n").reads
    ]
    assert names == ["orders"]
    assert query("UPDATE users SET age = 1").reads == ()


def test_locking_read_locks_what_it_names() -> None:
    locking = query("SELECT * FROM users u JOIN orders o ON o.user_id = u.id LOCK IN SHARE MODE")
    assert locking.access is Access.LOCKING_READ
    assert [table.name for table in locking.written] == ["users", "orders"]


# ---------------------------------------------------------------- INSERT


def rendered(sql: str, generated: int | None = 77) -> str:
    planned = plan(sql, prepared=True)
    made = planned.plan
    assert isinstance(made, InsertPlan)
    rows = [text(row.template, planned, generated=generated) for row in made.rows]
    return text(made.head, planned) + ", ".join(rows) + text(made.tail, planned)


INSERTS = [
    ("INSERT INTO users (id, name) VALUES (1, 'a'), (?, 'b')",
     "INSERT INTO users (`id`, `name`) VALUES (1, 'a'), (?0, 'b')"),
    ("INSERT users VALUES (1, 'a', 2, 3, NULL, DEFAULT)",
     "INSERT users (`id`, `name`, `age`, `money`, `grade`, `height`) VALUES (1, 'a', 2, 3, NULL, DEFAULT)"),
    ("INSERT IGNORE INTO app.users SET id = -1, name = CONCAT('a', 'b')",
     "INSERT IGNORE INTO app.users (`id`, `name`) VALUES (-1, CONCAT('a', 'b'))"),
    ("INSERT INTO users (name, id) VALUES ('a', 1) ON DUPLICATE KEY UPDATE name = VALUES(name) -- x",
     "INSERT INTO users (`name`, `id`) VALUES ('a', 1) ON DUPLICATE KEY UPDATE name = VALUES(name)"),
    ("REPLACE LOW_PRIORITY INTO users(id) VALUE (1)", "REPLACE LOW_PRIORITY INTO users (`id`) VALUES (1)"),
    ("INSERT INTO counted (v) VALUES ('a'), ('b')", "INSERT INTO counted (`id`, `v`) VALUES (77, 'a'), (77, 'b')"),
    ("INSERT INTO counted VALUES (NULL, 'a')", "INSERT INTO counted (`id`, `v`) VALUES (77, 'a')"),
    ("INSERT INTO counted (v, id) VALUES ('a', DEFAULT)", "INSERT INTO counted (`v`, `id`) VALUES ('a', 77)"),
    ("INSERT INTO counted () VALUES ()", "INSERT INTO counted (`id`) VALUES (77)"),
    ("INSERT INTO counted VALUES ()", "INSERT INTO counted (`id`) VALUES (77)"),
    ("INSERT INTO settings VALUES (1, 2) RETURNING id", "INSERT INTO settings (`id`, `v`) VALUES (1, 2) RETURNING id"),
    ("INSERT INTO orders VALUES (1, LAST_INSERT_ID(), @a, 'x')",
     "INSERT INTO orders (`user_id`, `n`, `total`, `item`) VALUES (1, <LAST_INSERT_ID()>, <@a>, 'x')"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "sent"), INSERTS)
def test_insert_is_spliced_row_by_row(sql: str, sent: str) -> None:
    assert rendered(sql) == sent


def test_a_row_that_brings_its_own_number_keeps_it() -> None:
    assert rendered("INSERT INTO counted (id, v) VALUES (-5, 'a')", None).endswith("VALUES (-5, 'a')")


KEYS = [
    (
        "INSERT INTO users (name, id) VALUES ('a', 1), ('b', '2'), ('c', ?), ('d', -4)",
        ["1", "'2'", "?0", "-4"],
    ),
    ("INSERT INTO users SET name = 'x', id = 9", ["9"]),
    ("INSERT INTO counted (v) VALUES ('a')", ["generated"]),
    (
        "INSERT INTO counted VALUES (NULL, 'a'), (0, 'b'), (DEFAULT, 'c'), (7, 'd')",
        ["None", "0", "generated", "7"],
    ),
    ("INSERT INTO settings VALUES (1, 2)", ["generated"]),
]


@pytest.mark.parametrize(("sql", "keys"), KEYS)
def test_each_row_says_where_its_key_is(sql: str, keys: list[str]) -> None:
    planned = plan(sql, prepared=True)
    assert isinstance(planned.plan, InsertPlan)
    assert [show_operand(row.key, planned.literals) for row in planned.plan.rows] == keys


def test_routes_of_inserts() -> None:
    assert insert("INSERT INTO users (id) VALUES (1)").route is None
    assert isinstance(insert("INSERT INTO settings VALUES (1, 2)").route, OneShard)
    reference = insert("INSERT INTO countries VALUES (1, 'x', '2020-01-01')")
    assert isinstance(reference.route, AllShards)
    assert reference.replicated


@pytest.mark.parametrize(
    ("value", "no_auto_value_on_zero", "needed"),
    [
        (None, False, True),
        (0, False, True),
        ("0", False, True),
        (0, True, False),
        (5, False, False),
        (None, True, True),
    ],
)
def test_when_a_number_is_generated(value: object, no_auto_value_on_zero: bool, needed: bool) -> None:
    assert needs_generated(value, no_auto_value_on_zero=no_auto_value_on_zero) is needed  # type: ignore[arg-type]


REFUSED = [
    ("INSERT INTO users (name) VALUES ('x')", MissingShardKey, "id"),
    ("INSERT INTO users (id) VALUES (1 + 1)", NotSupported, "shard key users.id"),
    ("INSERT INTO users (id) VALUES (LAST_INSERT_ID())", NotSupported, "shard key"),
    ("INSERT INTO users (id) VALUES (x'01')", NotSupported, "shard key"),
    ("INSERT INTO counted (id) VALUES (1 + 1)", NotSupported, "AUTO_INCREMENT"),
    ("INSERT INTO users (id, age) VALUES (1)", ColumnCountMismatch, "row 1"),
    ("INSERT INTO users (id) VALUES (1), (2, 3)", ColumnCountMismatch, "row 2"),
    ("INSERT INTO users (id, nope) VALUES (1, 2)", UnknownColumn, "nope"),
    ("INSERT INTO users (id, _txg_ts) VALUES (1, 2)", UnknownColumn, "_txg_ts"),
    ("INSERT INTO users (id, ID) VALUES (1, 2)", ColumnSpecifiedTwice, "id"),
    (
        "INSERT INTO users (id) VALUES (1) ON DUPLICATE KEY UPDATE id = 2",
        NotSupported,
        "changing the shard key",
    ),
    ("INSERT INTO users (id, age) VALUES (1, (SELECT 1))", NotSupported, "subquery"),
    ("INSERT INTO countries (id, name) VALUES (1, 'x')", NotSupported, "made"),
    ("INSERT INTO countries VALUES (1, 'x', NOW())", NotSupported, "NOW"),
    ("INSERT INTO nowhere VALUES (1)", NoSuchTable, "nowhere"),
]


@pytest.mark.parametrize(("sql", "error", "named"), REFUSED)
def test_refused_inserts(sql: str, error: type[Exception], named: str) -> None:
    with pytest.raises(error) as caught:
        insert(sql)
    assert named in str(caught.value)
