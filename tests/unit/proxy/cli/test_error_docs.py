"""docs/errors.md says what the code does."""

from __future__ import annotations

from pathlib import Path

from proxy.cli.error_docs import render

PAGE = Path(__file__).parents[4] / "docs" / "errors.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == render(), "run: python -m proxy.cli.error_docs"


def test_an_undetermined_outcome_is_the_only_one_not_to_be_retried() -> None:
    refused = {line.split("|")[3].strip() for line in render().splitlines() if "| no |" in line}
    assert "OutcomeUndetermined" in refused
