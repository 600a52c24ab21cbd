"""Each check of the doctor: silent on a good server, and speaking with a remedy on each bad one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.config import Config, ProxyConfig, ShardConfig, UserConfig
from proxy.doctor.checks import MUST_BE_EQUAL, run_checks
from proxy.doctor.facts import ServerFacts
from proxy.doctor.findings import Severity, refuses_start
from proxy.doctor.report import as_json, exit_code

ALL = ("GRANT ALL PRIVILEGES ON *.* TO `txguard`@`%`",)
NEEDED = (
    "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, PROCESS, REFERENCES, INDEX, ALTER, LOCK TABLES, "
    "CREATE VIEW, CREATE ROUTINE, ALTER ROUTINE, EXECUTE, TRIGGER ON *.* TO `t`@`%`"
)
GOOD = ServerFacts(
    shard="s1",
    version_text="10.11.6-MariaDB-log",
    variables={
        "innodb_flush_log_at_trx_commit": "1",
        "log_bin": "OFF",
        "sync_binlog": "0",
        "default_storage_engine": "InnoDB",
        "max_connections": "500",
        "max_user_connections": "0",
        "max_allowed_packet": str(128 * 1024 * 1024),
        "sql_mode": "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION",
        "time_zone": "SYSTEM",
        "system_time_zone": "UTC",
        "character_set_server": "utf8mb4",
        "collation_server": "utf8mb4_general_ci",
        "lower_case_table_names": "0",
        "completion_type": "NO_CHAIN",
    },
    grants=ALL,
    clock_offset_ms=3.0,
    address="127.0.0.1:3306",
    max_connections=100,
)
CONFIG = Config(
    users=(UserConfig(name="root", password=""),),
    shards=(ShardConfig(name="s1", user="root"), ShardConfig(name="s2", user="root", port=3307)),
)


def found(*servers: ServerFacts, config: Config = CONFIG) -> list[tuple[Severity, str | None, str]]:
    findings = run_checks(servers, config)
    for finding in findings:
        assert finding.severity is Severity.OK or finding.remedy, "each finding has its remedy"
    return [(finding.severity, finding.shard, finding.check) for finding in findings]


def with_variables(**variables: str) -> ServerFacts:
    return replace(GOOD, variables={**GOOD.variables, **variables})


def test_good_servers_get_one_ok_each() -> None:
    assert found(GOOD, replace(GOOD, shard="s2")) == [
        (Severity.OK, "s1", "server"),
        (Severity.OK, "s2", "server"),
    ]


@pytest.mark.parametrize(
    ("facts", "severity", "check"),
    [
        (replace(GOOD, version_text="8.0.22"), Severity.ERROR, "version"),
        (replace(GOOD, version_text="5.7.44-log"), Severity.ERROR, "version"),
        (replace(GOOD, version_text="5.5.5-10.4.32-MariaDB"), Severity.ERROR, "version"),
        (with_variables(read_only="ON"), Severity.ERROR, "writable"),
        (with_variables(super_read_only="ON", read_only="ON"), Severity.ERROR, "writable"),
        (with_variables(innodb_flush_log_at_trx_commit="0"), Severity.ERROR, "durability"),
        (with_variables(innodb_flush_log_at_trx_commit="2"), Severity.WARNING, "durability"),
        (with_variables(log_bin="ON"), Severity.WARNING, "durability"),
        (with_variables(log_bin="ON", sync_binlog="1", binlog_format="MIXED"), Severity.ERROR, "binary log"),
        (
            with_variables(log_bin="ON", sync_binlog="1", binlog_format="STATEMENT"),
            Severity.ERROR,
            "binary log",
        ),
        (with_variables(default_storage_engine="MyISAM"), Severity.ERROR, "engine"),
        (with_variables(innodb_rollback_on_timeout="ON"), Severity.ERROR, "engine"),
        (with_variables(innodb_snapshot_isolation="ON"), Severity.ERROR, "engine"),
        (with_variables(completion_type="CHAIN"), Severity.ERROR, "engine"),
        (with_variables(max_connections="105"), Severity.WARNING, "connections"),
        (with_variables(max_user_connections="20"), Severity.WARNING, "connections"),
        (with_variables(max_allowed_packet="16777216"), Severity.WARNING, "packets"),
        (replace(GOOD, clock_offset_ms=-1500.0), Severity.WARNING, "clock"),
        (replace(GOOD, grants=("GRANT USAGE ON *.* TO `t`@`%`",)), Severity.ERROR, "privileges"),
    ],
)
def test_one_bad_thing_gets_one_kind_of_finding(facts: ServerFacts, severity: Severity, check: str) -> None:
    findings = found(facts)
    assert (severity, "s1", check) in findings
    assert {other for _, _, other in findings} == {check}


@pytest.mark.parametrize("version", ["8.0.23", "9.7.4-2", "10.5.2-MariaDB", "5.5.5-10.11.6-MariaDB"])
def test_versions_that_are_new_enough(version: str) -> None:
    assert found(replace(GOOD, version_text=version)) == [(Severity.OK, "s1", "server")]


def test_exactly_the_needed_privileges_do() -> None:
    assert found(replace(GOOD, grants=(NEEDED,))) == [(Severity.OK, "s1", "server")]


@pytest.mark.parametrize(
    "privilege",
    ["TRIGGER", "CREATE VIEW", "CREATE ROUTINE", "EXECUTE", "INDEX", "PROCESS", "REFERENCES", "LOCK TABLES"],
)
def test_each_needed_privilege_is_missed(privilege: str) -> None:
    grant = NEEDED.replace(f", {privilege}", "")
    assert found(replace(GOOD, grants=(grant,))) == [(Severity.ERROR, "s1", "privileges")]


def test_the_format_of_no_binary_log_does_not_matter() -> None:
    assert found(with_variables(log_bin="OFF", binlog_format="MIXED")) == [(Severity.OK, "s1", "server")]
    row = with_variables(log_bin="ON", sync_binlog="1", binlog_format="ROW")
    assert found(row) == [(Severity.OK, "s1", "server")]


def test_grants_on_one_database_do_not_count() -> None:
    grants = ("GRANT PROCESS ON *.* TO `t`@`%`", "GRANT ALL PRIVILEGES ON `shop`.* TO `t`@`%`")
    assert found(replace(GOOD, grants=grants)) == [(Severity.ERROR, "s1", "privileges")]


def test_a_role_makes_missing_privileges_a_warning() -> None:
    grants = ("GRANT PROCESS ON *.* TO `t`@`%`", "GRANT `writers`@`%` TO `t`@`%`")
    assert found(replace(GOOD, grants=grants)) == [(Severity.WARNING, "s1", "privileges")]


def test_triggers_under_a_binary_log() -> None:
    under_binlog = {"log_bin": "ON", "sync_binlog": "1"}
    bound = replace(with_variables(**under_binlog), grants=(NEEDED,))
    assert found(bound) == [(Severity.ERROR, "s1", "triggers")]
    trusting = replace(with_variables(**under_binlog, log_bin_trust_function_creators="ON"), grants=(NEEDED,))
    assert found(trusting) == [(Severity.OK, "s1", "server")]
    assert found(replace(bound, grants=ALL)) == [(Severity.OK, "s1", "server")]


@pytest.mark.parametrize("variable", MUST_BE_EQUAL)
def test_what_must_be_equal(variable: str) -> None:
    other = replace(with_variables(**{variable: "something else"}), shard="s2")
    assert (Severity.ERROR, None, "equal") in found(GOOD, other)


def test_the_system_time_zone_matters_where_it_is_used() -> None:
    other = replace(with_variables(system_time_zone="CET"), shard="s2")
    assert (Severity.ERROR, None, "equal") in found(GOOD, other)
    fixed = with_variables(time_zone="+00:00")
    other = replace(with_variables(time_zone="+00:00", system_time_zone="CET"), shard="s2")
    assert (Severity.ERROR, None, "equal") not in found(fixed, other)


def test_the_order_of_sql_modes_does_not_matter() -> None:
    other = replace(with_variables(sql_mode="NO_ENGINE_SUBSTITUTION,STRICT_TRANS_TABLES"), shard="s2")
    assert (Severity.ERROR, None, "equal") not in found(GOOD, other)


def test_two_products_or_two_series() -> None:
    mysql = replace(GOOD, shard="s2", version_text="8.4.3")
    assert (Severity.ERROR, None, "same product") in found(GOOD, mysql)
    newer = replace(GOOD, shard="s2", version_text="11.4.2-MariaDB")
    assert (Severity.WARNING, None, "same product") in found(GOOD, newer)


def test_packets_are_measured_against_the_configuration() -> None:
    small = CONFIG.model_copy(update={"proxy": ProxyConfig(max_packet_bytes=1024 * 1024)})
    assert found(with_variables(max_allowed_packet="16777216"), config=small) == [
        (Severity.OK, "s1", "server")
    ]


def test_exit_codes_and_the_start() -> None:
    good = run_checks([GOOD], CONFIG)
    bad = run_checks([with_variables(read_only="ON")], CONFIG)
    unknown = [replace(good[0], severity=Severity.UNKNOWN)]
    assert [exit_code(findings) for findings in (good, bad, unknown, bad + unknown)] == [0, 1, 2, 1]
    assert [refuses_start(findings) for findings in (good, bad, unknown)] == [False, True, False]
    assert '"check": "writable"' in as_json(bad)
