"""Statements whose answer must not depend on how the tables are sharded, and the data that makes them hard.

`people` is sharded by id, `orders` by person_id (alike), `words` by a case-insensitive string, `countries` is a
reference table. The rows hold NULLs, strings equal in all but case, accents or trailing spaces, negative zeros, values
that only differ beyond a double's printed digits, and groups that span shards. Deterministic: no random data.
"""

from __future__ import annotations

SCHEMA = (
    """CREATE TABLE people (
        id BIGINT PRIMARY KEY, name VARCHAR(40) COLLATE utf8mb4_unicode_ci, nick VARCHAR(20) COLLATE utf8mb4_bin,
        age INT, money DECIMAL(12,2), fine DECIMAL(20,5), weight DOUBLE, height FLOAT, born DATE,
        seen DATETIME(3), lap TIME, grade ENUM('low','mid','high'), tags SET('a','b','c'), flag BIT(4),
        raw VARBINARY(20), country INT, tiny TINYINT UNSIGNED, vintage YEAR, code CHAR(6), note TEXT)
       DEFAULT CHARSET utf8mb4 COLLATE utf8mb4_general_ci""",
    """CREATE TABLE orders (
        person_id BIGINT, n INT, total DECIMAL(10,3), item VARCHAR(20), PRIMARY KEY (person_id, n))
       DEFAULT CHARSET utf8mb4 COLLATE utf8mb4_general_ci""",
    """CREATE TABLE words (w VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY, x INT) DEFAULT CHARSET utf8mb4""",
    """CREATE TABLE countries (id INT PRIMARY KEY, name VARCHAR(20)) DEFAULT CHARSET utf8mb4
       COLLATE utf8mb4_general_ci""",
)

_NAMES = (
    "Anna",
    "ANNA",
    "ánna",
    "bob ",
    "Bob",
    "bob\t",
    "Zoë",
    "zoe",
    "",
    " ",
    "straße",
    "strasse",
    "Éa",
    "ea!",
    None,
)
_MONEY = ("1.00", "-3.35", "1000000000.10", "0.01", None, "2.675", "-0.00")
_WEIGHTS = ("1.5", "-0.0", "1e20", "0.1", "1e-7", "123456789.123", None, "3")
_BORN = ("1999-12-31", "2000-01-01", None, "1970-05-05")
_LAPS = ("-01:00:00", "10:00:00", "9:59:59", "100:00:00", None)


def _sql(value: str | None) -> str:
    return "NULL" if value is None else "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def people() -> list[tuple[int, str]]:
    """(id, the row as VALUES has it)"""
    rows = []
    for i in range(1, 61):
        name = _NAMES[i * 7 % len(_NAMES)]
        values = (
            str(i),
            _sql(name),
            _sql(("x", "X", "y ", "y", None)[i % 5]),
            "NULL" if i % 11 == 0 else str(i % 9 - 2),
            _sql(_MONEY[i % len(_MONEY)]),
            _sql(f"{i * 37 % 100}.{i * 7919 % 100000:05d}") if i % 6 else "NULL",
            _WEIGHTS[i % len(_WEIGHTS)] or "NULL",
            "NULL" if i % 13 == 0 else f"{1 + (i % 4) / 1e6:.7f}",
            _sql(_BORN[i % len(_BORN)]),
            "NULL" if i % 10 == 0 else _sql(f"2024-01-{1 + i % 5:02d} 10:00:00.{i % 3}00"),
            _sql(_LAPS[i % len(_LAPS)]),
            ("'low'", "'high'", "'mid'", "NULL")[i % 4],
            ("'a,c'", "''", "'b'", "NULL")[i % 4],
            f"{i % 6}",
            f"X'{i * 97 % 256:02X}00'" if i % 7 else "NULL",
            str(i % 5),
            str(i * 4 % 256),
            str(1990 + i % 7),
            _sql(("ab", "AB", "b", "c  d")[i % 4]),
            _sql(f"note {i % 3}" if i % 8 else None),
        )
        rows.append((i, f"({', '.join(values)})"))
    return rows


