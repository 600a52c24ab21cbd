"""The findings for people (a table) and for machines (JSON), and the exit code."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxy.doctor.findings import Finding, Severity

_STYLES = {
    Severity.OK: "green",
    Severity.WARNING: "yellow",
    Severity.UNKNOWN: "magenta",
    Severity.ERROR: "bold red",
}


def exit_code(findings: Sequence[Finding]) -> int:
    """0: nothing that stops TxGuard. 1: errors. 2: no errors seen, but a shard could not be asked."""
    severities = {finding.severity for finding in findings}
    if Severity.ERROR in severities:
        return 1
    return 2 if Severity.UNKNOWN in severities else 0


def as_json(findings: Sequence[Finding]) -> str:
    rows = [
        {
            "severity": finding.severity.value,
            "shard": finding.shard,
            "check": finding.check,
            "text": finding.text,
            "remedy": finding.remedy,
        }
        for finding in findings
    ]
    return json.dumps({"findings": rows, "exit_code": exit_code(findings)}, indent=2)


def print_table(findings: Sequence[Finding], console: Console) -> None:
    table = Table(show_lines=True)
    for title in ("", "shard", "check", "finding and remedy"):
        table.add_column(title, overflow="fold")
    for finding in findings:
        style = _STYLES[finding.severity]
        text = Text(finding.text)
        if finding.remedy:
            text.append(f"\n→ {finding.remedy}", style="dim")
        table.add_row(Text(finding.severity.value, style=style), finding.shard or "all", finding.check, text)
    console.print(table)
    counts = [(severity, sum(f.severity is severity for f in findings)) for severity in Severity]
    console.print(", ".join(f"{count} {severity.value}" for severity, count in counts if count))
