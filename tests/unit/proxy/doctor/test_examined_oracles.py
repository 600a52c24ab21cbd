"""What the doctor finds out about the oracles, at real services on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.config import Config, ShardConfig, TsoConfig, UserConfig
from proxy.doctor.findings import Finding, Severity
from proxy.doctor.oracles import check_stores, examine_oracles
from proxy.playground.processes import free_port
from tests.fakes.tso_store import MemoryBoundStore
from tso.embedded import EmbeddedTso
from tso.service import TsoServer

SECRET = "between us"


def config(tso: TsoConfig, shards: int = 3) -> Config:
    return Config(
        users=(UserConfig(name="root", password=""),),
        shards=tuple(ShardConfig(name=f"s{n}", port=3300 + n, user="root") for n in range(shards)),
        tso=tso,
    )


def service(*ports: int) -> Config:
    addresses = tuple(f"127.0.0.1:{port}" for port in ports)
    return config(TsoConfig(embedded=False, addresses=addresses, secret=SECRET))


def texts(findings: Sequence[Finding], severity: Severity) -> list[str]:
    assert {finding.severity for finding in findings} <= {severity}
    return [f"{finding.text}; {finding.remedy}" for finding in findings]


async def test_one_leads_and_one_stands_by() -> None:
    async with (
        await EmbeddedTso.open(MemoryBoundStore()) as oracle,
        await TsoServer.listen(oracle, secret=SECRET) as leader,
        await TsoServer.listen(None, secret=SECRET) as standby,
    ):
        assert await examine_oracles(service(leader.port, standby.port)) == []
        nobody = free_port()
        [missing] = texts(await examine_oracles(service(leader.port, nobody)), Severity.WARNING)
        assert f"nobody stands by at 127.0.0.1:{nobody}" in missing
        [none] = texts(await examine_oracles(service(nobody, standby.port)), Severity.UNKNOWN)
        assert "no oracle leads" in none
        assert "it stands by" in none


async def test_an_embedded_one_is_not_asked() -> None:
    assert await examine_oracles(config(TsoConfig())) == []


def test_an_even_number_of_copies() -> None:
    assert list(check_stores(config(TsoConfig(), shards=2))) == []
    [finding] = texts(list(check_stores(config(TsoConfig(store_shards=("s0", "s1"))))), Severity.WARNING)
    assert "a majority of them is 2" in finding
