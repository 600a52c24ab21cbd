"""What servers have said of collations: the weights of ASCII characters, and weight strings of other texts.

Owns: `ServerWeights`, one for the process. The tables are fetched once for each collation that a shard key
uses; texts that are not ASCII are asked one by one and remembered, within a bound. A collation's weights
never change while a server keeps its version, and all shards run one kind of server (`txguard doctor`), so
any shard may answer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from proxy.routing.collations import (
    Collation,
    WeightTable,
    read_tables,
    read_weight,
    table_query,
    weight_query,
)
from proxy.routing.values import WeightQuestion
from tso.types import ShardName
from txguard.engine.shard import ConnectionLost, Rows, Shard, ShardUnavailable, borrow
from txguard.errors import ShardDown

_REMEMBERED: Final = 4096
_LONGEST_REMEMBERED: Final = 256
"""Characters. Longer keys are asked anew each time, so that memory stays bounded."""


@dataclass(frozen=True, slots=True)
class WeightStatistics:
    collations: tuple[str, ...]
    remembered: int
    asked: int


class ServerWeights:
    def __init__(self, shards: Mapping[ShardName, Shard], timeout_s: float) -> None:
        self._shards = shards
        self._timeout_s = timeout_s
        self._tables: dict[str, WeightTable] = {}
        self._canonical: OrderedDict[WeightQuestion, bytes] = OrderedDict()
        self._answering: ShardName | None = None
        self._asked = 0

    @property
    def tables(self) -> Mapping[str, WeightTable]:
        """By collation, as far as `fetch_tables` has been asked for them."""
        return self._tables

    def statistics(self) -> WeightStatistics:
        return WeightStatistics(tuple(sorted(self._tables)), len(self._canonical), self._asked)

    async def fetch_tables(self, collations: Iterable[Collation]) -> None:
        """Make sure that `tables` holds these. Raises ShardDown when no shard answers."""
        missing = {
            collation.name: collation for collation in collations if collation.name not in self._tables
        }
        if missing:
            answer = await self._ask(table_query(missing.values()))
            self._tables.update(read_tables(answer.rows))

    def canonical_nowait(self, question: WeightQuestion) -> bytes | None:
        """The canonical form of a text, None when a server must be asked (`canonical`)."""
        known = self._canonical.get(question)
        if known is not None:
            self._canonical.move_to_end(question)
        return known

    async def canonical(self, question: WeightQuestion) -> bytes | None:
        """The canonical form of a text. None: it is too long for the server to say. Raises ShardDown."""
        known = self.canonical_nowait(question)
        if known is not None:
            return known
        answer = await self._ask(weight_query(question))
        self._asked += 1
        weight = read_weight(answer.rows[0][0])
        if weight is None:
            return None
        canonical = self._tables[question.collation].trim(weight)
        if len(question.text) <= _LONGEST_REMEMBERED:
            self._canonical[question] = canonical
            if len(self._canonical) > _REMEMBERED:
                self._canonical.popitem(last=False)
        return canonical

    async def _ask(self, query: str) -> Rows:
        """The answer of the first shard that gives one; the last that did is asked first."""
        for name in sorted(self._shards, key=lambda name: name != self._answering):
            try:
                async with borrow(self._shards[name], self._timeout_s) as connection:
                    [answer] = await connection.run([query], self._timeout_s)
            except (ShardUnavailable, ConnectionLost):
                continue
            self._answering = name
            return answer
        raise ShardDown("no shard can be reached to tell how a collation sorts a shard key's value")
