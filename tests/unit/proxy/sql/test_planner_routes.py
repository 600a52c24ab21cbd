"""To which shards a statement goes: every form of shard-key condition, and those that only look like one."""

from __future__ import annotations

import pytest

from proxy.errors import NotSupported
from tests.unit.proxy.sql.planner_catalog import query, route_of, scattered

ROUTES = [
    ("SELECT * FROM users WHERE id = 5", "users[5]"),
    ("SELECT * FROM users WHERE 5 = id", "users[5]"),
    ("SELECT * FROM users WHERE `users`.`id` = '5' AND age > 3", "users['5']"),
    ("SELECT * FROM app.users u WHERE u.id = -5", "users[-5]"),
    ("SELECT * FROM users WHERE id = ?", "users[?0]"),
    ("SELECT * FROM users WHERE age = ? AND id = ?", "users[?1]"),
    ("SELECT * FROM users WHERE id IN (1, 2, ?)", "users[1, 2, ?0]"),
    ("SELECT * FROM users WHERE id = NULL", "users[None]"),
    ("SELECT * FROM users WHERE id = 1 OR id = 2", "users[1, 2]"),
    ("SELECT * FROM users WHERE (id = 1 AND age = 2) OR (age = 3 AND id IN (4, 5))", "users[1, 4, 5]"),
    ("SELECT * FROM users WHERE id IN (1, 2) AND id = 1", "users[1]"),
    ("SELECT * FROM users WHERE (id, age) = (5, 6)", "users[5]"),
    ("SELECT * FROM users WHERE (age, id) IN ((1, 2), (3, 4))", "users[2, 4]"),
    ("SELECT * FROM users WHERE id = 1 AND (age = 2 OR name = 'x' AND age = 4)", "users[1]"),
    ("SELECT * FROM users WHERE id = 5 && age = 3", "users[5]"),
    ("SELECT * FROM users", "all"),
    ("SELECT * FROM users WHERE age = 5", "all"),
    ("SELECT * FROM users WHERE id = 5 OR age = 3", "all"),
    ("SELECT * FROM users WHERE id = 5 || age = 3", "all"),
    ("SELECT * FROM users WHERE id = 5 XOR age = 3", "all"),
    ("SELECT * FROM users WHERE NOT id = 5", "all"),
    ("SELECT * FROM users WHERE id <> 5", "all"),
    ("SELECT * FROM users WHERE id > 5", "all"),
    ("SELECT * FROM users WHERE id NOT IN (1, 2)", "all"),
    ("SELECT * FROM users WHERE id <=> 5", "all"),
    ("SELECT * FROM users WHERE id = 5 = 1", "all"),
    ("SELECT * FROM users WHERE (id = 5) IS NOT TRUE", "all"),
    ("SELECT * FROM users WHERE id = 5 + 1", "all"),
    ("SELECT * FROM users WHERE id = age", "all"),
    ("SELECT * FROM users WHERE id = x'05'", "all"),
    ("SELECT * FROM users WHERE id = @x", "all"),
    ("SELECT * FROM users WHERE IF(id = 5, 1, 0)", "all"),
    ("SELECT * FROM users WHERE id BETWEEN 5 AND 5", "all"),
    ("SELECT * FROM words WHERE w = 'a' 'b'", "all"),
    ("SELECT * FROM words WHERE w = BINARY 'a'", "all"),
    ("SELECT * FROM words WHERE w = 'a' COLLATE utf8mb4_bin", "all"),
    ("SELECT * FROM words WHERE w = _latin1'a'", "all"),
    ("SELECT * FROM orders WHERE user_id = 5 AND n = 2", "orders[5]"),
    ("SELECT * FROM orders WHERE n = 5", "all"),
    ("SELECT * FROM countries WHERE id = 5", "any"),
    ("SELECT * FROM countries a JOIN countries b USING (id)", "any"),
    ("SELECT * FROM countries FOR UPDATE", "first"),
    ("SELECT 1", "any"),
    ("SELECT 1 FROM DUAL", "any"),
    ("SELECT * FROM settings", "home s2"),
    ("SELECT * FROM settings JOIN countries USING (id) FOR UPDATE", "home s2"),
    ("SELECT * FROM users u JOIN orders o ON u.id = o.user_id WHERE o.user_id = 7", "orders[7]"),
    ("SELECT * FROM users u, orders o WHERE u.id = o.user_id AND u.id = 7", "users[7]"),
    ("SELECT * FROM users u JOIN orders o ON u.id = o.user_id AND u.id = 7", "users[7]"),
    ("SELECT * FROM users u JOIN orders o ON u.id = o.user_id", "all"),
    ("SELECT * FROM users u LEFT JOIN orders o ON u.id = o.user_id WHERE u.id = 7", "users[7]"),
    ("SELECT * FROM users u LEFT JOIN orders o ON u.id = o.user_id AND u.id = 7", "all"),
    ("SELECT * FROM users u LEFT JOIN orders o ON u.id = o.user_id AND o.user_id = 7", "all"),
    ("SELECT * FROM users u LEFT JOIN orders o ON u.id = o.user_id WHERE o.user_id IN (7)", "orders[7]"),
    ("SELECT 1 FROM users u LEFT JOIN (orders a JOIN orders b ON a.user_id = b.user_id AND a.user_id = 5) "
     "ON u.id = a.user_id", "all"),
    ("SELECT * FROM orders a JOIN orders b USING (user_id)", "all"),
    ("SELECT * FROM users u JOIN countries c ON c.id = u.age", "all"),
    ("SELECT * FROM users u LEFT JOIN countries c ON c.id = u.age WHERE u.id = 3", "users[3]"),
    ("SELECT * FROM countries c LEFT JOIN users u ON c.id = u.age WHERE u.id = 3", "users[3]"),
    ("SELECT * FROM users WHERE id IN (SELECT user_id FROM orders)", "all"),
    ("SELECT * FROM users WHERE id IN (SELECT user_id FROM orders) AND id = 3", "users[3]"),
    ("SELECT * FROM users u WHERE EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.id AND o.user_id = 5)", "all"),
    ("SELECT * FROM users WHERE age IN (SELECT id FROM countries)", "all"),
    ("SELECT (SELECT MAX(n) FROM orders o WHERE o.user_id = u.id) FROM users u", "all"),
    ("SELECT * FROM users WHERE id = 5 AND age > (SELECT COUNT(*) FROM orders WHERE user_id = 5)",
     "same(users[5] orders[5])"),
    ("SELECT * FROM users WHERE id = 5 UNION SELECT * FROM users WHERE id = 6", "same(users[5] users[6])"),
    ("SELECT * FROM users u, orders o WHERE u.id = 5 AND o.user_id = 6", "same(users[5] orders[6])"),
    ("SELECT * FROM (SELECT * FROM users WHERE id = 4) x", "users[4]"),
    ("WITH x AS (SELECT * FROM users WHERE id = 4) SELECT * FROM x", "users[4]"),
    ("WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n", "any"),
    ("SELECT ROW_NUMBER() OVER (ORDER BY age) FROM users WHERE id = 4", "users[4]"),
    ("SELECT * FROM information_schema.schemata", "first"),
    ("SELECT * FROM information_schema.tables", "first"),
    ("UPDATE users SET age = 1 WHERE id = 5", "users[5]"),
    ("UPDATE users SET age = 1 WHERE id = 5 ORDER BY age LIMIT 1", "users[5]"),
    ("UPDATE users u JOIN orders o ON u.id = o.user_id SET u.age = o.n", "all"),
    ("UPDATE countries SET name = 'x'", "all"),
    ("UPDATE settings SET v = 1", "home s2"),
    ("DELETE FROM orders WHERE user_id IN (1, 2)", "orders[1, 2]"),
    ("DELETE u FROM users u JOIN orders o ON o.user_id = u.id WHERE u.id = 3", "users[3]"),
    ("DELETE FROM users USING users JOIN countries c ON c.id = users.age", "all"),
    ("INSERT INTO orders SELECT id, age, money, name FROM users WHERE id = 3", "users[3]"),
    ("INSERT INTO orders (n, user_id) SELECT age, id FROM users", "all"),
    ("INSERT INTO settings SELECT id, 1 FROM countries", "home s2"),
    ("REPLACE INTO countries SELECT * FROM countries", "all"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "route"), ROUTES)
