"""What each of several workers gets: its part of the bounds, ids of its own, the supervisor's oracle."""

from __future__ import annotations

import itertools

import pytest

from proxy.config import Config, ProxyConfig, ShardConfig, TsoConfig, UserConfig
from proxy.errors import ConfigError
from proxy.server.listener import connection_ids
from proxy.workers.link import Role
from proxy.workers.shares import check_shares, share_of


def config(max_connections: int, **parts: object) -> Config:
    return Config(
        proxy=ProxyConfig(max_connections=10),
        users=(UserConfig(name="root", password=""),),
        shards=(ShardConfig(name="s1", user="root", max_connections=max_connections),),
        **parts,  # type: ignore[arg-type]
    )


def test_connections_are_divided() -> None:
    share = share_of(config(100), Role(2, 3, "127.0.0.1:7", "between us", None))
    assert share.shards[0].max_connections == 33
    assert share.proxy.max_connections == 4
    assert (share.tso.embedded, share.tso.listed_addresses) == (False, ("127.0.0.1:7",))


def test_a_service_stays_the_configured_one() -> None:
    tso = TsoConfig(embedded=False, address="10.0.0.20:4100", secret="s")
    assert share_of(config(100, tso=tso), Role(1, 3, None, None, None)).tso == tso


def test_too_few_connections_are_refused_with_the_number_needed() -> None:
    check_shares(config(12), 3)
    with pytest.raises(ConfigError, match=r"max_connections = 11 is too few for 3 workers.*at least 12"):
        check_shares(config(11), 3)


def test_ids_tell_the_worker_and_are_nobody_elses() -> None:
    given = {number: list(itertools.islice(connection_ids(number, 3), 100)) for number in (1, 2, 3)}
    assert len(set(itertools.chain(*given.values()))) == 300
    assert all((one - 1) % 3 + 1 == number for number, ids in given.items() for one in ids)
    assert list(itertools.islice(connection_ids(), 3)) == [1, 2, 3]
