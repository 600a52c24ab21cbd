"""Hermitage's list as schedules: who says what in which order, and what of it would be the anomaly.

Three clients each begin a transaction, on rows `a` with the value 10 and `b` with 20; `c` and `d` are keys of no row.
A statement that must wait holds up its own client's later ones only; a client that met an error says no more.
Source: Martin Kleppmann, "Hermitage"; Adya, "Weak Consistency"; Fekete et al., "A Read-Only Transaction Anomaly".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(slots=True)
class Seen:
    """What came of a schedule. `answers`: the first column of each labelled SELECT, by row."""

    answers: dict[str, list[int]] = field(default_factory=dict)
    errors: dict[int, int] = field(default_factory=dict)
    """The client to its error's number; whoever is not here has committed, or rolled back as it wanted."""
    final: dict[int, int] = field(default_factory=dict)
    a: int = 0
    b: int = 0
    c: int = 0

    def committed(self, *clients: int) -> bool:
        return not any(client in self.errors for client in clients)

    def answer(self, label: str) -> list[int]:
        """Empty also where the statement was never made."""
        return self.answers.get(label, [])


class Step(NamedTuple):
    client: int
    label: str
    sql: str


@dataclass(frozen=True, slots=True)
class Schedule:
    text: str
    anomaly: Callable[[Seen], bool]

    def steps(self) -> list[Step]:
        found = (re.fullmatch(r"\s*([123]) (?:([a-z]+): )?(.+)", line) for line in self.text.splitlines())
        return [Step(int(step[1]), step[2] or "", step[3]) for step in found if step is not None]


def _goes_back(seen: Seen) -> bool:
    """Whether T3 saw T1 or T2 and, later, what had been before it."""
    ages = {10: 0, 11: 1, 12: 2, 20: 0, 19: 1, 18: 2}
    order = [ages[value] for label in ("first", "second", "third", "fourth") for value in seen.answer(label)]
    return order != sorted(order)


