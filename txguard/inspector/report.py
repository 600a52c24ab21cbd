"""What an inspection found: values, and the exit code that they amount to."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.Enum):
    HOLDS = "holds"
    VIOLATED = "violated"
    UNCHECKED = "could not check"


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question. `detail` says what was found where it should not be, or why nothing was."""

    name: str
    verdict: Verdict
    detail: str = ""
    elapsed_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """`invariants` are the user's, `protocol` are TxGuard's own."""

    invariants: tuple[Finding, ...]
    protocol: tuple[Finding, ...]
    elapsed_ms: float

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.invariants + self.protocol

    @property
    def exit_code(self) -> int:
        """0: all hold. 1: something is violated, whatever else could not be checked. 2: something was not
        checked."""
        verdicts = {finding.verdict for finding in self.findings}
        if Verdict.VIOLATED in verdicts:
            return 1
        return 2 if Verdict.UNCHECKED in verdicts else 0
