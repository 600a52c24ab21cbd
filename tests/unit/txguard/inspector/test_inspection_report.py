"""Exit codes, the table and the JSON."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from txguard.inspector.render import print_table, to_json
from txguard.inspector.report import Finding, Report, Verdict
from txguard.inspector.run import inspect


def report(*verdicts: Verdict) -> Report:
    findings = tuple(Finding(f"[n{n}]", verdict, "7, expected 8", 1.25) for n, verdict in enumerate(verdicts))
    return Report(findings[:1], findings[1:], 12.34)


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([Verdict.HOLDS, Verdict.HOLDS], 0),
        ([Verdict.HOLDS, Verdict.VIOLATED], 1),
        ([Verdict.UNCHECKED, Verdict.HOLDS], 2),
        ([Verdict.UNCHECKED, Verdict.VIOLATED], 1),
    ],
)
def test_exit_code(verdicts: list[Verdict], code: int) -> None:
    assert report(*verdicts).exit_code == code


def test_table_shows_everything_as_it_is() -> None:
    out = io.StringIO()
    print_table(report(Verdict.HOLDS, Verdict.VIOLATED), Console(file=out, width=80))
    assert "[n1]" in out.getvalue()  # not taken for markup
    assert "violated" in out.getvalue()
    assert "1 of 2 hold" in out.getvalue()


def test_json() -> None:
    parsed = json.loads(to_json(report(Verdict.HOLDS, Verdict.UNCHECKED)))
    assert parsed["exit_code"] == 2
    assert parsed["invariants"][0] == {
        "name": "[n0]",
        "verdict": "holds",
        "detail": "7, expected 8",
        "elapsed_ms": 1.2,
    }
    assert parsed["protocol"][0]["verdict"] == "unchecked"


async def test_nothing_to_check_is_no_failure() -> None:
    assert (await inspect((), proxy_dsn=None, shards=())).exit_code == 0
