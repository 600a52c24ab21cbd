"""docs/txguard.example.toml is valid as it stands, and names every setting with its true default."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from proxy.config import (
    Config,
    EngineConfig,
    LogConfig,
    ProxyConfig,
    ShardConfig,
    TableConfig,
    TsoConfig,
    UserConfig,
    load,
)

EXAMPLE = Path(__file__).parents[3] / "docs" / "txguard.example.toml"
SECTIONS: dict[str, type[BaseModel]] = {
    "proxy": ProxyConfig,
    "users": UserConfig,
    "shards": ShardConfig,
    "tso": TsoConfig,
    "engine": EngineConfig,
    "tables": TableConfig,
    "log": LogConfig,
}
HEADER = re.compile(r"^(?:# )?\[\[?(\w+)\]\]?")
SETTING = re.compile(r"^(# )?(\w+) = (.+)")


def settings() -> Iterator[tuple[str, str, bool, object]]:
    """(section, key, whether it is commented out, value) of every line of the example that sets something."""
    section = ""
    for line in EXAMPLE.read_text().splitlines():
        if header := HEADER.match(line):
            section = header[1]
        elif setting := SETTING.match(line):
            value = tomllib.loads(f"x = {setting[3]}")["x"]
            yield section, setting[2], setting[1] is not None, value


def test_it_is_valid() -> None:
    config = load(EXAMPLE)
    assert [shard.name for shard in config.shards] == ["s1", "s2"]


def test_every_section_is_shown() -> None:
    assert set(SECTIONS) == set(Config.model_fields) == {section for section, *_ in settings()}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_is_shown(section: str) -> None:
    shown = {key for name, key, *_ in settings() if name == section}
    described = " ".join(line for line in EXAMPLE.read_text().splitlines() if "password_env" in line)
    missing = SECTIONS[section].model_fields.keys() - shown
    assert not {key for key in missing if key not in described}


@pytest.mark.parametrize("section", ["proxy", "engine", "log"])
def test_what_is_commented_out_is_the_default(section: str) -> None:
    defaults = {key: field.default for key, field in SECTIONS[section].model_fields.items()}
    shown = [(key, value) for name, key, commented, value in settings() if name == section and commented]
    assert shown
    for key, value in shown:
        assert defaults[key] in (value, None), key
