"""What clients asked for and what they were told, and its form on disk.

Owns `Event`, `Operation` and `History`. The rule: an outcome that the client does not know for certain is INFO, and
an operation without a completion is INFO too; only what certainly had no effect is FAIL. Values are JSON (lists,
numbers, strings, None), so that a history that was read back is the one that was written.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.torture.anomalies import Level

FORMAT: Final = 1


class Outcome(enum.Enum):
    OK = "ok"
    FAIL = "fail"
    INFO = "info"


INVOKE: Final = "invoke"
COMMITTED: Final = "committed"
ROLLED_BACK: Final = "rolled back"
LEARNT: Final = {COMMITTED: Outcome.OK, ROLLED_BACK: Outcome.FAIL}
"""What was unknown when it ended, and was asked for later. It is not known when it happened."""


@dataclass(frozen=True, slots=True)
class Event:
    """An invocation or a completion. `at_s` is monotonic, from any origin."""

    at_s: float
    process: int
    type: str
    """`invoke`, an Outcome's value, or one of LEARNT."""
    f: str
    """What kind of operation: the workload's own word."""
    value: Any
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """An invocation with its completion. `value` is the completion's; for INFO what is known of it."""

    index: int
    process: int
    f: str
    value: Any
    outcome: Outcome
    invoked_s: float
    completed_s: float
    """Infinity where nobody knows whether it is over."""
    error: str | None = None

    @property
    def ok(self) -> bool:
        return self.outcome is Outcome.OK

    def before(self, other: Operation) -> bool:
        """It was acknowledged before the other one began."""
        return self.ok and self.completed_s < other.invoked_s


@dataclass(frozen=True, slots=True)
class Header:
    """Which workload made the history, and what its checker has to know."""

    workload: str
    level: Level
    seed: int
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class History:
    header: Header
    operations: tuple[Operation, ...]

    def of(self, *kinds: str) -> list[Operation]:
        return [operation for operation in self.operations if operation.f in kinds]

    def acknowledged(self, *kinds: str) -> list[Operation]:
        return [operation for operation in self.of(*kinds) if operation.ok]


class Recorder:
    """Takes events in as they happen; `clock` gives monotonic seconds."""

    def __init__(self, header: Header, clock: Callable[[], float]) -> None:
        self.header = header
        self.events: list[Event] = []
        self._clock = clock

    def invoke(self, process: int, f: str, value: Any) -> None:
        self.events.append(Event(self._clock(), process, INVOKE, f, value))

    def complete(self, process: int, outcome: Outcome, f: str, value: Any, error: str | None = None) -> None:
        self.events.append(Event(self._clock(), process, outcome.value, f, value, error))

    def learn(self, completion: int, verdict: str) -> None:
        """What became of it after all, by the place of its completion among the events."""
        event = self.events[completion]
        assert event.type == Outcome.INFO.value and verdict in LEARNT
        self.events[completion] = dataclasses.replace(event, type=verdict)

    def history(self) -> History:
        return History(self.header, tuple(pair(self.events)))


def pair(events: Iterable[Event]) -> list[Operation]:
    """Invocations with their completions, in the order of the invocations."""
    operations: list[Operation] = []
    open_: dict[int, tuple[int, Event]] = {}
    for event in events:
        if event.type == INVOKE:
            assert event.process not in open_, f"process {event.process} did two things at once"
            open_[event.process] = (len(operations), event)
            operations.append(_operation(len(operations), event, None))
        else:
            index, invocation = open_.pop(event.process)
            operations[index] = _operation(index, invocation, event)
    return operations


def _operation(index: int, invocation: Event, completion: Event | None) -> Operation:
    last = completion or invocation
    outcome, completed_s = Outcome.INFO, math.inf
    if completion is not None:
        outcome = LEARNT.get(completion.type) or Outcome(completion.type)
        if completion.type in (Outcome.OK.value, Outcome.FAIL.value):
            completed_s = completion.at_s
    return Operation(
        index=index,
        process=invocation.process,
        f=invocation.f,
        value=last.value,
        outcome=outcome,
        invoked_s=invocation.at_s,
        completed_s=completed_s,
        error=last.error,
    )


def to_lines(header: Header, events: Iterable[Event]) -> Iterator[str]:
    """JSON lines: the header, then every event."""
    yield json.dumps(
        {
            "format": FORMAT,
            "workload": header.workload,
            "level": header.level.value,
            "seed": header.seed,
            "parameters": dict(header.parameters),
        }
    )
    for event in events:
        line = {"at_s": round(event.at_s, 6), "process": event.process, "type": event.type, "f": event.f}
        line["value"] = event.value
        if event.error is not None:
            line["error"] = event.error
        yield json.dumps(line)


def from_lines(lines: Iterable[str]) -> History:
    """Raises ValueError for a form that this version does not read."""
    rows = (json.loads(line) for line in lines if line.strip())
    head: dict[str, Any] = next(rows, {})
    if head.get("format") != FORMAT:
        raise ValueError(f"not a history of format {FORMAT}")
    header = Header(head["workload"], Level(head["level"]), head["seed"], head["parameters"])
    events = [
        Event(row["at_s"], row["process"], row["type"], row["f"], row["value"], row.get("error"))
        for row in rows
    ]
    return History(header, tuple(pair(events)))


def save(path: Path, recorder: Recorder) -> None:
    path.write_text("".join(f"{line}\n" for line in to_lines(recorder.header, recorder.events)))


def load(path: Path) -> History:
    with path.open() as lines:
        return from_lines(lines)
