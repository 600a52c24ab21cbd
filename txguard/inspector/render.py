"""A report for people (a table) and for machines (one JSON object)."""

from __future__ import annotations

import json
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from txguard.inspector.report import Finding, Report, Verdict

_STYLES: Final = {Verdict.HOLDS: "green", Verdict.VIOLATED: "bold red", Verdict.UNCHECKED: "yellow"}


def print_table(report: Report, console: Console) -> None:
    """The user's invariants first, then the protocol's; details are never cut off."""
    table = Table(show_lines=False, pad_edge=False, box=None)
    table.add_column("invariant")
    table.add_column("verdict", no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    table.add_column("what was found", overflow="fold")
    for findings in (report.invariants, report.protocol):
        for finding in findings:
            table.add_row(
                Text(finding.name),
                Text(finding.verdict.value, style=_STYLES[finding.verdict]),
                f"{finding.elapsed_ms:.1f}",
                Text(finding.detail),
            )
        if findings:
            table.add_section()
    console.print(table)
    held = sum(finding.verdict is Verdict.HOLDS for finding in report.findings)
    console.print(f"{held} of {len(report.findings)} hold ({report.elapsed_ms:.0f} ms)", highlight=False)


def to_json(report: Report) -> str:
    """Keys: invariants, protocol (lists of name, verdict, detail, elapsed_ms), elapsed_ms, exit_code."""
    return json.dumps(
        {
            "invariants": [_finding(finding) for finding in report.invariants],
            "protocol": [_finding(finding) for finding in report.protocol],
            "elapsed_ms": round(report.elapsed_ms, 1),
            "exit_code": report.exit_code,
        },
        ensure_ascii=False,
        indent=2,
    )


def _finding(finding: Finding) -> dict[str, str | float]:
    return {
        "name": finding.name,
        "verdict": finding.verdict.name.lower(),
        "detail": finding.detail,
        "elapsed_ms": round(finding.elapsed_ms, 1),
    }
