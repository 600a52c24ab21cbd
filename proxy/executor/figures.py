"""The figures of an OK packet, and how those of several shards become one statement's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_INFO = re.compile(rb"([A-Za-z][A-Za-z ]*): (\d+)")


@dataclass(frozen=True, slots=True)
class Figures:
    """`info` as the manual has it: "Rows matched: 1  Changed: 1  Warnings: 0", "Records: 2  Duplicates: 0 …"."""

    affected_rows: int = 0
    last_insert_id: int = 0
    warnings: int = 0
    info: bytes = b""


def summed(parts: Sequence[Figures], *, last_insert_id: int | None = None) -> Figures:
    """Counts add up. `last_insert_id`: the first generated value, when it is known; else the first shard's."""
    if last_insert_id is None:
        last_insert_id = next((part.last_insert_id for part in parts if part.last_insert_id), 0)
    return Figures(
        sum(part.affected_rows for part in parts),
        last_insert_id,
        sum(part.warnings for part in parts),
        _summed_info([part.info for part in parts if part.info]),
    )


def _summed_info(infos: Sequence[bytes]) -> bytes:
    """The same words with the numbers added up, in the order of the first."""
    if len(infos) <= 1:
        return infos[0] if infos else b""
    totals: dict[bytes, int] = {}
    for info in infos:
        for label, number in _INFO.findall(info):
            totals[label] = totals.get(label, 0) + int(number)
    return b"  ".join(b"%s: %d" % item for item in totals.items())


def insert_info(rows: int, parts: Sequence[Figures]) -> bytes:
    """A multi-row INSERT that was split may leave one row to a shard, which then says nothing: say it for all."""
    if rows < 2:
        return b""
    duplicates = sum(
        int(n) for part in parts for label, n in _INFO.findall(part.info) if label == b"Duplicates"
    )
    warnings = sum(part.warnings for part in parts)
    return b"Records: %d  Duplicates: %d  Warnings: %d" % (rows, duplicates, warnings)
