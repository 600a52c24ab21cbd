"""AUTO_INCREMENT over several shards: the values come from the proxy, not from the shards' own counters.

Owns: `Sequences`, one for the process. It takes ranges from the stored counter
(`proxy.routing.sequence_rows`) and hands them out; what is left of a range when the process ends is lost, as
gaps are in MySQL. A range grows while it is used up quickly, so that a bulk load does not wait for the
counter.

Rule: a value is given once, and never one that `note_explicit` has been awaited for before. So a client's own
values must be noted before their INSERT is acknowledged. A counter is raised in the process that saw the
value; another proxy may still hold a range around it, and then gets a duplicate key error, never a lost row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from proxy.errors import AutoIncrementFailed
from proxy.routing.catalog import Catalog
from proxy.routing.control import integer
from proxy.routing.sequence_rows import put_statement, take_statements
from proxy.routing.table_facts import TableId
from proxy.routing.tables import Table
from tso.types import ShardName
from txguard.engine.shard import ConnectionLost, Rows, Shard, ShardUnavailable, borrow
from txguard.errors import ShardDown

FIRST_RANGE: Final = 1_000
LARGEST_RANGE: Final = 64_000
_GROWS_WITHIN_S: Final = 1.0

LARGEST_NOTED: Final = 2**63
"""A client's own value above it does not raise the counter further: there must be room for ranges."""


@dataclass(slots=True)
class _Range:
    """Values `next` to `end` - 1 are this process's to give."""

    next: int = 1
    end: int = 1
    size: int = FIRST_RANGE
    taken_at: float = float("-inf")
    created_ts: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def give(self, count: int) -> int | None:
        """The first of `count` values, None when fewer are left."""
        if self.end - self.next < count:
            return None
        first = self.next
        self.next += count
        return first


@dataclass(frozen=True, slots=True)
class SequenceStatistics:
    """Values taken from the counter and not given yet, by `schema.table`."""

    left: Mapping[str, int]


class Sequences:
    def __init__(
        self,
        shards: Mapping[ShardName, Shard],
        catalog: Callable[[], Catalog],
        clock: Callable[[], float],
        *,
        timeout_s: float = 5.0,
    ) -> None:
        """`catalog` gives the current one; `clock` is monotonic, in seconds."""
        self._shards, self._catalog, self._clock = shards, catalog, clock
        self._timeout_s = timeout_s
        self._ranges: dict[TableId, _Range] = {}

    def allocate_nowait(self, table: Table, count: int) -> int | None:
        """The first of `count` values in a row, from the range at hand. None: await `allocate`."""
        values = self._ranges.get((table.schema, table.name))
        if values is None or values.created_ts != table.created_ts:
            return None
        return values.give(count)

    async def allocate(self, table: Table, count: int) -> int:
        """The first of `count` values in a row. Raises ShardDown, AutoIncrementFailed."""
        values = self._range(table)
        async with values.lock:
            while (first := values.give(count)) is None:
                await self._take(table, values, count)
            return first

    async def note_explicit(self, table: Table, value: int) -> None:
        """A client gives its own value: nothing up to it will be given any more. Raises as `allocate`.

        Beyond the range at hand a new one is taken above the value, so that clients who count themselves do not
        wait for the counter each time.
        """
        value = min(value, LARGEST_NOTED)
        values = self._range(table)
        if value >= values.end:
            async with values.lock:
                if value >= values.end:
                    await self._take(table, values, 1, above=value)
        values.next = max(values.next, value + 1)

    async def begin(self, schema: str, name: str, first: int) -> None:
        """Create the counter, or begin it again (TRUNCATE). Raises ShardDown."""
        self.forget(schema, name)
        await self._run_at(self._home(schema, name), [put_statement(schema, name, first)])

    def forget(self, schema: str, name: str) -> None:
        """Give no value of the range at hand any more."""
        self._ranges.pop((schema, name), None)

    def statistics(self) -> SequenceStatistics:
        return SequenceStatistics(
            {f"{schema}.{name}": values.end - values.next for (schema, name), values in self._ranges.items()}
        )

    def _range(self, table: Table) -> _Range:
        """The table's range; one that belongs to an earlier table of this name is thrown away."""
        values = self._ranges.get((table.schema, table.name))
        if values is None or values.created_ts != table.created_ts:
            values = self._ranges[table.schema, table.name] = _Range(created_ts=table.created_ts)
        return values

    async def _take(self, table: Table, values: _Range, count: int, above: int = 0) -> None:
        """Take a new range from the counter; what is left of the old one is given up unless they adjoin."""
        now = self._clock()
        quick = now - values.taken_at < _GROWS_WITHIN_S
        values.size = min(values.size * 2, LARGEST_RANGE) if quick else FIRST_RANGE
        size = max(values.size, count)
        taken, answer = await self._run(table, take_statements(table.schema, table.name, size, above))
        if taken.affected_rows != 1:
            raise AutoIncrementFailed(f"the AUTO_INCREMENT counter of {table.schema}.{table.name} is missing")
        first = integer(answer.rows[0][0])
        if first != values.end:
            values.next = first
        values.end = first + size
        values.taken_at = now

    async def _run(self, table: Table, statements: list[str]) -> list[Rows]:
        return await self._run_at(self._home(table.schema, table.name), statements)

    async def _run_at(self, home: ShardName, statements: list[str]) -> list[Rows]:
        try:
            async with borrow(self._shards[home], self._timeout_s) as connection:
                return await connection.run(statements, self._timeout_s)
        except (ShardUnavailable, ConnectionLost) as error:
            raise ShardDown(f"shard {home}, which keeps the AUTO_INCREMENT counter: {error}") from error

    def _home(self, schema: str, name: str) -> ShardName:
        return self._catalog().slots.home_of_name(schema, name)
