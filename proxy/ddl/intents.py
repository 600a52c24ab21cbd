"""What a data definition statement is about to do, written down before it does it.

Owns: `Intent` and its one row in `_txguard.ddl_intent` on the authority. One statement runs at a time
(`proxy.ddl.workshop`), so there is one row at most; one that is found there belongs to a statement that a
crash cut off, and `proxy.ddl.recovery` finishes or undoes it before anything else is defined.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from typing import Any, Final

from proxy.routing.catalog_rows import TableRow
from proxy.routing.control import string
from proxy.routing.table_facts import TableId
from proxy.routing.tables import Table
from tso.types import ShardName
from txguard.engine.install import DATABASE
from txguard.engine.shard import Connection
from txguard.engine.sqltext import text

_INTENT: Final = f"`{DATABASE}`.`ddl_intent`"

CREATE_INTENT: Final = f"""CREATE TABLE IF NOT EXISTS {_INTENT} (
  `id` TINYINT UNSIGNED NOT NULL,
  `description` MEDIUMTEXT NOT NULL,
  `created_at` TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"""


class IntentKind(enum.Enum):
    CREATE_TABLE = "create table"
    DROP_TABLES = "drop tables"
    TRUNCATE_TABLE = "truncate table"
    DROP_DATABASE = "drop database"
    CREATE_INDEX = "create index"
    DROP_INDEX = "drop index"


@dataclass(frozen=True, slots=True)
class Target:
    """A table, and the one shard it is on, if it is a single table."""

    schema: str
    name: str
    home: ShardName | None

    @classmethod
    def of(cls, table: Table | TableRow) -> Target:
        return cls(table.schema, table.name, table.home)

    @property
    def id(self) -> TableId:
        return self.schema, self.name


@dataclass(frozen=True, slots=True)
class Intent:
    """`index`: of the INDEX statements. `database`: of DROP DATABASE."""

    kind: IntentKind
    tables: tuple[Target, ...]
    index: str | None = None
    database: str | None = None

    def to_json(self) -> str:
        return json.dumps({
            "kind": self.kind.value,
            "tables": [[table.schema, table.name, table.home] for table in self.tables],
            "index": self.index,
            "database": self.database,
        })  # fmt: skip

    @classmethod
    def from_json(cls, description: str) -> Intent:
        parsed: dict[str, Any] = json.loads(description)
        return cls(
            kind=IntentKind(parsed["kind"]),
            tables=tuple(Target(schema, name, home) for schema, name, home in parsed["tables"]),
            index=parsed["index"],
            database=parsed["database"],
        )


def put_intent(intent: Intent) -> str:
    return f"INSERT INTO {_INTENT} (`id`, `description`) VALUES (1, {text(intent.to_json())})"


DELETE_INTENT: Final = f"DELETE FROM {_INTENT} WHERE `id` = 1"


async def read_intent(connection: Connection, timeout_s: float | None) -> Intent | None:
    _, answer = await connection.run(
        [CREATE_INTENT, f"SELECT `description` FROM {_INTENT} WHERE `id` = 1"], timeout_s
    )
    return Intent.from_json(string(answer.rows[0][0])) if answer.rows else None
