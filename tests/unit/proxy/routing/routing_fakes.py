"""Shards that answer control statements from memory, and small tables and catalogs: for routing's and DDL's tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from proxy.routing.catalog import Catalog, CatalogContents, Stray
from proxy.routing.collations import WeightTable
from proxy.routing.slots import SlotMap
from proxy.routing.tables import Column, Table, TableKind
from proxy.routing.weights import ServerWeights
from tso.types import ShardName
from txguard.engine.shard import Rows, ShardUnavailable

SHARDS = tuple(ShardName(name) for name in ("s1", "s2", "s3"))

Answer = Callable[[str], Rows]


@dataclass
class FakeConnection:
    answer: Answer
    thread_id: int = 1
    closed: bool = False

    async def run(self, statements: Sequence[str], timeout_s: float | None) -> list[Rows]:
        return [self.answer(statement) for statement in statements]

    def abort(self) -> None:
        self.closed = True


@dataclass
class FakeShard:
    """Answers by `answer`; `down`: no connection can be had. `asked` are the statements, in order."""

    name: ShardName
    answer: Answer = lambda statement: Rows([])
    down: bool = False
    asked: list[str] = field(default_factory=list)

    async def acquire(self, timeout_s: float) -> FakeConnection:
        if self.down:
            raise ShardUnavailable(f"{self.name} is down")
        return FakeConnection(self._answer)

    def release(self, connection: object) -> None:
        pass

    def _answer(self, statement: str) -> Rows:
        self.asked.append(statement)
        return self.answer(statement)


class Counter:
    """A stored sequence, as `proxy.routing.sequence_rows` speaks to it."""

    def __init__(self, first: int = 1) -> None:
        self.next: int | None = first
        self._last = 0

    def __call__(self, statement: str) -> Rows:
        if statement == "SELECT LAST_INSERT_ID()":
            return Rows([[self._last]])
        if (put := re.match(r"REPLACE INTO .* ([0-9]+)\)$", statement)) is not None:
            self.next = int(put[1])
            return Rows([], 1)
        taken = re.search(r"LAST_INSERT_ID\((?:GREATEST\(`next`, ([0-9]+)\)|`next`)\) \+ ([0-9]+)", statement)
        assert taken is not None, statement
        if self.next is None:
            return Rows([], 0)
        self._last = max(self.next, int(taken[1] or 0))
        self.next = self._last + int(taken[2])
        return Rows([], 1)


def column(name: str, column_type: str = "int", collation: str | None = None) -> Column:
    kind = column_type.partition("(")[0].partition(" ")[0]
    return Column(name, kind, column_type, "unsigned" in column_type, False, collation, None, False, False)


def table(
    name: str = "t",
    key: Column | None = None,
    *,
    kind: TableKind = TableKind.SHARDED,
    home: ShardName | None = None,
    schema: str = "shop",
    created_ts: int = 5,
) -> Table:
    key = key or column("id")
    return Table(
        schema=schema,
        name=name,
        kind=kind,
        columns=(key, column("x")),
        primary_key=(key.name,),
        unique_keys=(),
        shard_key=key.name if kind is TableKind.SHARDED else None,
        home=home,
        managed=True,
        created_ts=created_ts,
    )


def fake_shards(answer: Answer = lambda statement: Rows([])) -> dict[ShardName, FakeShard]:
    return {name: FakeShard(name, answer) for name in SHARDS}


def weights_with(*tables: WeightTable, answer: Answer = lambda statement: Rows([])) -> ServerWeights:
    weights = ServerWeights(fake_shards(answer), timeout_s=1)
    weights._tables.update({table.collation: table for table in tables})
    return weights


def catalog(
    *tables: Table, weights: ServerWeights | None = None, strays: Sequence[Stray] = (), fold: bool = False
) -> Catalog:
    contents = CatalogContents(
        version=1,
        slots=SlotMap.lay_out(SHARDS),
        schemas=frozenset({"shop", "depot"}),
        tables=tables,
        unreadable=frozenset({("shop", "far")}),
        strays=tuple(strays),
        fold_names=fold,
    )
    return Catalog(contents, weights or weights_with())
