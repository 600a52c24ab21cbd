"""Adds up what clients, inspector and faults tell. Sans-IO: whoever calls says what time it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.demo.progress import Progress
from txguard.inspector import Report, Verdict

RATE_WINDOW_S: Final = 3.0
_LATENCIES_KEPT: Final = 4_000


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Errors between `since` and `until` (wall time; None: not over yet) are due to what was killed."""

    what: str
    since: float
    until: float | None = None


class Tally:
    """The figures of one demo. `violations` and `unexpected` are texts, most of them of different causes."""

    def __init__(self) -> None:
        self.transfers = self.cross_shard = self.conflicts = self.unknown = 0
        self.snapshots = self.inspections = self.unchecked = self.kills = 0
        self.expected_errors = 0
        self.violations: list[str] = []
        self.unexpected: list[str] = []
        self.disturbances: list[Disturbance] = []
        self._local_ms: deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._cross_ms: deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._recent: deque[tuple[float, int, int]] = deque()

    def add(self, progress: Progress, now: float) -> None:
        """`now` is wall time, as in the errors."""
        self.transfers += progress.transfers
        self.cross_shard += progress.cross_shard
        self.conflicts += progress.conflicts
        self.unknown += progress.unknown
        self.snapshots += progress.snapshots
        self._local_ms.extend(progress.local_ms)
        self._cross_ms.extend(progress.cross_ms)
        self._recent.append((now, progress.transfers, progress.snapshots))
        for text in progress.violations:
            self.violate(text)
        for when, text in progress.errors:
            self.error(when, text)

    def add_inspection(self, report: Report, started: float, ended: float) -> None:
        """What could not be checked is an error like others; what is violated is a violation."""
        self.inspections += 1
        for finding in report.findings:
            if finding.verdict is Verdict.VIOLATED:
                self.violate(f"inspector: {finding.name}: {finding.detail}")
        unchecked = [finding for finding in report.findings if finding.verdict is Verdict.UNCHECKED]
        if unchecked:
            self.unchecked += 1
            text = f"inspector: {unchecked[0].name}: {unchecked[0].detail}"
            self.error(started if self.is_disturbed(started) else ended, text)

    def violate(self, text: str) -> None:
        self.violations.append(text)

    def error(self, when: float, text: str) -> None:
        if self.is_disturbed(when):
            self.expected_errors += 1
        else:
            self.unexpected.append(text)

    def is_disturbed(self, when: float) -> bool:
        return any(d.since <= when and (d.until is None or when <= d.until) for d in self.disturbances)

    def disturb(self, what: str, now: float) -> None:
        self.kills += 1
        self.disturbances.append(Disturbance(what, now))

    def calm(self, what: str, until: float) -> None:
        """What was killed is back; its effects may last until then."""
        self.disturbances = [
            Disturbance(d.what, d.since, until) if d.what == what and d.until is None else d
            for d in self.disturbances
        ]

    def rates(self, now: float) -> tuple[float, float]:
        """Transfers and snapshots a second, lately."""
        while self._recent and self._recent[0][0] < now - RATE_WINDOW_S:
            self._recent.popleft()
        return (
            sum(transfers for _, transfers, _ in self._recent) / RATE_WINDOW_S,
            sum(snapshots for _, _, snapshots in self._recent) / RATE_WINDOW_S,
        )

    def latencies_ms(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """p50 and p99 of the latest transfers: within a shard, across shards."""
        return percentiles(self._local_ms), percentiles(self._cross_ms)

    def summary(self) -> str:
        verdict = "OK" if not self.violations else "FAILED"
        return (
            f"demo: transfers={self.transfers} cross_shard={self.cross_shard} conflicts={self.conflicts} "
            f"snapshots={self.snapshots} violations={len(self.violations)} kills={self.kills} {verdict}"
        )


def percentiles(values: Sequence[float] | deque[float]) -> tuple[float, float]:
    """p50 and p99 by nearest rank; zeros for none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0, 0.0
    return ordered[(len(ordered) - 1) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
