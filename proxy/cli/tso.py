"""`txguard tso`: the timestamp oracle as a service, for several proxies over the same shards."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli.running import DEFAULT_CONFIG, ConfigPath, fail, load_or_exit, run_until_signalled
from proxy.config import split_address

if TYPE_CHECKING:
    from tso.copies import Row
    from tso.errors import TsoUnavailable
    from tso.service import TsoServer

Address = Annotated[
    str | None,
    typer.Option(
        "--address", help="host:port to listen at (default: the first of tso.addresses that is free here)"
    ),
]


def command(config: ConfigPath = DEFAULT_CONFIG, address: Address = None) -> None:
    """Serve the oracle, or stand by while another one leads. Its bound and lease are kept on the shards.

    Run it once for each of tso.addresses. Ends on SIGTERM and Ctrl-C; a standby then takes over at once.
    """
    import structlog

    from proxy.logs import configure
    from proxy.server.oracles import bound_store
    from tso.replica import LEASE_MS, run_replica

    loaded = load_or_exit(config)
    secret = loaded.tso.secret
    addresses = loaded.tso.listed_addresses if address is None else (_checked(address),)
    if not addresses or not secret:
        fail(f"{config}: the service needs address (host:port) or addresses, and secret, in [tso]", status=2)
    configure(loaded.log)

    async def run() -> None:
        at, server = await _listen(addresses, secret)
        log = structlog.get_logger(__name__).bind(address=at)
        async with server:
            # Within one lease several renewals may fail and be tried again.
            await run_replica(
                server, lambda: bound_store(loaded, at, timeout_s=LEASE_MS / 3000), Changes(log.info)
            )

    try:
        run_until_signalled(run, fast=True)
    except OSError as error:
        fail(f"cannot serve on {' or '.join(addresses)}: {error}")


def _checked(address: str) -> str:
    try:
        split_address(address)
    except ValueError as error:
        fail(f"--address: {error}", status=2)
    return address


async def _listen(addresses: tuple[str, ...], secret: str) -> tuple[str, TsoServer]:
    """At the first address that is this machine's and free. Raises OSError."""
    from tso.service import TsoServer

    for address in addresses:
        try:
            return address, await TsoServer.listen(None, *split_address(address), secret=secret)
        except OSError as error:
            refusal = error
    raise refusal


class Changes:
    """Logs what becomes of this oracle: each state once."""

    def __init__(self, log: Callable[..., object]) -> None:
        self._log = log
        self._last: tuple[object, ...] = ()

    def stands_by(self, leader: Row) -> None:
        self._changed("tso_stands_by", leader=leader.leader, epoch=leader.epoch)

    def cannot_tell(self, error: TsoUnavailable) -> None:
        self._changed("tso_store_unavailable", reason=str(error))

    def leads(self, epoch: int) -> None:
        self._changed("tso_ready", epoch=epoch)

    def deposed(self, error: TsoUnavailable) -> None:
        self._changed("tso_deposed", reason=str(error))

    def _changed(self, event: str, **facts: object) -> None:
        if (event, facts) != self._last:
            self._last = (event, facts)
            self._log(event, **facts)
