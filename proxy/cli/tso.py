"""`txguard tso`: the timestamp oracle as a service, for several proxies over the same shards."""

from __future__ import annotations

from proxy.cli.running import DEFAULT_CONFIG, ConfigPath, fail, load_or_exit, run_until_signalled


def command(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Serve the oracle at [tso] address, keeping its bound on the store shard.

    Ends on SIGTERM and Ctrl-C, and with status 1 when another oracle has taken over.
    """
    import structlog

    from proxy.config import split_address
    from proxy.logs import configure
    from proxy.shard_dsn import connect_arguments
    from tso.embedded import EmbeddedTso
    from tso.errors import Deposed, TsoUnavailable
    from tso.service import TsoServer
    from tso.store import MySQLBoundStore

    loaded = load_or_exit(config)
    address, secret = loaded.tso.address, loaded.tso.secret
    if address is None or not secret:
        fail(f"{config}: the service needs address (host:port) and secret in [tso]", status=2)
    host, port = split_address(address)
    configure(loaded.log)
    log = structlog.get_logger(__name__)

    async def run() -> None:
        store = MySQLBoundStore(connect_arguments(loaded.shard(loaded.store_shard)))
        # Another oracle may still be alive on another machine: serve only when its bound has passed.
        async with (
            await EmbeddedTso.open(store, wait_for_old_leader=True) as oracle,
            await TsoServer.listen(oracle, host, port, secret=secret),
        ):
            log.info("tso_ready", address=address, epoch=oracle.epoch, store_shard=loaded.store_shard)
            await oracle.until_deposed()

    try:
        run_until_signalled(run, fast=True)
    except Deposed as error:
        fail(f"the oracle ends: {error}")
    except TsoUnavailable as error:
        fail(f"shard {loaded.store_shard} cannot keep the oracle's bound: {error}")
    except OSError as error:
        fail(f"cannot serve on {address}: {error}")