def test_route(sql: str, route: str) -> None:
    assert route_of(sql) == route


REFUSED = [
    ("SELECT * FROM users u JOIN orders o ON u.age = o.n", "orders, users"),
    ("SELECT * FROM users u JOIN orders o ON u.id = o.user_id OR u.age = 1", "orders, users"),
    ("SELECT * FROM users JOIN words ON users.id = words.w", "users, words"),
    ("SELECT 1 FROM users a LEFT JOIN users b ON 1 LEFT JOIN orders o ON a.id = b.id AND b.id = o.user_id", "users"),
    ("SELECT * FROM users u LEFT JOIN (orders a JOIN orders b ON a.n = b.n) ON u.id = a.user_id", "orders, users"),
    ("SELECT * FROM users NATURAL JOIN orders", "NATURAL JOIN"),
    ("SELECT * FROM countries c LEFT JOIN users u ON u.age = c.id", "outer join"),
    ("SELECT * FROM users u RIGHT JOIN countries c ON u.age = c.id", "outer join"),
    ("SELECT * FROM users JOIN settings ON users.age = settings.v", "settings, users"),
    ("SELECT * FROM settings JOIN secrets USING (id)", "secrets, settings"),
    ("SELECT * FROM users WHERE age > (SELECT AVG(age) FROM users)", "users"),
    ("SELECT * FROM users WHERE id IN (SELECT user_id FROM orders LIMIT 3)", "orders, users"),
    ("SELECT * FROM users WHERE id IN (SELECT MAX(user_id) FROM orders)", "orders, users"),
    ("SELECT * FROM users WHERE id NOT IN (SELECT o.user_id FROM users u LEFT JOIN orders o ON o.user_id = u.id)",
     "orders, users"),
    ("SELECT * FROM countries WHERE id IN (SELECT age FROM users)", "users"),
    ("SELECT * FROM users UNION SELECT * FROM users", "users"),
    ("SELECT * FROM users WHERE id = 1 UNION SELECT * FROM users", "users"),
    ("SELECT * FROM (SELECT * FROM users LIMIT 3) x", "users"),
    ("WITH x AS (SELECT * FROM users) SELECT * FROM x", "users"),
    ("SELECT * FROM users JOIN countries ON users.age = countries.id FOR UPDATE", "locking read"),
    ("SELECT * FROM users WHERE id = 3 AND age IN (SELECT n FROM orders FOR UPDATE)", "locking clause"),
    ("UPDATE users SET id = 5 WHERE id = 5", "changing the shard key users.id"),
    ("UPDATE users SET age = 1 ORDER BY age LIMIT 1", "ORDER BY, LIMIT"),
    ("DELETE FROM users LIMIT 3", "LIMIT"),
    ("DELETE FROM users RETURNING id", "RETURNING"),
    ("UPDATE countries c JOIN users u ON u.age = c.id SET c.name = 'x'", "reference table"),
    ("UPDATE countries SET name = 'x' LIMIT 1", "LIMIT"),
    ("UPDATE countries SET made = NOW()", "NOW"),
    ("UPDATE countries SET name = UUID()", "UUID"),
    ("INSERT INTO orders SELECT age, id, money, name FROM users", "INSERT … SELECT"),
    ("INSERT INTO orders SELECT id, 1, 2, name FROM users GROUP BY name", "INSERT … SELECT"),
    ("INSERT INTO orders SELECT id, 1, 2, name FROM users LIMIT 5", "INSERT … SELECT"),
    ("INSERT INTO users (id) SELECT id FROM countries", "INSERT … SELECT"),
    ("INSERT INTO countries SELECT id, name, NULL FROM users", "INSERT … SELECT"),
    ("INSERT INTO counted (v) SELECT name FROM users", "AUTO_INCREMENT"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "named"), REFUSED)
