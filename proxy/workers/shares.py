"""A worker's part of what the configuration bounds for the whole proxy. Sans-IO."""

from __future__ import annotations

from proxy.config import Config, TsoConfig
from proxy.errors import ConfigError
from proxy.workers.link import Role

LEAST_SHARD_CONNECTIONS = 4


def check_shares(config: Config, count: int) -> None:
    """Raises ConfigError when there is not enough for so many workers."""
    for shard in config.shards:
        if shard.max_connections // count < LEAST_SHARD_CONNECTIONS:
            raise ConfigError(
                f"shard {shard.name}: max_connections = {shard.max_connections} is too few for {count} workers, "
                f"each needs {LEAST_SHARD_CONNECTIONS}: set at least {count * LEAST_SHARD_CONNECTIONS}"
            )


def share_of(config: Config, role: Role) -> Config:
    """The connections to each shard and of clients are divided; the oracle is the supervisor's, if it has one."""
    shards = tuple(
        shard.model_copy(update={"max_connections": shard.max_connections // role.count})
        for shard in config.shards
    )
    most_clients = -(-config.proxy.max_connections // role.count)
    tso = config.tso
    if role.oracle_address is not None:
        tso = TsoConfig(embedded=False, address=role.oracle_address, secret=role.oracle_secret)
    return config.model_copy(
        update={
            "shards": shards,
            "proxy": config.proxy.model_copy(update={"max_connections": most_clients}),
            "tso": tso,
        }
    )
