"""The oracles of the configuration: whether one leads, which of them do not answer, and where the lease is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from proxy.config import Config, split_address
from proxy.doctor.findings import Finding, Severity
from tso.connection import Connection
from tso.errors import StandsBy, TsoError

ANSWER_TIMEOUT_S: Final = 1.5


def check_stores(config: Config) -> Iterator[Finding]:
    copies = len(config.oracle_stores)
    if copies % 2 == 0:
        yield Finding(
            Severity.WARNING,
            None,
            "oracle",
            f"[tso] store_shards names {copies} shards: a majority of them is {copies // 2 + 1}, so the loss of "
            f"{copies // 2} ends all service, as with {copies - 1} of them",
            "name an odd number of shards",
        )


async def examine_oracles(config: Config) -> list[Finding]:
    """Ask each address of the service. A proxy waits for a leader when it starts, so that none is no error."""
    if config.tso.provider_name != "service":
        return []
    addresses = config.tso.listed_addresses
    answers = await asyncio.gather(*(_ask(address, config.tso.secret) for address in addresses))
    findings = [
        Finding(
            Severity.WARNING,
            None,
            "oracle",
            str(answer),
            f"nobody stands by at {address}: start txguard tso there",
        )
        for address, answer in zip(addresses, answers, strict=True)
        if answer is not None and not isinstance(answer, StandsBy)
    ]
    if None not in answers:
        text = "no oracle leads: " + "; ".join(map(str, answers))
        remedy = "start txguard tso; one that stands by says in its log what it waits for"
        findings = [Finding(Severity.UNKNOWN, None, "oracle", text, remedy)]
    return findings


async def _ask(address: str, secret: str | None) -> TsoError | None:
    """None: it leads."""
    try:
        connection = await Connection.open(*split_address(address), secret, ANSWER_TIMEOUT_S)
    except TsoError as error:
        return error
    connection.lose("the doctor has seen enough")
    return None
