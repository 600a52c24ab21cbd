"""What `txguard rollback-to` does on its connection to the proxy: compare the rows of now and then, and put back.

The rule: the rows of now are those of the snapshot in which the change is made, so that whoever changes one of them
meanwhile makes it fail (1213), and nothing is changed. Values are the server's own texts, undecoded, so that what is
put back is what was there; TIMESTAMP columns go through UTC, FLOAT columns through DOUBLE, which holds them exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from proxy.cli.past import Json, to_json
from tso.types import Timestamp
from txguard.engine.sqltext import qualified, quote, quoted_list

if TYPE_CHECKING:
    from pymysql.connections import Connection

Text = str | bytes | None
Row = tuple[Text, ...]

_SESSION: Final = (
    "SET SESSION time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
)
_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    in_key: bool
    is_float: bool

    @property
    def selected(self) -> str:
        return f"({quote(self.name)} + 0e0)" if self.is_float else quote(self.name)


@dataclass(frozen=True, slots=True)
class Difference:
    """`now` None: the row is to be inserted; `then` None: deleted."""

    names: tuple[str, ...]
    key: Row
    now: Row | None
    then: Row | None

    def to_json(self) -> dict[str, Any]:
        operation = "insert" if self.now is None else "delete" if self.then is None else "update"
        return {"op": operation, "now": self._row(self.now), "then": self._row(self.then)}

    def _row(self, row: Row | None) -> Mapping[str, Json] | None:
        return None if row is None else {n: to_json(v) for n, v in zip(self.names, row, strict=True)}


class TableRows:
    """One table, on a connection whose decoders are off. Raises ValueError for a table that cannot be put back."""

    def __init__(self, connection: Connection[Any], schema: str, name: str, where: str) -> None:
        self._connection = connection
        self.source = qualified(schema, name)
        self._where = where
        for statement in _SESSION:
            self.run(statement)
        self.columns = self._find_columns(schema, name)
        self.key = [column.name for column in self.columns if column.in_key]
        if not self.key:
            raise ValueError(f"{schema}.{name} is no table, or has no primary key")
        self.swaps_keys = self._has_unique_keys(schema, name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def run(self, sql: str) -> list[Row]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def differences(self, instant: Timestamp) -> list[Difference]:
        """Between now and `instant`, in the transaction that this begins."""
        self.run("BEGIN")
        clause = f" AS OF TIMESTAMP {instant}"
        now, then = self._rows("", self._where), self._rows(clause, self._where)
        if self._where:  # A row may meet the condition only now, or only then: both sides of it are wanted.
            now |= self._by_key("", [key for key in then if key not in now])
            then |= self._by_key(clause, [key for key in now if key not in then])
        return [
            Difference(self.names, key, now.get(key), then.get(key))
            for key in dict.fromkeys((*now, *then))
            if now.get(key) != then.get(key)
        ]

    def _rows(self, clause: str, where: str) -> dict[Row, Row]:
        selected = ", ".join(column.selected for column in self.columns)
        condition = f" WHERE {where}" if where else ""
        rows = self.run(f"SELECT {selected} FROM {self.source}{clause}{condition}")
        places = [place for place, column in enumerate(self.columns) if column.in_key]
        return {tuple(row[place] for place in places): row for row in rows}

    def _by_key(self, clause: str, keys: Sequence[Row]) -> dict[Row, Row]:
        found: dict[Row, Row] = {}
        for batch in batches(keys):
            found |= self._rows(clause, " OR ".join(f"({self.has_key(key)})" for key in batch))
        return found

    def has_key(self, key: Row) -> str:
        return " AND ".join(f"{quote(n)} = {literal(v)}" for n, v in zip(self.key, key, strict=True))

    def _find_columns(self, schema: str, name: str) -> list[Column]:
        """Without the generated ones, which follow from the others."""
        rows = self.run(
            "SELECT COLUMN_NAME, COLUMN_KEY, DATA_TYPE FROM information_schema.COLUMNS "
            f"WHERE TABLE_SCHEMA = {literal(schema)} AND TABLE_NAME = {literal(name)} "
            "AND COALESCE(GENERATION_EXPRESSION, '') = '' ORDER BY ORDINAL_POSITION"
        )
        return [Column(text_of(row[0]), row[1] == "PRI", text_of(row[2]).lower() == "float") for row in rows]

    def _has_unique_keys(self, schema: str, name: str) -> bool:
        rows = self.run(
            "SELECT INDEX_NAME FROM information_schema.STATISTICS "
            f"WHERE TABLE_SCHEMA = {literal(schema)} AND TABLE_NAME = {literal(name)} "
            "AND NON_UNIQUE = 0 AND INDEX_NAME <> 'PRIMARY'"
        )
        return bool(rows)


def restore(rows: TableRows, differences: Sequence[Difference]) -> None:
    """Put back what was, and commit. An error leaves everything as it is.

    Two rows may have changed places under a unique key: with one, what differs is deleted before any comes back.
    """
    anew = [d for d in differences if d.then is not None and (d.now is None or rows.swaps_keys)]
    for difference in differences:
        if difference.then is None or (rows.swaps_keys and difference.now is not None):
            rows.run(f"DELETE FROM {rows.source} WHERE {rows.has_key(difference.key)}")
    for difference in differences:
        if difference.then is not None and difference.now is not None and not rows.swaps_keys:
            changed = [
                f"{quote(name)} = {literal(then)}"
                for name, now, then in zip(rows.names, difference.now, difference.then, strict=True)
                if now != then
            ]
            rows.run(f"UPDATE {rows.source} SET {', '.join(changed)} WHERE {rows.has_key(difference.key)}")
    for batch in batches(anew):
        values = ", ".join(f"({', '.join(map(literal, d.then or ()))})" for d in batch)
        rows.run(f"INSERT INTO {rows.source} ({quoted_list(rows.names)}) VALUES {values}")
    rows.run("COMMIT")


def batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for first in range(0, len(items), _BATCH):
        yield items[first : first + _BATCH]


def literal(value: Text) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    return "'" + value.replace("\\", "\\\\").replace("'", "''").replace("\0", "\\0") + "'"


def text_of(value: Text) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