def orders() -> list[tuple[int, str]]:
    return [
        (
            person,
            f"({person}, {n}, {person * 13 % 50}.{n}25, {_sql(('pen', 'PEN', 'ink', None)[(person + n) % 4])})",
        )
        for person in range(1, 50, 2)
        for n in range(person % 4)
    ]


def words() -> list[tuple[str, str]]:
    """Their shard is that of the word folded as the collation does (here: in lower case)."""
    return [
        (word.lower(), f"({_sql(word)}, {n})")
        for n, word in enumerate(("Apple", "pear", "Plum", "fig", "Kiwi"))
    ]


COUNTRIES = "(1, 'Austria'), (2, 'Belgium'), (3, NULL), (9, 'nowhere')"

SORTED = (
    "SELECT id, name FROM people ORDER BY id",
    "SELECT id, name FROM people ORDER BY name, id",
    "SELECT id, name FROM people ORDER BY name DESC, id DESC LIMIT 7 OFFSET 11",
    "SELECT id, nick FROM people ORDER BY nick DESC, id LIMIT 20",
    "SELECT id FROM people ORDER BY age, id LIMIT 3, 10",
    "SELECT * FROM people ORDER BY age DESC, id",
    "SELECT p.*, p.age + 1 AS older FROM people p ORDER BY older, p.id DESC LIMIT 12",
    "SELECT id FROM people ORDER BY money DESC, id",
    "SELECT id FROM people ORDER BY weight, id",
    "SELECT id FROM people ORDER BY height DESC, id",
    "SELECT id FROM people ORDER BY born, seen DESC, id",
    "SELECT id FROM people ORDER BY lap, id",
    "SELECT id, grade FROM people ORDER BY grade, id",
    "SELECT id, tags FROM people ORDER BY tags DESC, id",
    "SELECT id FROM people ORDER BY flag, id",
    "SELECT id FROM people ORDER BY raw, id",
    "SELECT id FROM people ORDER BY tiny, vintage, code, id",
    "SELECT id FROM people ORDER BY note, id",
    "SELECT id FROM people ORDER BY code, id",
    "SELECT id, UPPER(name) u FROM people ORDER BY u, id",
    "SELECT id FROM people ORDER BY age IS NULL, -age, id",
    "SELECT id, CONCAT(name, '-', nick) FROM people ORDER BY CONCAT(name, '-', nick), id",
    "SELECT id FROM people ORDER BY DATE_FORMAT(born, '%m'), id",
    "SELECT id FROM people ORDER BY name COLLATE utf8mb4_bin, id",
    "SELECT id, CASE WHEN age > 3 THEN 'old' ELSE 'young' END c FROM people ORDER BY 2, 1",
    "SELECT id FROM people ORDER BY 1 DESC LIMIT 1",
    "SELECT id FROM people ORDER BY NULL, id",
    "SELECT id FROM people WHERE name = 'anna' ORDER BY id",
    "SELECT id FROM people WHERE id IN (3, 4, 5, 6, 99) AND (age > 0 OR age IS NULL) ORDER BY id",
    "SELECT id FROM people WHERE born BETWEEN '1990-01-01' AND '2005-01-01' AND name LIKE '%a%' ORDER BY id",
    "SELECT DISTINCT age FROM people ORDER BY age",
    "SELECT DISTINCT age, grade FROM people ORDER BY age DESC, grade LIMIT 9 OFFSET 2",
    "SELECT DISTINCT id, name FROM people ORDER BY id LIMIT 5",
    "SELECT DISTINCT born FROM people ORDER BY born DESC LIMIT 2",
    "SELECT DISTINCT person_id, item IS NULL x FROM orders ORDER BY x DESC, person_id LIMIT 20",
    "SELECT DISTINCT country, UPPER(TRIM(nick)) u FROM people ORDER BY country, u LIMIT 9",
    "SELECT DISTINCT LOWER(nick) < 'y' x, COUNT(*) FROM people GROUP BY id, nick ORDER BY x",
    "SELECT COUNT(*) FROM people",
    "SELECT COUNT(*), COUNT(age), SUM(age), MIN(age), MAX(age), AVG(age) FROM people",
    "SELECT SUM(money), AVG(money), MIN(money), MAX(money) FROM people",
    "SELECT SUM(fine), AVG(fine), MIN(fine), MAX(fine) FROM people",
    "SELECT MIN(weight), MAX(weight), MIN(height), MAX(height) FROM people",
    "SELECT MIN(born), MAX(born), MIN(seen), MAX(seen), MIN(lap), MAX(lap), MIN(vintage), MAX(tiny) FROM people",
    "SELECT MIN(raw), MAX(raw), BIT_AND(tiny), BIT_OR(tiny), BIT_XOR(tiny) FROM people",
    "SELECT COUNT(*), SUM(age), AVG(age), MIN(name), MAX(money), BIT_AND(tiny) FROM people WHERE id > 1000",
    "SELECT SUM(money) / COUNT(*), SUM(age) + 1, SUM(age) * 2 - COUNT(*), -SUM(money), SUM(age * 1.5) FROM people",
    "SELECT IFNULL(SUM(money), 0), COALESCE(MAX(age), 0), ROUND(AVG(age), 2), ROUND(AVG(fine)) FROM people",
    "SELECT IFNULL(SUM(money), 0), COALESCE(AVG(age), 0), COUNT(*) + 0 FROM people WHERE id > 1000",
    "SELECT COUNT(DISTINCT id), SUM(DISTINCT id) FROM people",
    "SELECT COUNT(DISTINCT age), COUNT(*), SUM(age), AVG(money), MAX(id) FROM people",
    "SELECT COUNT(DISTINCT name), COUNT(DISTINCT nick), COUNT(DISTINCT code) FROM people",
    "SELECT COUNT(DISTINCT grade), COUNT(DISTINCT height), COUNT(DISTINCT YEAR(born)) c FROM people",
    "SELECT COUNT(DISTINCT age), SUM(age), COUNT(*), IFNULL(AVG(age), -1), BIT_AND(tiny) FROM people WHERE id > 1000",
    "SELECT country, COUNT(DISTINCT name) c, MIN(id), AVG(age) FROM people GROUP BY country ORDER BY c DESC, country",
    "SELECT country, COUNT(DISTINCT age) + 1 FROM people GROUP BY country HAVING COUNT(DISTINCT age) > 5 ORDER BY 1",
    "SELECT COUNT(DISTINCT o.item) FROM people p JOIN orders o ON o.person_id = p.id",
    "SELECT 'x', COUNT(*), 1 + 1 FROM people",
    "SELECT AVG(age) FROM people WHERE age = 3",
    "SELECT MAX(RTRIM(UPPER(nick))), MIN(LENGTH(note)) FROM people",
    "SELECT age, COUNT(*) FROM people GROUP BY age ORDER BY age",
    "SELECT age, COUNT(*) AS c FROM people GROUP BY age ORDER BY c DESC, age LIMIT 3",
    "SELECT grade, AVG(money), SUM(age) FROM people GROUP BY grade ORDER BY grade",
    "SELECT tags, MIN(born), MAX(lap) FROM people GROUP BY tags ORDER BY tags",
    "SELECT born, country, COUNT(*) FROM people GROUP BY born, country ORDER BY country, born",
    "SELECT YEAR(born) y, COUNT(*) FROM people GROUP BY y ORDER BY y",
    "SELECT MAX(id) FROM people GROUP BY name ORDER BY MAX(id)",
    "SELECT COUNT(*), MIN(id) FROM people GROUP BY name ORDER BY MIN(id)",
    "SELECT COUNT(*), MIN(id) FROM people GROUP BY UPPER(nick) ORDER BY 2",
    "SELECT COUNT(*), MIN(id) m FROM people GROUP BY CONCAT(nick, code) ORDER BY m DESC",
    "SELECT weight, COUNT(*) FROM people GROUP BY weight ORDER BY weight",
    "SELECT COUNT(*), MIN(id) FROM people GROUP BY height ORDER BY MIN(id)",
    "SELECT flag + 0, COUNT(*) FROM people GROUP BY flag + 0 ORDER BY 1",
    "SELECT age, COUNT(*) c FROM people GROUP BY age HAVING c > 6 ORDER BY age",
    "SELECT age, SUM(money) FROM people GROUP BY age HAVING SUM(money) > 0.5 AND age < 5 ORDER BY age",
    "SELECT country, AVG(age) a FROM people GROUP BY country HAVING AVG(age) >= 1.5 AND COUNT(*) <> 3 "
    "ORDER BY a, country",
    "SELECT country FROM people GROUP BY country HAVING MAX(age) IS NOT NULL ORDER BY SUM(money), country",
    "SELECT DISTINCT COUNT(*) c FROM people GROUP BY age ORDER BY c",
    "SELECT MIN(id), MAX(note), MIN(note) FROM people GROUP BY code, age ORDER BY 2 DESC, 3, MIN(id)",
    "SELECT id, COUNT(*), GROUP_CONCAT(age) FROM people GROUP BY id ORDER BY id LIMIT 5",
    "SELECT p.id, SUM(o.total) s, COUNT(DISTINCT o.item) FROM people p JOIN orders o ON o.person_id = p.id "
    "GROUP BY p.id HAVING COUNT(DISTINCT o.item) > 0 ORDER BY s DESC, p.id",
    "SELECT p.id, o.n, o.total FROM people p JOIN orders o ON p.id = o.person_id WHERE p.age > 1 ORDER BY 3, 1, 2",
    "SELECT p.id, o.n FROM people p LEFT JOIN orders o ON p.id = o.person_id AND o.n > 1 ORDER BY p.id, o.n",
    "SELECT COUNT(*), COUNT(o.n) FROM people p LEFT JOIN orders o ON p.id = o.person_id",
    "SELECT MIN(p.id), COUNT(*), SUM(p.money) FROM orders o JOIN people p ON p.id = o.person_id GROUP BY o.item "
    "ORDER BY COUNT(*), SUM(p.money)",
    "SELECT p.id, c.name FROM people p JOIN countries c ON c.id = p.country ORDER BY c.name, p.id",
    "SELECT p.id, c.name FROM people p LEFT JOIN countries c ON c.id = p.country ORDER BY p.id DESC",
    "SELECT c.id, COUNT(*) FROM people p, countries c WHERE c.id = p.country GROUP BY c.id ORDER BY c.id",
    "SELECT id FROM people p WHERE EXISTS (SELECT 1 FROM orders o WHERE o.person_id = p.id AND o.n = 2) ORDER BY id",
    "SELECT id FROM people WHERE id NOT IN (SELECT person_id FROM orders WHERE n > 0) ORDER BY id",
    "SELECT id FROM people WHERE country IN (SELECT id FROM countries WHERE name IS NOT NULL) ORDER BY id",
    "SELECT id, (SELECT SUM(o.total) FROM orders o WHERE o.person_id = people.id) s FROM people ORDER BY s, id",
    "SELECT w, x FROM words ORDER BY w",
    "SELECT w FROM words WHERE w = 'APPLE'",
    "SELECT w, x FROM words WHERE w IN ('fig', 'KIWI', 'none') ORDER BY x",
    "SELECT * FROM countries ORDER BY name, id",
    "SELECT COUNT(*) FROM people WHERE 1 = 0",
    "SELECT id FROM people ORDER BY id LIMIT 0",
    "SELECT SQL_NO_CACHE /* why not */ id -- sorted\n FROM people # all\n ORDER BY id LIMIT 2",
)
"""Compared row by row: the order is total."""

