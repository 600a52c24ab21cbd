"""The stored counters of AUTO_INCREMENT columns: `_txguard.sequence` and the statements on it.

A table's counter lives on one shard, picked by the hash of the table's name; `next` is the first value that
nobody has taken yet. Every statement here is a local transaction of its own.
"""

from __future__ import annotations

from typing import Final

from txguard.engine.install import DATABASE
from txguard.engine.sqltext import text

_SEQUENCE: Final = f"`{DATABASE}`.`sequence`"

CREATE_SEQUENCE: Final = f"""CREATE TABLE IF NOT EXISTS {_SEQUENCE} (
  `table_schema` VARCHAR(64) NOT NULL,
  `table_name` VARCHAR(64) NOT NULL,
  `next` BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (`table_schema`, `table_name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"""


def put_statement(schema: str, table: str, first: int) -> str:
    """Begin, or begin again, at `first`."""
    return f"REPLACE INTO {_SEQUENCE} VALUES ({text(schema)}, {text(table)}, {first})"


def delete_statement(schema: str, table: str) -> str:
    return f"DELETE FROM {_SEQUENCE} WHERE {_where(schema, table)}"


def take_statements(schema: str, table: str, count: int, above: int = 0) -> list[str]:
    """Take `count` values in a row, all greater than `above`.

    The first statement must change one row; the second then answers the first value.
    """
    first = "`next`" if above == 0 else f"GREATEST(`next`, {above + 1})"
    return [
        f"UPDATE {_SEQUENCE} SET `next` = LAST_INSERT_ID({first}) + {count} WHERE {_where(schema, table)}",
        "SELECT LAST_INSERT_ID()",
    ]


def _where(schema: str, table: str) -> str:
    return f"`table_schema` = {text(schema)} AND `table_name` = {text(table)}"
