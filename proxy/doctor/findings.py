"""What the doctor says."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Severity(enum.Enum):
    OK = "ok"
    WARNING = "warning"
    """It works, but not as it should in every case; the text says in which."""
    UNKNOWN = "unknown"
    """The shard could not be asked."""
    ERROR = "error"
    """TxGuard would answer wrongly, lose commits or fail on this shard: the proxy does not start."""


@dataclass(frozen=True, slots=True)
class Finding:
    severity: Severity
    shard: str | None
    """None: it is about all of them together."""
    check: str
    text: str
    remedy: str = ""


def refuses_start(findings: Iterable[Finding]) -> bool:
    """Whether the proxy must not start. A shard that is down does not stop the others from being served."""
    return any(finding.severity is Severity.ERROR for finding in findings)
