"""What the engine must know of a managed table to write its SQL: `ManagedTable` and its columns. Values only.

The definition is kept as JSON in `_txguard.managed`, so that undo and cleaning need not look at the table itself.
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from txguard.engine.install import DATABASE
from txguard.engine.sqltext import qualified

WRITER: Final = "_txg_ts"
"""The column that a managed table gains: the start_ts of the row's last writer; 0 is before all time."""
NEXT: Final = "_txg_next"
"""In history: the start_ts of the writer that replaced the row."""
OPERATION: Final = "_txg_op"
"""In history: what became of the row, one of `Operation`."""

_READABLE: Final = 45


class Operation(enum.Enum):
    """`_txg_op`. UPDATED and DELETED rows hold the old values; an INSERTED one only marks the key."""

    UPDATED = "U"
    DELETED = "D"
    INSERTED = "I"


class Flavour(enum.Enum):
    """Whose server it is. Only the triggers need to know."""

    MARIADB = "mariadb"
    MYSQL = "mysql"

    @staticmethod
    def of(version: str) -> Flavour:
        """By VERSION()."""
        return Flavour.MARIADB if "mariadb" in version.lower() else Flavour.MYSQL


class Category(enum.Enum):
    """How two values of a column are told apart to the byte; the values are those stored in `definition`."""

    NUMBER = "number"
    FLOAT = "float"
    CHARACTER = "character"
    ENUMERATED = "enumerated"
    TIMESTAMP = "timestamp"
    OTHER = "other"

    @staticmethod
    def of(data_type: str) -> Category:
        """By the lower-case DATA_TYPE of information_schema."""
        return _CATEGORIES.get(data_type, Category.OTHER)


_CATEGORIES: Final = {
    **dict.fromkeys(
        ("tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year", "bit"), Category.NUMBER
    ),
    **dict.fromkeys(("float", "double"), Category.FLOAT),
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext"), Category.CHARACTER),
    **dict.fromkeys(("enum", "set"), Category.ENUMERATED),
    "timestamp": Category.TIMESTAMP,
}


@dataclass(frozen=True, slots=True)
class ManagedColumn:
    """`column_type` is COLUMN_TYPE of information_schema: the type with its length, sign and members."""

    name: str
    column_type: str
    collation: str | None
    category: Category
    generated: bool
    auto_increment: bool

    @property
    def type_text(self) -> str:
        return f"{self.column_type} COLLATE {self.collation}" if self.collation else self.column_type


@dataclass(frozen=True, slots=True)
class ManagedTable:
    """`columns` in the table's order, without `_txg_ts`; `primary_key` in the key's order.

    `constrained`: the columns on which a unique key or a foreign key, from or to this table, may refuse a value.
    """

    schema: str
    name: str
    columns: tuple[ManagedColumn, ...]
    primary_key: tuple[str, ...]
    constrained: tuple[str, ...]
    history_name: str

    @property
    def source(self) -> str:
        return qualified(self.schema, self.name)

    @property
    def history(self) -> str:
        return qualified(DATABASE, self.history_name)

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def stored_names(self) -> tuple[str, ...]:
        """The columns that a statement may assign: not the generated ones."""
        return tuple(column.name for column in self.columns if not column.generated)

    def trigger_name(self, suffix: str) -> str:
        """Trigger names live in the table's schema: derived like the history's, and as unique."""
        return f"_txg_{_digest(self.schema, self.name)}_{suffix}"

    def to_json(self) -> str:
        columns = [
            {
                "name": column.name,
                "type": column.column_type,
                "collation": column.collation,
                "category": column.category.value,
                "generated": column.generated,
                "auto_increment": column.auto_increment,
            }
            for column in self.columns
        ]
        definition = {"columns": columns, "primary_key": self.primary_key, "constrained": self.constrained}
        return json.dumps(definition, separators=(",", ":"))

    @classmethod
    def from_json(cls, schema: str, name: str, history_name: str, definition: str) -> ManagedTable:
        parsed: dict[str, Any] = json.loads(definition)
        columns = tuple(
            ManagedColumn(
                name=column["name"],
                column_type=column["type"],
                collation=column["collation"],
                category=Category(column["category"]),
                generated=column["generated"],
                auto_increment=column["auto_increment"],
            )
            for column in parsed["columns"]
        )
        primary_key, constrained = tuple(parsed["primary_key"]), tuple(parsed["constrained"])
        return cls(schema, name, columns, primary_key, constrained, history_name)


def history_name(schema: str, name: str) -> str:
    """At most 64 characters, all of them plain: a digest makes it unique, a part of the name readable."""
    readable = re.sub(r"[^0-9a-z]+", "_", name.lower())[:_READABLE]
    return f"h_{_digest(schema, name)}_{readable}"


def _digest(schema: str, name: str) -> str:
    return hashlib.sha256(f"{schema}\0{name}".encode()).hexdigest()[:16]