HERMITAGE = {
    "G0": Schedule(
        """
        1 UPDATE {t} SET value = 11 WHERE id = {a}
        2 UPDATE {t} SET value = 12 WHERE id = {a}
        1 UPDATE {t} SET value = 21 WHERE id = {b}
        1 COMMIT
        2 UPDATE {t} SET value = 22 WHERE id = {b}
        2 COMMIT
        """,
        lambda seen: (seen.final[seen.a], seen.final[seen.b]) != (12, 22),
    ),
    "G1a": Schedule(
        """
        1 UPDATE {t} SET value = 101 WHERE id = {a}
        2 first: SELECT value FROM {t} WHERE id = {a}
        1 ROLLBACK
        2 second: SELECT value FROM {t} WHERE id = {a}
        2 COMMIT
        """,
        lambda seen: 101 in seen.answer("first") + seen.answer("second"),
    ),
    "G1b": Schedule(
        """
        1 UPDATE {t} SET value = 101 WHERE id = {a}
        2 first: SELECT value FROM {t} WHERE id = {a}
        1 UPDATE {t} SET value = 11 WHERE id = {a}
        1 COMMIT
        2 second: SELECT value FROM {t} WHERE id = {a}
        2 COMMIT
        """,
        lambda seen: 101 in seen.answer("first") + seen.answer("second"),
    ),
    "G1c": Schedule(
        """
        1 UPDATE {t} SET value = 11 WHERE id = {a}
        2 UPDATE {t} SET value = 22 WHERE id = {b}
        1 first: SELECT value FROM {t} WHERE id = {b}
        2 second: SELECT value FROM {t} WHERE id = {a}
        1 COMMIT
        2 COMMIT
        """,
        lambda seen: seen.committed(1, 2) and seen.answer("first") == [22] and seen.answer("second") == [11],
    ),
    "OTV": Schedule(
        """
        1 UPDATE {t} SET value = 11 WHERE id = {a}
        1 UPDATE {t} SET value = 19 WHERE id = {b}
        2 UPDATE {t} SET value = 12 WHERE id = {a}
        1 COMMIT
        3 first: SELECT value FROM {t} WHERE id = {a}
        2 UPDATE {t} SET value = 18 WHERE id = {b}
        3 second: SELECT value FROM {t} WHERE id = {b}
        2 COMMIT
        3 third: SELECT value FROM {t} WHERE id = {b}
        3 fourth: SELECT value FROM {t} WHERE id = {a}
        3 COMMIT
        """,
        _goes_back,
    ),
    "PMP": Schedule(
        """
        1 first: SELECT id FROM {t} WHERE value = 30
        2 INSERT INTO {t} VALUES ({c}, 30)
        2 COMMIT
        1 second: SELECT id FROM {t} WHERE value % 3 = 0
        1 COMMIT
        """,
        lambda seen: seen.answer("second") == [seen.c],
    ),
    "PMP of a write": Schedule(
        """
        1 UPDATE {t} SET value = value + 10
        2 first: SELECT id FROM {t} WHERE value = 20
        2 DELETE FROM {t} WHERE value = 20
        1 COMMIT
        2 COMMIT
        """,
        lambda seen: seen.committed(2) and seen.answer("first") == [seen.b] and seen.a not in seen.final,
    ),
    "P4": Schedule(
        """
        1 first: SELECT value FROM {t} WHERE id = {a}
        2 second: SELECT value FROM {t} WHERE id = {a}
        1 UPDATE {t} SET value = 11 WHERE id = {a}
        2 UPDATE {t} SET value = 12 WHERE id = {a}
        1 COMMIT
        2 COMMIT
        """,
        lambda seen: seen.committed(1, 2) and seen.answer("first") == seen.answer("second") == [10],
    ),
    "G-single": Schedule(
        """
        1 first: SELECT value FROM {t} WHERE id = {a}
        2 SELECT value FROM {t} WHERE id IN ({a}, {b})
        2 UPDATE {t} SET value = 12 WHERE id = {a}
        2 UPDATE {t} SET value = 18 WHERE id = {b}
        2 COMMIT
        1 second: SELECT value FROM {t} WHERE id = {b}
        1 COMMIT
        """,
        lambda seen: seen.answer("first") == [10] and seen.answer("second") == [18],
    ),
    "G-single of a write": Schedule(
        """
        1 first: SELECT value FROM {t} WHERE id = {a}
        2 SELECT value FROM {t} WHERE id IN ({a}, {b})
        2 UPDATE {t} SET value = 12 WHERE id = {a}
        2 UPDATE {t} SET value = 18 WHERE id = {b}
        2 COMMIT
        1 DELETE FROM {t} WHERE value = 20
        1 COMMIT
        """,
        lambda seen: seen.committed(1, 2) and seen.answer("first") == [10] and seen.final.get(seen.b) == 18,
    ),
    "G2-item": Schedule(
        """
        1 first: SELECT value FROM {t} WHERE id IN ({a}, {b})
        2 second: SELECT value FROM {t} WHERE id IN ({a}, {b})
        1 UPDATE {t} SET value = 11 WHERE id = {a}
        2 UPDATE {t} SET value = 21 WHERE id = {b}
        1 COMMIT
        2 COMMIT
        """,
        lambda seen: (
            seen.committed(1, 2) and sorted(seen.answer("first") + seen.answer("second")) == [10, 10, 20, 20]
        ),
    ),
    "G2": Schedule(
        """
        1 first: SELECT id FROM {t} WHERE value % 3 = 0
        2 second: SELECT id FROM {t} WHERE value % 3 = 0
        1 INSERT INTO {t} VALUES ({c}, 30)
        2 INSERT INTO {t} VALUES ({d}, 42)
        1 COMMIT
        2 COMMIT
        """,
        lambda seen: seen.committed(1, 2) and not seen.answer("first") and not seen.answer("second"),
    ),
    "read-only": Schedule(
        """
        2 first: SELECT value FROM {t} WHERE id IN ({a}, {b})
        1 UPDATE {t} SET value = 40 WHERE id = {b}
        1 COMMIT
        3 second: SELECT value FROM {t} WHERE id IN ({a}, {b}) ORDER BY id = {b}
        3 COMMIT
        2 UPDATE {t} SET value = -1 WHERE id = {a}
        2 COMMIT
        """,
        lambda seen: (
            seen.committed(1, 2, 3)
            and sorted(seen.answer("first")) == [10, 20]
            and seen.answer("second") == [10, 40]
        ),
    ),
}

_READ_COMMITTED = frozenset(HERMITAGE) - {"G0", "G1a", "G1b", "G1c", "OTV"}
_SNAPSHOT_ISOLATION = frozenset({"G2-item", "G2", "read-only"})
_LAX = _SNAPSHOT_ISOLATION | {"PMP of a write", "P4", "G-single of a write"}


class Level(NamedTuple):
    settings: tuple[str, ...]
    allows: frozenset[str]
    """What it allows, here and at the same level of a MySQL or MariaDB server."""


LEVELS = {
    "READ COMMITTED": Level(("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",), _READ_COMMITTED),
    "REPEATABLE READ": Level(
        ("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",), _SNAPSHOT_ISOLATION
    ),
    "lax REPEATABLE READ": Level(
        (
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SET SESSION innodb_snapshot_isolation = OFF",
        ),
        _LAX,
    ),
    "SERIALIZABLE": Level(("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",), frozenset()),
}
OF_A_SERVER = {
    "READ COMMITTED": LEVELS["READ COMMITTED"],
    "REPEATABLE READ": Level(LEVELS["REPEATABLE READ"].settings, _LAX),
    "SERIALIZABLE": LEVELS["SERIALIZABLE"],
}
"""MariaDB before 11.6, and MySQL."""
