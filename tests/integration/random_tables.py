"""Random tables and random statements on them, from a seed. Values are few and awkward, so that they meet."""

from __future__ import annotations

import random
from dataclasses import dataclass

COLUMN_TYPES: dict[str, tuple[str, ...]] = {
    "INT": ("0", "1", "-5", "2147483647", "NULL"),
    "BIGINT UNSIGNED": ("0", "18446744073709551615", "42", "NULL"),
    "DECIMAL(20,5)": ("0", "1.5", "-99999999999999.99999", "NULL"),
    "FLOAT": ("0e0", "-0e0", "0.1", "3.4e38", "NULL"),
    "DOUBLE": ("0e0", "-0e0", "1e-300", "0.1", "NULL"),
    "CHAR(5) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci": ("''", "'a'", "'A'", "'ä'", "'a '", "NULL"),
    "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci": (
        "''",
        "'b'",
        "'B'",
        "'b '",
        "'ß'",
        "NULL",
    ),
    "VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin": ("'c'", "'C'", "'c '", "'é'", "NULL"),
    "VARCHAR(9) CHARACTER SET utf16 COLLATE utf16_general_ci": ("'d'", "'D'", "'€'", "NULL"),
    "VARBINARY(10)": ("X''", "X'00'", "X'0000'", "X'ff'", "NULL"),
    "BINARY(3)": ("X''", "X'20'", "X'ff'", "NULL"),
    "TEXT CHARACTER SET utf8mb4": ("''", "'t'", "'T'", "REPEAT('x', 9000)", "NULL"),
    "LONGBLOB": ("''", "X'00'", "REPEAT(X'0102', 9000)", "NULL"),
    "ENUM('', 'p', 'q')": ("''", "'p'", "'q'", "'no such'", "NULL"),
    "SET('x', 'y', 'z')": ("''", "'x'", "'x,z'", "'z,x'", "NULL"),
    "BIT(64)": ("0", "b'1'", "18446744073709551615", "NULL"),
    "DATE": ("'2024-02-29'", "'0000-00-00'", "'9999-12-31'", "NULL"),
    "DATETIME(6)": ("'2024-01-01'", "'2024-01-01 00:00:00.000001'", "'0000-00-00 00:00:00'", "NULL"),
    "TIMESTAMP(3) NULL": ("'2024-01-01'", "'2024-01-01 00:00:00.001'", "'0000-00-00 00:00:00'", "NULL"),
    "TIME(2)": ("'00:00:00'", "'-838:59:59'", "'00:00:00.01'", "NULL"),
    "YEAR": ("2024", "0", "1901", "NULL"),
    "JSON": ("'1'", "'2.5'", "'{\"a\": [1, 2]}'", "'{\"a\": [1, null]}'", "NULL"),
    "POINT": ("ST_GeomFromText('POINT(1 1)')", "ST_GeomFromText('POINT(-1 0)')", "NULL"),
}

KEY_TYPES: dict[str, tuple[str, ...]] = {
    "INT AUTO_INCREMENT": ("1", "2", "3", "4"),  # given: an undo leaves a gap in what the server chooses
    "INT UNSIGNED": ("1", "2", "3", "4"),
    "VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci": ("'a'", "'A'", "'b'", "'b '", "'ä'"),
    "CHAR(3) CHARACTER SET latin1 COLLATE latin1_swedish_ci": ("'a'", "'A'", "'b'", "''"),
    "VARBINARY(4)": ("X''", "X'00'", "X'0000'", "'a'", "'A'"),
    "DATETIME(3)": ("'2024-01-01'", "'2024-01-01 00:00:00.001'", "'2025-01-01'"),
    "DECIMAL(6,2)": ("1", "1.01", "-1"),
    "BIGINT UNSIGNED": ("0", "1", "18446744073709551615"),
    "ENUM('u', 'v', 'w')": ("'u'", "'v'", "'w'"),
    "TIMESTAMP NOT NULL DEFAULT '2020-01-01'": ("'2024-01-01'", "'2024-01-01 00:00:01'"),
}

UNIQUE_TYPES = ("INT", "BIGINT UNSIGNED", "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")