def test_what_would_need_rows_of_other_shards_is_refused_by_name(sql: str, named: str) -> None:
    with pytest.raises(NotSupported) as caught:
        query(sql)
    assert named in str(caught.value)


SINGLE_SHARD_ONLY = [
    "SELECT * FROM users WHERE id IN (1, 2) UNION SELECT 1, 2, 3, 4, 5, 6",
    "SELECT * FROM countries c LEFT JOIN users u ON c.id = u.age WHERE u.id IN (3, 4)",
    "SELECT STDDEV(age) FROM users WHERE id IN (3, 4)",
    "UPDATE users SET age = 1 WHERE id IN (3, 4) LIMIT 1",
    "SELECT id, RANK() OVER (ORDER BY age) FROM users WHERE id IN (1, 2)",
    "(SELECT * FROM users WHERE id IN (1, 2)) LIMIT 1",
]


@pytest.mark.parametrize("sql", SINGLE_SHARD_ONLY)
def test_one_shard_may_do_what_several_may_not(sql: str) -> None:
    plan = query(sql)
    assert plan.scatter is None
    assert plan.scatter_refusal


def test_several_shards_are_sent_the_whole_text_without_its_comments() -> None:
    assert scattered("SELECT /*+ NO_ICP(users) */ id -- hi\n FROM users # all\nWHERE age > 5; ") == (
        "SELECT /*+ NO_ICP(users) */ id FROM users WHERE age > 5"
    )
