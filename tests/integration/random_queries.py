"""Random SELECTs over the tables of `differential_queries`, from a seed: aggregates, groups, orders, limits, joins.

Only such whose answer is one on every server. Left out: values that are equal but print differently (a group's
representative is any of them), sums of doubles, LIMIT without a total order; arithmetic of unsigned columns (1690 where
one server computes what another need not); groups by an expression of decimals, whose NULLs MariaDB 10.11 mixes up.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")
Columns = Mapping[str, Sequence[str]]
"""By kind: int, dec, text, date, time, exotic (nothing is computed with it)."""

_PEOPLE: Final[Columns] = {
    "int": ("p.id", "p.age", "p.country", "CAST(p.tiny AS SIGNED)", "CAST(p.vintage AS SIGNED)"),
    "dec": ("p.money", "p.fine"),
    "text": ("p.name", "p.code", "p.nick"),
    "date": ("p.born",),
    "time": ("p.seen", "p.lap"),
    "exotic": ("p.grade", "p.tags", "p.raw", "p.weight", "p.height"),
}
_ORDERS: Final[Columns] = {"int": ("o.person_id", "o.n"), "dec": ("o.total",), "text": ("o.item",)}
_COUNTRIES: Final[Columns] = {"int": ("c.id",), "text": ("c.name",)}
_WORDS: Final[Columns] = {"int": ("w.x",), "text": ("w.w",)}


def _union(*several: Columns) -> Columns:
    kinds = dict.fromkeys(kind for columns in several for kind in columns)
    return {kind: [name for columns in several for name in columns.get(kind, ())] for kind in kinds}


@dataclass(frozen=True, slots=True)
class _Source:
    text: str
    columns: Columns
    key: Sequence[str]
    """Orders its rows totally."""


_JOINED = _union(_PEOPLE, _ORDERS)
_SOURCES: Final = (
    *3 * (_Source("people p", _PEOPLE, ("p.id",)),),
    _Source("people p JOIN orders o ON p.id = o.person_id", _JOINED, ("p.id", "o.n")),
    _Source("people p LEFT JOIN orders o ON o.person_id = p.id", _JOINED, ("p.id", "o.n")),
    _Source("people p JOIN orders o ON p.id = o.person_id AND o.n > 1", _JOINED, ("p.id", "o.n")),
    _Source("people p LEFT JOIN countries c ON c.id = p.country", _union(_PEOPLE, _COUNTRIES), ("p.id",)),
    _Source(
        "people p JOIN orders o ON p.id = o.person_id LEFT JOIN countries c ON c.id = p.country",
        _union(_JOINED, _COUNTRIES),
        ("p.id", "o.n"),
    ),
    _Source("orders o", _ORDERS, ("o.person_id", "o.n")),
    _Source("words w", _WORDS, ("w.w",)),
)


@dataclass(frozen=True, slots=True)
class RandomQuery:
    sql: str
    ordered: bool
    """Whether the order of the rows is part of the answer."""


class QueryMaker:
    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._source = _SOURCES[0]

    def make(self) -> RandomQuery:
        self._source = self._rng.choice(_SOURCES)
        makers = (
            self._rows,
            self._rows,
            self._total,
            self._groups,
            self._groups,
            self._distinct,
            self._subquery,
        )
        return self._rng.choice(makers)()

    # ---------------------------------------------------------------- statements

    def _rows(self) -> RandomQuery:
        sql = f"SELECT {', '.join(self._several(self._any))} FROM {self._from()}"
        if self._rng.random() < 0.4:
            return RandomQuery(sql, ordered=False)
        keys = [*self._several(self._sort_key, least=0), *self._source.key]
        return RandomQuery(sql + self._order(keys), ordered=True)

    def _total(self) -> RandomQuery:
        return RandomQuery(
            f"SELECT {', '.join(self._several(self._aggregate))} FROM {self._from()}", ordered=False
        )

    def _groups(self) -> RandomQuery:
        groups = list(dict.fromkeys(self._several(self._plain, most=2)))
        items = [*groups, *self._several(self._aggregate, most=2)]
        if self._rng.random() < 0.15:
            del items[: len(groups)]
        sql = f"SELECT {', '.join(items)} FROM {self._from()} GROUP BY {', '.join(groups)}"
        if self._rng.random() < 0.3:
            sql += f" HAVING {self._inner_aggregate()} {self._pick('>', '<', '>=', '=')} {self._number(0, 6)}"
        if self._rng.random() < 0.5:
            return RandomQuery(sql, ordered=False)
        keys = [self._inner_aggregate(), *groups] if self._rng.random() < 0.5 else groups
        return RandomQuery(sql + self._order(keys), ordered=True)

    def _distinct(self) -> RandomQuery:
        items = self._several(self._plain, most=2)
        sql = f"SELECT DISTINCT {', '.join(items)} FROM {self._from()}"
        if self._rng.random() < 0.5:
            return RandomQuery(sql, ordered=False)
        return RandomQuery(sql + self._order(items), ordered=True)

    def _subquery(self) -> RandomQuery:
        self._source = _SOURCES[0]
        condition = self._pick(
            "EXISTS (SELECT 1 FROM orders s WHERE s.person_id = p.id AND s.n > 1)",
            "p.country IN (SELECT s.id FROM countries s)",
            "NOT EXISTS (SELECT 1 FROM orders s WHERE s.person_id = p.id)",
            "p.age > (SELECT COUNT(*) FROM countries)",
        )
        items = self._pick(
            "COUNT(*), SUM(p.age)", "p.id, (SELECT MAX(s.total) FROM orders s WHERE s.person_id = p.id)"
        )
        return RandomQuery(
            f"SELECT {items} FROM people p WHERE {condition} AND {self._condition()}", ordered=False
        )

    def _from(self) -> str:
        where = f" WHERE {self._condition()}" if self._rng.random() < 0.7 else ""
        return self._source.text + where

    def _order(self, keys: Sequence[str]) -> str:
        order = ", ".join(key + self._pick("", " ASC", " DESC") for key in keys)
        if self._rng.random() < 0.5:
            return f" ORDER BY {order}"
        offset = f" OFFSET {self._number(0, 9)}" if self._rng.random() < 0.4 else ""
        return f" ORDER BY {order} LIMIT {self._number(1, 12)}{offset}"

    # ---------------------------------------------------------------- aggregates

    def _aggregate(self) -> str:
        kind = self._rng.randrange(10)
        if kind == 0:
            return f"{self._pick('BIT_OR', 'BIT_AND', 'BIT_XOR')}({self._column('int')})"
        if kind == 1:
            return f"AVG({self._pick(self._int, self._dec)(1)})"
        if kind == 2:
            return f"({self._inner_aggregate()} {self._pick('+', '-', '*')} {self._pick('2', self._inner_aggregate())})"
        return self._inner_aggregate()

    def _inner_aggregate(self) -> str:
        kind = self._rng.randrange(8)
        if kind == 0:
            return "COUNT(*)"
        if kind == 1:
            return f"COUNT({self._any(1)})"
        if kind == 2:
            return f"COUNT(DISTINCT {self._pick(self._int, self._text, self._plain)(1)})"
        if kind == 3:
            return f"SUM({self._int(1)})"
        if kind == 4:
            return f"SUM({self._dec(1)})"
        if kind == 5:
            return f"{self._pick('IFNULL', 'COALESCE')}(SUM({self._int(1)}), 0)"
        return f"{self._pick('MIN', 'MAX')}({self._column('int', 'dec')})"

    # ---------------------------------------------------------------- expressions

    def _any(self, depth: int = 2) -> str:
        exotic = self._column("exotic", "date", "time") or self._column("text")
        return self._pick(self._int(depth), self._int(depth), self._dec(depth), self._text(depth), exotic)

    def _plain(self, depth: int = 2) -> str:
        """Equal values print alike."""
        return self._pick(
            self._computed_int(depth), self._column("int", "dec"), self._column("int", "date", "time")
        )

    def _sort_key(self) -> str:
        return self._no_position(self._any())

    def _computed_int(self, depth: int) -> str:
        return self._no_position(self._int(depth))

    def _no_position(self, made: str) -> str:
        """A bare number in ORDER BY would be one."""
        return made if not made.lstrip("-").isdigit() else self._column("int")

    def _int(self, depth: int) -> str:
        kind = self._rng.randrange(12) if depth else self._rng.randrange(4)
        if kind < 3:
            return self._column("int")
        if kind == 3:
            return str(self._number(-3, 9))
        if kind == 4:
            return f"({self._int(depth - 1)} {self._pick('+', '-')} {self._int(depth - 1)})"
        if kind == 5:
            return f"({self._int(depth - 1)} {self._pick('* 3', '* -2', 'DIV 3', '% 4')})"
        if kind == 6:
            return f"ABS({self._int(depth - 1)})"
        if kind == 7:
            return f"CHAR_LENGTH({self._text(depth - 1)})"
        if kind == 8:
            condition = self._condition(depth - 1)
            return f"CASE WHEN {condition} THEN {self._int(depth - 1)} ELSE {self._int(depth - 1)} END"
        if kind == 9:
            return f"{self._pick('IFNULL', 'COALESCE')}({self._int(depth - 1)}, {self._number(0, 3)})"
        if kind == 10:
            return f"IF({self._condition(depth - 1)}, {self._int(depth - 1)}, {self._int(depth - 1)})"
        return f"{self._pick('YEAR', 'MONTH')}({self._column('date') or 'NULL'})"

    def _dec(self, depth: int) -> str:
        column = self._column("dec")
        if not column:
            return self._int(depth)
        if not depth:
            return column
        made = self._dec(depth - 1)
        return self._pick(
            column, f"({made} + {column})", f"ROUND({made}, 1)", f"IFNULL({made}, 0.5)", f"({made} * 3)"
        )

    def _text(self, depth: int) -> str:
        column = self._column("text")
        if not depth:
            return column
        made = self._text(depth - 1)
        return self._pick(
            column,
            f"CONCAT({made}, 'x')",
            f"{self._pick('UPPER', 'LOWER', 'TRIM', 'REVERSE')}({made})",
            f"LEFT({made}, {self._number(1, 4)})",
            f"CAST({self._int(depth - 1)} AS CHAR)",
            f"IFNULL({made}, '-')",
            f"CASE WHEN {self._condition(depth - 1)} THEN {made} ELSE 'e' END",
        )

    def _condition(self, depth: int = 2) -> str:
        kind = self._rng.randrange(10) if depth else self._rng.randrange(6)
        if kind < 3:
            return f"{self._int(0)} {self._pick('<', '>', '=', '<=', '>=', '<>', '<=>')} {self._int(0)}"
        if kind == 3:
            return f"{self._any(0)} IS {self._pick('', 'NOT ')}NULL"
        if kind == 4:
            literal = self._pick("'a%'", "'x'", "'anna'")
            return f"{self._column('text')} {self._pick('=', '<', '>', 'LIKE')} {literal}"
        if kind == 5:
            numbers = ", ".join(str(self._number(0, 9)) for _ in range(self._number(1, 5)))
            return f"{self._int(0)} IN ({numbers})"
        if kind == 6:
            return f"{self._dec(1)} BETWEEN {self._number(-5, 2)} AND {self._number(2, 50)}"
        if kind == 7:
            return f"NOT ({self._condition(depth - 1)})"
        return f"({self._condition(depth - 1)} {self._pick('AND', 'OR', 'XOR')} {self._condition(depth - 1)})"

    # ---------------------------------------------------------------- choices

    def _column(self, *kinds: str) -> str:
        """Empty where there is none of these kinds."""
        names = [name for kind in kinds for name in self._source.columns.get(kind, ())]
        return self._rng.choice(names) if names else ""

    def _pick(self, *choices: T) -> T:
        return self._rng.choice(choices)

    def _number(self, least: int, beyond: int) -> int:
        return self._rng.randrange(least, beyond)

    def _several(self, make: Callable[[], str], *, least: int = 1, most: int = 3) -> list[str]:
        return [make() for _ in range(self._rng.randint(least, most))]