UNSORTED = (
    "SELECT MAX(CAST(id AS UNSIGNED)) - 40, (BIT_OR(id) - 1) AS bits FROM people WHERE id IN (1, 13, 25, 60)",
    "SELECT (MAX(CAST(id AS UNSIGNED)) - 2), SUM(money) - 1, -MIN(fine) FROM people",
    "SELECT age, COUNT(*) FROM people GROUP BY age HAVING MAX(CAST(id AS UNSIGNED)) - 10 > 40",
    "SELECT * FROM people",
    "SELECT id, name, weight, height FROM people WHERE weight > 1",
    "SELECT DISTINCT age FROM people",
    "SELECT DISTINCT born, grade FROM people",
    "SELECT DISTINCT * FROM countries",
    "SELECT DISTINCT lap, vintage, raw FROM people",
    "SELECT age, grade, COUNT(*) FROM people GROUP BY age, grade",
    "SELECT SUM(weight), AVG(weight) FROM people WHERE weight IN (1.5, 3, 1e20)",
    "SELECT age % 2, SUM(money) FROM people GROUP BY age % 2",
    "SELECT p.*, o.* FROM people p JOIN orders o ON o.person_id = p.id",
    "SELECT COUNT(*), SUM(x) FROM words",
)
"""Compared as multisets."""

