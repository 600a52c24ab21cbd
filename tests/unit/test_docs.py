"""What the documents name exists: files and folders of the project, links, make targets, subcommands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.cli.app import SUBCOMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TOP = {"proxy", "txguard", "tso", "tests", "docs", "scripts", ".ci"}
MAKE_TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"[\w.*-]+(?:/[\w.*-]+)+/?|[\w*-]+\.(?:md|py|toml)")


def named_paths(text: str) -> Iterator[str]:
    """Paths from the project's top in code spans: `proxy/sql`, `tso/clock.py`, `proxy/sql/scatter*.py`."""
    for span in CODE.findall(FENCED.sub("", text)):
        if PATH.fullmatch(span) and span.split("/")[0] in TOP:
            yield span


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_paths_exist(page: Path) -> None:
    assert [path for path in named_paths(page.read_text()) if not list(ROOT.glob(path.rstrip("/")))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = LINK.findall(FENCED.sub("", page.read_text()))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    text = page.read_text()
    blocks = "\n".join(FENCED.findall(text)) + "\n" + "\n".join(CODE.findall(FENCED.sub("", text)))
    targets = set(re.findall(r"^make ([a-z]+)", blocks, re.MULTILINE))
    commands = set(re.findall(r"^txguard ([a-z-]+)", blocks, re.MULTILINE))
    assert targets <= MAKE_TARGETS
    assert commands <= set(SUBCOMMANDS)


def test_the_readme_leads_with_its_two_commands() -> None:
    first = FENCED.search((ROOT / "README.md").read_text())
    assert first is not None
    commands = [line.split("#")[0].strip() for line in first[0].splitlines()[1:-1]]
    assert commands == ["make demo", "make test"]
