"""The doctor at real servers: healthy ones, sick ones, absent ones."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pymysql
import pytest

from proxy.config import Config, ShardConfig, UserConfig
from proxy.doctor import Finding, Severity, examine
from proxy.playground.processes import free_port
from proxy.playground.servers import Server
from tests.fakes.clients import connect_server


def config_for(servers: Sequence[Server], **changes: object) -> Config:
    return Config(
        users=(UserConfig(name="root", password=""),),
        shards=tuple(
            ShardConfig.model_validate(
                {"name": f"s{number}", "host": server.host, "port": server.port, "user": "root", **changes}
            )
            for number, server in enumerate(servers, 1)
        ),
    )


def run(server: Server, *statements: str) -> None:
    connection = connect_server(server)
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def brief(findings: Sequence[Finding]) -> list[tuple[Severity, str | None, str]]:
    return [(finding.severity, finding.shard, finding.check) for finding in findings]


async def test_private_servers_are_healthy(shard_servers: Sequence[Server]) -> None:
    findings = await examine(config_for(shard_servers))
    assert brief(findings) == [(Severity.OK, f"s{number}", "server") for number in (1, 2, 3)], findings


async def test_two_names_for_one_server(shard_servers: Sequence[Server]) -> None:
    config = config_for(shard_servers[:2])
    again = ShardConfig(name="again", host="localhost", port=shard_servers[0].port, user="root")
    findings = await examine(config.model_copy(update={"shards": (*config.shards, again)}))
    assert (Severity.ERROR, "again", "same server") in brief(findings)
    assert [finding.check for finding in findings].count("same server") == 1


async def test_a_server_that_is_down_or_refuses_the_account(shard_servers: Sequence[Server]) -> None:
    config = config_for(shard_servers[:1])
    down = ShardConfig(name="down", port=free_port(), user="root")
    refused = ShardConfig(name="refused", port=shard_servers[1].port, user="nobody", password="wrong")
    findings = await examine(config.model_copy(update={"shards": (down, refused, *config.shards)}))
    assert brief(findings) == [
        (Severity.UNKNOWN, "down", "reachable"),
        (Severity.ERROR, "refused", "access"),
        (Severity.OK, "s1", "server"),
    ]


async def test_sick_servers(fresh_shard_servers) -> None:
    one, two = await fresh_shard_servers(2, options=["--log-bin", "--sync-binlog=0", "--server-id=1"])
    run(one, "SET GLOBAL sql_mode = 'ANSI_QUOTES'", "SET GLOBAL innodb_flush_log_at_trx_commit = 0")
    run(one, "SET GLOBAL binlog_format = 'MIXED'")
    run(two, "SET GLOBAL max_connections = 50", "SET GLOBAL binlog_format = 'ROW'")
    run(
        two,
        "CREATE USER limited@'127.0.0.1' IDENTIFIED BY 'x'",
        "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, CREATE VIEW, TRIGGER, "
        "CREATE ROUTINE, ALTER ROUTINE, EXECUTE, LOCK TABLES, PROCESS ON *.* TO limited@'127.0.0.1'",
    )
    config = config_for([one, two])
    limited = config.shard("s2").model_copy(update={"user": "limited", "password": "x"})
    findings = brief(await examine(config.model_copy(update={"shards": (config.shards[0], limited)})))
    assert set(findings) == {
        (Severity.ERROR, "s1", "durability"),
        (Severity.WARNING, "s1", "durability"),
        (Severity.ERROR, "s1", "binary log"),
        (Severity.WARNING, "s2", "durability"),
        (Severity.ERROR, "s2", "triggers"),
        (Severity.WARNING, "s2", "connections"),
        (Severity.ERROR, None, "equal"),
    }
    with pytest.raises(pymysql.MySQLError) as refused:  # what the finding warned of
        connection = pymysql.connect(host=two.host, port=two.port, user="limited", password="x")
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE d")
            cursor.execute("CREATE TABLE d.t (a INT PRIMARY KEY)")
            cursor.execute("CREATE TRIGGER d.x BEFORE INSERT ON d.t FOR EACH ROW SET @a = 1")
    assert refused.value.args[0] == 1419


async def test_a_server_that_hangs_does_not_hang_the_doctor(fresh_shard_servers) -> None:
    one, two = await fresh_shard_servers(2)
    one.pause()
    began = time.monotonic()
    findings = await examine(config_for([one, two], connect_timeout_s=1))
    assert time.monotonic() - began < 5
    assert brief(findings) == [(Severity.UNKNOWN, "s1", "reachable"), (Severity.OK, "s2", "server")]
    one.resume()


@pytest.mark.mysql_only  # it makes itself a certificate; MariaDB 10.11 does not
async def test_tls_to_a_shard(shard_servers: Sequence[Server]) -> None:
    encrypted = await examine(config_for(shard_servers[:1], tls="required"))
    assert brief(encrypted) == [(Severity.OK, "s1", "server")]
    (unproven,) = await examine(config_for(shard_servers[:1], tls="verify"))
    assert (unproven.severity, unproven.check) == (Severity.UNKNOWN, "reachable")
    assert "certificate" in unproven.text.lower()