@dataclass(frozen=True)
class RandomTable:
    """`keys` and `columns` map a name to the literals that it may get."""

    ddl: str
    keys: dict[str, tuple[str, ...]]
    columns: dict[str, tuple[str, ...]]


def random_table(rnd: random.Random) -> RandomTable:
    key_types = [rnd.choice(list(KEY_TYPES))]
    if "AUTO" not in key_types[0] and rnd.random() < 0.4:
        key_types.append(rnd.choice([kind for kind in KEY_TYPES if "AUTO" not in kind]))
    keys = {f"k{i}": KEY_TYPES[kind] for i, kind in enumerate(key_types)}
    types = rnd.sample(list(COLUMN_TYPES), rnd.randint(2, 7))
    columns = {f"c{i}": COLUMN_TYPES[kind] for i, kind in enumerate(types)}
    parts = [f"k{i} {kind}" for i, kind in enumerate(key_types)] + [
        f"c{i} {kind}" for i, kind in enumerate(types)
    ]
    unique = [f"c{i}" for i, kind in enumerate(types) if kind in UNIQUE_TYPES]
    if unique and rnd.random() < 0.7:
        parts.append(f"UNIQUE KEY ({rnd.choice(unique)})")
    if types[0] in ("INT", "DOUBLE", "YEAR") and rnd.random() < 0.7:
        parts.append(f"g INT GENERATED ALWAYS AS (c0 IS NULL) {rnd.choice(['VIRTUAL', 'STORED'])}")
    rnd.shuffle(parts)
    parts.append(f"PRIMARY KEY ({', '.join(keys)})")
    return RandomTable(f"CREATE TABLE t ({', '.join(parts)}) ENGINE=InnoDB", keys, columns)


def random_statement(rnd: random.Random, table: RandomTable) -> str:
    return rnd.choice((_insert, _insert, _upsert, _update, _update, _update, _delete))(rnd, table)


def _insert(rnd: random.Random, table: RandomTable) -> str:
    verb = rnd.choice(("INSERT INTO", "INSERT INTO", "INSERT IGNORE INTO", "REPLACE INTO"))
    names = [*table.keys, *rnd.sample(list(table.columns), rnd.randint(1, len(table.columns)))]
    values = {**table.keys, **table.columns}
    rows = (", ".join(rnd.choice(values[name]) for name in names) for _ in range(rnd.randint(1, 3)))
    return f"{verb} t ({', '.join(names)}) VALUES {', '.join(f'({row})' for row in rows)}"


def _upsert(rnd: random.Random, table: RandomTable) -> str:
    statement = _insert(rnd, table).replace("REPLACE", "INSERT")
    return f"{statement} ON DUPLICATE KEY UPDATE {_assignments(rnd, table)}"


def _update(rnd: random.Random, table: RandomTable) -> str:
    ignore = rnd.choice(("", "", "IGNORE "))
    order = f"ORDER BY {', '.join(table.keys)} {rnd.choice(('ASC', 'DESC'))}"
    limit = rnd.choice(("", "", " LIMIT 2"))
    return f"UPDATE {ignore}t SET {_assignments(rnd, table)} WHERE {_condition(rnd, table)} {order}{limit}"


def _delete(rnd: random.Random, table: RandomTable) -> str:
    return f"DELETE FROM t WHERE {_condition(rnd, table)} ORDER BY {', '.join(table.keys)}"


def _assignments(rnd: random.Random, table: RandomTable) -> str:
    assigned = rnd.sample(list(table.columns), rnd.randint(1, min(2, len(table.columns))))
    if rnd.random() < 0.25:
        assigned.append(rnd.choice(list(table.keys)))
    values = {**table.keys, **table.columns}
    return ", ".join(f"{name} = {rnd.choice(values[name])}" for name in assigned)


def _condition(rnd: random.Random, table: RandomTable) -> str:
    values = {**table.keys, **{name: few for name, few in table.columns.items() if "ST_" not in few[0]}}
    name = rnd.choice([*table.keys, *table.keys, *values])
    value = rnd.choice([literal for literal in values[name] if literal != "NULL"])
    return rnd.choice(
        (f"{name} = {value}", f"{name} >= {value}", f"{name} <> {value}", f"{name} IS NULL", "1 = 1")
    )
