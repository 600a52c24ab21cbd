"""What client processes report to the demo while they run: one JSON object a line, a few a second."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Final

REPORT_INTERVAL_S: Final = 0.25
_ERRORS_KEPT: Final = 50


@dataclass(slots=True)
class Progress:
    """Counts since the last report. Latencies in milliseconds; `errors` are (wall time, text)."""

    transfers: int = 0
    cross_shard: int = 0
    conflicts: int = 0
    unknown: int = 0
    snapshots: int = 0
    local_ms: list[float] = field(default_factory=list)
    cross_ms: list[float] = field(default_factory=list)
    errors: list[tuple[float, str]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def to_line(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_line(cls, line: str | bytes) -> Progress:
        parsed = json.loads(line)
        parsed["errors"] = [(when, text) for when, text in parsed["errors"]]
        return cls(**parsed)


class Reporter:
    """Collects what the workers of this process tell; a thread writes it to stdout."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._progress = Progress()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._report, name="reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what is left."""
        self._ended.set()
        self._thread.join()

    def transferred(self, crosses: bool, elapsed_ms: float) -> None:
        with self._lock:
            self._progress.transfers += 1
            self._progress.cross_shard += crosses
            (self._progress.cross_ms if crosses else self._progress.local_ms).append(round(elapsed_ms, 2))

    def conflict(self, count: int = 1) -> None:
        with self._lock:
            self._progress.conflicts += count

    def unknown(self) -> None:
        with self._lock:
            self._progress.unknown += 1

    def snapshot(self) -> None:
        with self._lock:
            self._progress.snapshots += 1

    def error(self, error: BaseException) -> None:
        with self._lock:
            if len(self._progress.errors) < _ERRORS_KEPT:
                self._progress.errors.append((time.time(), f"{type(error).__name__}: {error}"))

    def violation(self, text: str) -> None:
        with self._lock:
            self._progress.violations.append(text)

    def _report(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(REPORT_INTERVAL_S)
            with self._lock:
                progress, self._progress = self._progress, Progress()
            print(progress.to_line(), file=sys.stdout, flush=True)


Worker = Callable[[threading.Event], None]
"""Works until the event is set."""
