"""Scatter-gather against one server: the plan's texts run on three shards, the merge must give what one table gives.

No proxy in between: planner and merge alone, on the answers of real servers, down to names, types and digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pymysql
import pytest

from proxy.errors import NotSupported
from proxy.executor.merge import merge
from proxy.routing.tables import Column, Table, TableKind
from proxy.sql.operands import resolve
from proxy.sql.plan import AllShards, ByKeys, QueryPlan
from proxy.sql.planner import Planner
from proxy.sql.template import Bindings
from proxy.wire.columns import ColumnDefinition
from tests.fakes.clients import connect_server
from tests.integration import differential_queries as queries
from tso.types import ShardName

WHOLE, PART = "txg_diff_whole", "txg_diff_part"
KEYS = {"people": "id", "orders": "person_id", "words": "w"}


@dataclass(frozen=True)
class Answer:
    columns: list[ColumnDefinition]
    rows: list[Sequence[bytes | None]]


class Fleet:
    """One server with everything, three with a third each, and a catalog that says so."""

    version = 1
    schemas = frozenset((PART,))
    all_shards = (ShardName("s1"), ShardName("s2"), ShardName("s3"))
    away = ()

    def __init__(self, servers: Sequence[Any]) -> None:
        self.whole = _connect(servers[0])
        self.parts = [_connect(server) for server in servers]
        self.tables: dict[str, Table] = {}

    def set_up(self) -> None:
        for connection, database in [(self.whole, WHOLE), *((part, PART) for part in self.parts)]:
            _run(connection, f"DROP DATABASE IF EXISTS {database}")
            _run(connection, f"CREATE DATABASE {database}")
            connection.select_db(database)
            for statement in queries.SCHEMA:
                _run(connection, statement)
            _run(connection, f"INSERT INTO countries VALUES {queries.COUNTRIES}")
        for table, rows in (
            ("people", queries.people()),
            ("orders", queries.orders()),
            ("words", queries.words()),
        ):
            _run(self.whole, f"INSERT INTO {table} VALUES {', '.join(row for _, row in rows)}")
            for number, part in enumerate(self.parts):
                own = [row for key, row in rows if _part_of(key) == number]
                if own:
                    _run(part, f"INSERT INTO {table} VALUES {', '.join(own)}")
        for table in ("people", "orders", "words", "countries"):
            self.tables[table] = self._describe(table)

    def tear_down(self) -> None:
        _run(self.whole, f"DROP DATABASE {WHOLE}")
        for part in self.parts:
            _run(part, f"DROP DATABASE {PART}")
            part.close()
        self.whole.close()

    def _describe(self, table: str) -> Table:
        facts = _run(
            self.parts[0],
            "SELECT column_name, data_type, column_type, is_nullable, collation_name FROM "
            f"information_schema.columns WHERE table_schema = '{PART}' AND table_name = '{table}' "
            "ORDER BY ordinal_position",
        )
        columns = []
        for row in facts.rows:
            name, kind, full, nullable, collation = ((value or b"").decode() for value in row)
            columns.append(
                Column(
                    name,
                    kind,
                    full,
                    "unsigned" in full,
                    nullable == "YES",
                    collation or None,
                    None,
                    False,
                    False,
                )
            )
        key = KEYS.get(table)
        kind_of = TableKind.SHARDED if key else TableKind.REFERENCE
        return Table(PART, table, kind_of, tuple(columns), (columns[0].name,), (), key, None, False, 0)

    # ------------------------------------------------------------ the catalog, as planning sees it

    def fold(self, name: str) -> str:
        return name

    def require(self, schema: str, name: str) -> Table:
        assert schema == PART
        return self.tables[name]

    def sharded_alike(self, table: Table, other: Table) -> bool:
        return (table.name == "words") is (other.name == "words")

    # ------------------------------------------------------------ both ways

    def alone(self, sql: str) -> Answer:
        return _run(self.whole, sql)

    def together(self, sql: str) -> Answer:
        planned = Planner().plan(sql, self, PART)
        plan = planned.plan
        assert isinstance(plan, QueryPlan)
        if not isinstance(plan.route, (AllShards, ByKeys)):
            return _run(self.parts[1], sql)
        if plan.scatter is None or plan.scatter.merge is None:
            raise NotSupported(plan.scatter_refusal)
        bindings = Bindings(literals=planned.literals)
        text = plan.scatter.template.render(bindings)
        answers = [_run(part, text) for part in self.parts]
        columns, rows = merge(
            plan.scatter.merge,
            answers[0].columns,
            [answer.rows for answer in answers],
            lambda operand: resolve(operand, planned.literals),
        )
        return Answer(columns, rows)


def _part_of(key: int | str) -> int:
    return (key if isinstance(key, int) else sum(key.encode())) % 3


def _connect(server: Any) -> Any:
    return connect_server(server, charset="utf8mb4", conv={}, use_unicode=False)


def _run(connection: Any, sql: str) -> Answer:
    cursor = connection.cursor()
    cursor.execute(sql)
    result = cursor._result
    columns = [
        ColumnDefinition(
            name=_bytes(field.name),
            type=field.type_code,
            character_set=field.charsetnr,
            column_length=field.length,
            flags=field.flags,
            decimals=field.scale,
        )
        for field in getattr(result, "fields", None) or ()
    ]
    return Answer(columns, [tuple(row) for row in cursor.fetchall()])


def _bytes(name: str | bytes) -> bytes:
    return name if isinstance(name, bytes) else name.encode()


@pytest.fixture(scope="module")
def fleet(shard_servers: Sequence[Any]) -> Iterator[Fleet]:
    made = Fleet(shard_servers)
    made.set_up()
    yield made
    made.tear_down()


def _heads(answer: Answer) -> list[tuple[bytes, int, int]]:
    return [(column.name, column.type, column.decimals) for column in answer.columns]


@pytest.mark.parametrize("sql", queries.SORTED)
def test_sorted_answer_is_that_of_one_server(fleet: Fleet, sql: str) -> None:
    alone, together = fleet.alone(sql), fleet.together(sql)
    assert [tuple(row) for row in together.rows] == alone.rows
    assert _heads(together) == _heads(alone)


@pytest.mark.parametrize("sql", queries.UNSORTED)
def test_answer_has_the_rows_of_one_server(fleet: Fleet, sql: str) -> None:
    alone, together = fleet.alone(sql), fleet.together(sql)
    assert sorted(map(repr, map(tuple, together.rows))) == sorted(map(repr, alone.rows))
    assert _heads(together) == _heads(alone)


@pytest.mark.parametrize(("sql", "column", "collation"), queries.COLLATED)
def test_groups_of_equal_strings_are_those_of_one_server(
    fleet: Fleet, sql: str, column: str, collation: str
) -> None:
    alone, together = fleet.alone(sql), fleet.together(sql)
    assert _canonical(fleet, together, collation) == _canonical(fleet, alone, collation)


def _canonical(fleet: Fleet, answer: Answer, collation: str) -> list[tuple[bytes | None, ...]]:
    """The rows with their first column as its weight, trailing spaces cut off."""
    result = []
    for row in answer.rows:
        text = row[0]
        if text is not None:
            quoted = pymysql.converters.escape_string(text.decode().rstrip(" "))
            weight = _run(fleet.whole, f"SELECT HEX(WEIGHT_STRING('{quoted}' COLLATE {collation}))")
            text = weight.rows[0][0]
        result.append((text, *row[1:]))
    return sorted(result, key=repr)


@pytest.mark.parametrize("sql", queries.REFUSED)
def test_what_several_shards_cannot_answer_is_refused(fleet: Fleet, sql: str) -> None:
    with pytest.raises(NotSupported):
        fleet.together(sql)
