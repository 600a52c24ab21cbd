"""What a client was told of its transfers: acknowledged, failed, or unknown. One file per worker.

A line is written after the answer came and before the next transfer begins, so a transfer that no line names
is at most the worker's last one.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self


class Outcome(enum.Enum):
    ACKNOWLEDGED = "A"
    FAILED = "F"
    UNKNOWN = "U"


@dataclass(frozen=True, slots=True)
class Entry:
    """`id` is made by the client, unique over all of them."""

    outcome: Outcome
    id: int
    source: int


class Journal:
    """Append-only; a context manager."""

    def __init__(self, folder: Path, worker: str) -> None:
        self._file = (folder / f"{worker}.journal").open("a", encoding="ascii", buffering=1)

    def write(self, outcome: Outcome, transfer_id: int, source: int) -> None:
        self._file.write(f"{outcome.value} {transfer_id} {source}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def read_journals(folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.glob("*.journal")):
        for line in path.read_text(encoding="ascii").splitlines():
            outcome, transfer_id, source = line.split()
            yield Entry(Outcome(outcome), int(transfer_id), int(source))