COLLATED = (
    ("SELECT DISTINCT name FROM people", "name", "utf8mb4_unicode_ci"),
    ("SELECT name, COUNT(*) FROM people GROUP BY name", "name", "utf8mb4_unicode_ci"),
    ("SELECT DISTINCT code FROM people", "code", "utf8mb4_general_ci"),
    ("SELECT DISTINCT nick FROM people ORDER BY nick LIMIT 3", "nick", "utf8mb4_bin"),
)
"""Of rows that the collation calls equal any one may stand for the group: (statement, column, its collation)."""

REFUSED = (
    "SELECT * FROM people p JOIN orders o ON p.age = o.n",
    "SELECT * FROM people WHERE age > (SELECT AVG(age) FROM people)",
    "SELECT id FROM people UNION SELECT person_id FROM orders",
    "SELECT c.id, p.id FROM countries c LEFT JOIN people p ON p.country = c.id",
    "SELECT DISTINCT person_id FROM orders ORDER BY total",
    "SELECT SUM(DISTINCT age) FROM people",
    "SELECT COUNT(DISTINCT age, name) FROM people",
    "SELECT COUNT(DISTINCT age), COUNT(DISTINCT id) FROM people",
    "SELECT GROUP_CONCAT(age) FROM people",
    "SELECT STDDEV(age) FROM people",
    "SELECT age, COUNT(*) FROM people GROUP BY age WITH ROLLUP",
    "SELECT id, ROW_NUMBER() OVER (ORDER BY id) FROM people",
    "SELECT * FROM (SELECT * FROM people LIMIT 3) x",
    "WITH x AS (SELECT * FROM people) SELECT * FROM x",
    "SELECT id FROM people ORDER BY RAND()",
    "SELECT COUNT(*) FROM people GROUP BY (SELECT age)",
    "SELECT SQL_CALC_FOUND_ROWS id FROM people LIMIT 3",
    "SELECT name FROM people GROUP BY age HAVING name = 'x'",
    "SELECT SUM(money) / (COUNT(*) / 2) FROM people",
    "SELECT CONCAT(MAX(name), 'x') FROM people",
    "SELECT MIN(grade) FROM people",
    "UPDATE people SET id = 5",
    "UPDATE people SET age = 1 LIMIT 1",
    "DELETE FROM people ORDER BY age LIMIT 1",
    "INSERT INTO people (id, age) SELECT age, id FROM people",
)
"""Error 1235 as long as they need several shards."""

