"""Ask every shard at once, then check. Every wait has the shard's own deadline; nothing is written anywhere."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from itertools import combinations

from pymysql.err import MySQLError

from proxy.config import Config, ShardConfig
from proxy.doctor.checks import run_checks
from proxy.doctor.facts import ServerFacts, Visit
from proxy.doctor.findings import Finding, Severity
from proxy.doctor.oracles import check_stores, examine_oracles
from txguard.engine.shard import ConnectionLost, ShardError

ACCESS_DENIED = frozenset({1044, 1045, 1130, 1698})
_FAILURES = (OSError, MySQLError, ShardError, ConnectionLost)


async def examine(config: Config) -> list[Finding]:
    """All findings, in the order of the shards, then those about all of them together."""
    answers = await asyncio.gather(*(_begin(shard) for shard in config.shards))
    visits = [answer for answer in answers if isinstance(answer, Visit)]
    findings = [answer for answer in answers if isinstance(answer, Finding)]
    try:
        told = await asyncio.gather(*(_facts(visit) for visit in visits))
        findings += [answer for answer in told if isinstance(answer, Finding)]
        servers = [answer for answer in told if isinstance(answer, ServerFacts)]
        findings += run_checks(servers, config)
        findings += [*check_stores(config), *await examine_oracles(config)]
        asked = [visit for visit in visits if visit.shard.name in {facts.shard for facts in servers}]
        findings += await _find_same_servers(asked)
    finally:
        for visit in visits:
            visit.end()
    order = {shard.name: position for position, shard in enumerate(config.shards)}
    return sorted(findings, key=lambda finding: order.get(finding.shard or "", len(order)))


async def _begin(shard: ShardConfig) -> Visit | Finding:
    try:
        return await Visit.begin(shard)
    except _FAILURES as error:
        return _unreachable(shard, error)


async def _facts(visit: Visit) -> ServerFacts | Finding:
    try:
        return await visit.facts()
    except _FAILURES as error:
        return _unreachable(visit.shard, error)


async def _find_same_servers(visits: Sequence[Visit]) -> list[Finding]:
    """Each visit leaves a mark; a visit that sees another's mark is to the same server."""
    marks = {visit.shard.name: f"_txguard_doctor_{secrets.token_hex(8)}" for visit in visits}
    try:
        for visit in visits:
            await visit.mark(marks[visit.shard.name])
        return [
            _same_server(one.shard, other.shard)
            for one, other in combinations(visits, 2)
            if await other.sees_mark(marks[one.shard.name])
        ]
    except (*_FAILURES, TimeoutError) as error:
        text = f"could not find out whether two shards are the same server: {_words(error)}"
        return [Finding(Severity.UNKNOWN, None, "same server", text, "run txguard doctor again")]


def _same_server(one: ShardConfig, other: ShardConfig) -> Finding:
    return Finding(
        Severity.ERROR,
        other.name,
        "same server",
        f"{other.name} ({other.address}) and {one.name} ({one.address}) are the same server",
        "give each of [[shards]] a server of its own",
    )


def _unreachable(shard: ShardConfig, error: BaseException) -> Finding:
    errno = next((arg for arg in _causes(error) if arg in ACCESS_DENIED), None)
    if errno is not None:
        return Finding(
            Severity.ERROR,
            shard.name,
            "access",
            f"{shard.address} refuses the account {shard.user!r}: {_words(error)}",
            f"mend user and password of [[shards]] {shard.name}, or create the account on the server",
        )
    return Finding(
        Severity.UNKNOWN,
        shard.name,
        "reachable",
        f"{shard.address} cannot be reached: {_words(error)}",
        f"start the server, or mend host, port or socket of [[shards]] {shard.name}",
    )


def _causes(error: BaseException | None) -> Iterator[object]:
    while error is not None:
        yield from error.args[:1]
        error = error.__cause__


def _words(error: BaseException) -> str:
    """The driver's text without its tuple clothes, and the system's reason where it hides one."""
    if isinstance(error, MySQLError) and len(error.args) > 1:
        text = f"error {error.args[0]}: {error.args[1]}"
        return f"{text} ({_words(error.__cause__)})" if isinstance(error.__cause__, OSError) else text
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
