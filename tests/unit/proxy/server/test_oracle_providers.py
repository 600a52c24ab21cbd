"""Providers of an oracle by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import pytest

from proxy.config import Config, ShardConfig, TsoConfig, UserConfig
from proxy.errors import ConfigError
from proxy.playground.processes import free_port
from proxy.server import oracles
from tso.api import Tso
from tso.errors import TsoUnavailable


def config(**settings: object) -> Config:
    return Config(
        users=(UserConfig(name="root", password=""),),
        shards=(ShardConfig(name="s1", port=free_port(), user="root"),),
        tso=TsoConfig.model_validate(settings),
    )


async def test_another_provider_is_one_more_name(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = cast(Tso, object())

    async def elsewhere(config: Config) -> Tso:
        return opened

    providers: Mapping[str, oracles.Provider] = {**oracles.PROVIDERS, "elsewhere": elsewhere}
    monkeypatch.setattr(oracles, "PROVIDERS", providers)
    assert await oracles.open_oracle(config(provider="elsewhere")) is opened


async def test_a_name_that_nobody_has() -> None:
    with pytest.raises(ConfigError, match="only embedded, service"):
        await oracles.open_oracle(config(provider="tidb"))


@pytest.mark.parametrize("provider", ["embedded", "service"])
async def test_those_there_are_say_when_there_is_no_oracle(provider: str) -> None:
    with pytest.raises(TsoUnavailable, match=r"127\.0\.0\.1"):
        await oracles.open_oracle(
            config(provider=provider, address=f"127.0.0.1:{free_port()}", secret="between us")
        )