WRITES = (
    "UPDATE people SET age = age + 1 WHERE id = 7",
    "UPDATE people SET age = age + 1, note = CONCAT(IFNULL(note, ''), '!') WHERE age BETWEEN 1 AND 3",
    "UPDATE people SET money = money * 1.1 WHERE id IN (1, 2, 3, 4, 99)",
    "UPDATE people p SET p.age = NULL WHERE p.name = 'bob'",
    "UPDATE people SET age = age WHERE id < 20",
    "UPDATE people p JOIN orders o ON o.person_id = p.id SET p.age = o.n, o.total = o.total + 1 WHERE o.n = 1",
    "UPDATE people p JOIN countries c ON c.id = p.country SET p.note = c.name WHERE c.name LIKE 'A%'",
    "UPDATE people SET age = 50 WHERE id IN (SELECT person_id FROM orders WHERE n = 2)",
    "DELETE FROM orders WHERE person_id = 7 AND n = 2",
    "DELETE FROM orders WHERE n = 2 AND item = 'pen'",
    "DELETE o FROM orders o JOIN people p ON p.id = o.person_id WHERE p.age IS NULL",
    "DELETE FROM people WHERE id = 9 ORDER BY id LIMIT 1",
    "INSERT INTO people (id, name, age) VALUES (101, 'new', 1), (102, 'newer', 2), (103, NULL, 3)",
    "INSERT INTO people SET id = 104, name = 'set', weight = 1e3",
    "INSERT INTO people (id, age) VALUES (104, 1)",
    "INSERT INTO people (id, age) VALUES (105, 1), (7, 2), (106, 3)",
    "INSERT IGNORE INTO people (id, age) VALUES (105, 1), (7, 2), (106, 3)",
    "INSERT INTO people (id, age) VALUES (105, 1), (107, 2) ON DUPLICATE KEY UPDATE age = VALUES(age) + 100",
    "REPLACE INTO people (id, name) VALUES (101, 'replaced'), (108, 'fresh')",
    "INSERT INTO orders (person_id, n, total, item) SELECT id, 9, age, 'gift' FROM people WHERE age > 2",
    "INSERT INTO words VALUES ('Ärger', 1), ('zebra', 2)",
    "INSERT INTO words VALUES ('ZEBRA', 3)",
    "UPDATE words SET x = x + 1 WHERE w = 'ARGER'",
    "DELETE FROM words WHERE w IN ('kiwi', 'FIG')",
    "INSERT INTO countries VALUES (10, 'Chad'), (11, 'Peru')",
    "UPDATE countries SET name = UPPER(name) WHERE id > 1",
    "DELETE FROM countries WHERE name = 'NOWHERE'",
    "INSERT INTO people (id, born) VALUES (110, 'no date')",
    "UPDATE people SET born = 'no date' WHERE id = 1",
    "UPDATE people SET nope = 1",
    "INSERT INTO people (id, age) VALUES (111)",
    "DELETE FROM people WHERE age > 40",
)
"""In this order, on both: the counts, the errors and the tables afterwards must be the same."""

