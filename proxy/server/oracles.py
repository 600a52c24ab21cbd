"""Who gives the timestamps: the providers of an oracle, by the name that `[tso] provider` selects.

To add one, write a class that does all of `tso.api.Tso`, open it in a function here, and name it in `PROVIDERS`; its
settings go to `proxy.config.TsoConfig`. It needs more than a counter: the rules [R2], [R4] and [R5] rest on one place
that knows which commits are outstanding (`tso.window`), and fencing on an epoch that goes up with every leader.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from proxy.config import Config, split_address
from proxy.errors import ConfigError
from proxy.shard_dsn import connect_arguments
from tso.api import Tso
from tso.client import RemoteTso
from tso.embedded import EmbeddedTso
from tso.store import MySQLBoundStore

Provider = Callable[[Config], Awaitable[Tso]]
"""Raises TsoUnavailable while there is no oracle; it is then called again."""


async def open_oracle(config: Config) -> Tso:
    """The configured one. Raises TsoUnavailable, or ConfigError when nobody goes by its name."""
    name = config.tso.provider_name
    if name not in PROVIDERS:
        raise ConfigError(
            f"[tso] provider = {name!r}: there is none of this name, only {', '.join(PROVIDERS)}"
        )
    return await PROVIDERS[name](config)


async def _embedded(config: Config) -> Tso:
    return await EmbeddedTso.open(bound_store(config, f"the proxy at {config.proxy.listen}", timeout_s=1.0))


async def _service(config: Config) -> Tso:
    addresses = [split_address(address) for address in config.tso.listed_addresses]
    return await RemoteTso.connect(*addresses, secret=config.tso.secret)


PROVIDERS: Final[Mapping[str, Provider]] = {"embedded": _embedded, "service": _service}


def bound_store(config: Config, name: str, timeout_s: float) -> MySQLBoundStore:
    """Where an oracle of this configuration keeps its bound and its lease."""
    servers = [connect_arguments(server) for server in config.oracle_stores]
    return MySQLBoundStore(*servers, name=name, timeout_s=timeout_s)
