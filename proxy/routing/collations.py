"""Which collations a shard key may have, and the canonical form of text under them.

Owns: `COLLATIONS`, the list of what has been proved; `WeightTable`, the weights of the 128 ASCII characters
under one collation; the SQL that asks a server for weights.

Rule: two strings are equal under a collation exactly when their weight strings are, apart from trailing
weights of the space where the collation pads (PAD SPACE). That, and that an ASCII string's weight string is
made of its characters' own weights, level by level, has been checked on MariaDB 10.11 and MySQL 9.7 for each
collation listed (tests/integration/test_routing_hash.py). It does not hold for MariaDB's accent-sensitive
uca1400 collations, whose levels are not separated; languages' own collations have contractions (`ch`, `ll`).
They are not listed.
Source: MySQL Reference Manual, 14.8 "WEIGHT_STRING()"; Unicode Technical Standard 10.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.routing.values import WeightQuestion
from txguard.engine.shard import Value

ASCII: Final = 128
_LEVEL_SEPARATOR: Final = b"\0\0"


class Weights(enum.Enum):
    """Where the canonical form of a string comes from."""

    CODE_POINTS = "its own characters"
    TABLE = "its weight string"
    LEVELS = "its weight string, whose levels are separated by a zero weight of two bytes"


@dataclass(frozen=True, slots=True)
class Collation:
    """`character_set` as Python can tell what fits into it; `pads`: trailing spaces do not count."""

    name: str
    character_set: str
    weights: Weights
    pads: bool


def _collations() -> Iterable[Collation]:
    for character_set in ("utf8mb4", "utf8mb3", "latin1", "ascii"):
        yield Collation(f"{character_set}_bin", character_set, Weights.CODE_POINTS, pads=True)
        yield Collation(f"{character_set}_nopad_bin", character_set, Weights.CODE_POINTS, pads=False)
    for character_set in ("utf8mb4", "utf8mb3"):
        for name in ("general", "unicode", "unicode_520", "uca1400_ai"):
            full = f"{character_set}_{name}" if name == "uca1400_ai" else f"{character_set}_{name}_ci"
            full = full.replace("uca1400_ai", "uca1400_ai_ci")
            yield Collation(full, character_set, Weights.TABLE, pads=True)
        for name in ("general_nopad_ci", "unicode_nopad_ci", "uca1400_nopad_ai_ci"):
            yield Collation(f"{character_set}_{name}", character_set, Weights.TABLE, pads=False)
    yield Collation("utf8mb4_0900_ai_ci", "utf8mb4", Weights.TABLE, pads=False)
    yield Collation("utf8mb4_0900_as_ci", "utf8mb4", Weights.LEVELS, pads=False)
    yield Collation("utf8mb4_0900_as_cs", "utf8mb4", Weights.LEVELS, pads=False)
    yield Collation("utf8mb4_0900_bin", "utf8mb4", Weights.CODE_POINTS, pads=False)
    for name in ("latin1_swedish_ci", "latin1_general_ci"):
        yield Collation(name, "latin1", Weights.TABLE, pads=True)
    yield Collation("ascii_general_ci", "ascii", Weights.TABLE, pads=True)


COLLATIONS: Final = {collation.name: collation for collation in _collations()}
"""By the name that information_schema.COLUMNS gives; `utf8_…` is the old name of `utf8mb3_…`."""


def find_collation(name: str) -> Collation | None:
    """The supported collation of this name, None when a shard key cannot have it."""
    return COLLATIONS.get(f"utf8mb3_{name[5:]}" if name.startswith("utf8_") else name)


@dataclass(frozen=True, slots=True)
class WeightTable:
    """The weights of the ASCII characters: `levels[l][c]` are the bytes of character c on level l.

    `pad` is the weight that trailing spaces add, empty where they count.
    """

    collation: str
    levels: tuple[tuple[bytes, ...], ...]
    pad: bytes

    @classmethod
    def from_weights(cls, collation: Collation, weights: Sequence[bytes]) -> WeightTable:
        """From the weight strings of the 128 one-character strings. Raises ValueError."""
        if len(weights) != ASCII:
            raise ValueError(f"{collation.name}: {len(weights)} weights instead of {ASCII}")
        if collation.weights is Weights.LEVELS:
            split = [_split_levels(weight) for weight in weights]
            if len({len(levels) for levels in split}) != 1:
                raise ValueError(f"{collation.name}: characters differ in their number of levels")
            levels = tuple(tuple(column) for column in zip(*split, strict=True))
        else:
            levels = (tuple(weights),)
        return cls(collation.name, levels, weights[ord(" ")] if collation.pads else b"")

    def canonical_ascii(self, text: bytes) -> bytes:
        """The canonical form of an ASCII string."""
        if len(self.levels) == 1:
            level = self.levels[0]
            return self.trim(b"".join([level[char] for char in text]))
        return _LEVEL_SEPARATOR.join([b"".join([level[char] for char in text]) for level in self.levels])

    def trim(self, weight: bytes) -> bytes:
        """A weight string without the weights that trailing spaces add."""
        width = len(self.pad)
        if width == 0 or not weight.endswith(self.pad):
            return weight
        end = len(weight)
        while end >= width and end % width == 0 and weight[end - width : end] == self.pad:
            end -= width
        return weight[:end]


def _split_levels(weight: bytes) -> tuple[bytes, ...]:
    """One character's weight string, cut at each zero weight."""
    levels: list[list[bytes]] = [[]]
    for start in range(0, len(weight), 2):
        unit = weight[start : start + 2]
        if unit == _LEVEL_SEPARATOR:
            levels.append([])
        else:
            levels[-1].append(unit)
    return tuple(b"".join(level) for level in levels)


def table_query(collations: Iterable[Collation]) -> str:
    """One row for each collation: its name, then the weights of the 128 characters in hexadecimal."""
    return " UNION ALL ".join(
        f"SELECT '{collation.name}', {', '.join(_weight(collation, chr(char)) for char in range(ASCII))}"
        for collation in collations
    )


def read_tables(rows: Iterable[Sequence[Value]]) -> dict[str, WeightTable]:
    """The answer to `table_query`, by collation."""
    tables = {}
    for name, *weights in rows:
        collation = COLLATIONS[_text(name)]
        tables[collation.name] = WeightTable.from_weights(
            collation, [bytes.fromhex(_text(weight)) for weight in weights]
        )
    return tables


def weight_query(question: WeightQuestion) -> str:
    """One row, one column: the weight string of one text in hexadecimal, NULL when it is too long."""
    return f"SELECT {_weight(COLLATIONS[question.collation], question.text)}"


def read_weight(value: Value) -> bytes | None:
    return None if value is None else bytes.fromhex(_text(value))


def _weight(collation: Collation, text: str) -> str:
    """The text goes as bytes, so that neither the session's character set nor its quoting rules matter."""
    sent = f"CONVERT(x'{text.encode().hex()}' USING utf8mb4)"
    if collation.character_set != "utf8mb4":
        sent = f"CONVERT({sent} USING {collation.character_set})"
    return f"HEX(WEIGHT_STRING({sent} COLLATE {collation.name}))"


def _text(value: Value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