PREPARED: tuple[tuple[str, tuple[int | str | None, ...]], ...] = (
    ("SELECT id, name, money FROM people WHERE id = ?", (7,)),
    ("SELECT id, age FROM people WHERE age > ? ORDER BY age DESC, id LIMIT ? OFFSET ?", (2, 5, 3)),
    ("SELECT id FROM people WHERE id IN (?, ?, ?) ORDER BY id", (3, 4, 5)),
    ("SELECT id FROM people WHERE name = ? ORDER BY id", ("it's \\ ANNA",)),
    ("SELECT id FROM people WHERE name = ? AND age IS NOT NULL ORDER BY id", ("bob",)),
    (
        "SELECT age, COUNT(*), AVG(money) FROM people WHERE id <> ? GROUP BY age HAVING COUNT(*) > ? ORDER BY age",
        (1, 4),
    ),
    ("SELECT COUNT(*), SUM(age) + 1, MAX(born) FROM people WHERE age < ?", (5,)),
    ("SELECT ?, id FROM people WHERE id < ? ORDER BY id", ("text", 3)),
    ("SELECT w, x FROM words WHERE w = ?", ("aPPle",)),
    ("SELECT id FROM people WHERE country <=> ? ORDER BY id LIMIT 3", (None,)),
    ("SELECT id, height, weight FROM people WHERE id > ? ORDER BY height DESC, id", (0,)),
    ("SELECT height, COUNT(*), MAX(height) FROM people WHERE id > ? GROUP BY height ORDER BY height", (3,)),
    ("SELECT DATABASE() IS NULL, height FROM people WHERE id = ?", (5,)),
    ("SELECT id, height FROM people WHERE id > ? ORDER BY id FOR UPDATE", (0,)),
)
